//! Single flight inside the process: of the requests for one key, one loads and the others wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The result of a flight once it has landed.
pub(crate) type Landing<T> = watch::Receiver<Option<T>>;

pub(crate) struct Flights<T> {
    under_way: Mutex<HashMap<String, (u64, Landing<T>)>>,
    next: AtomicU64,
}

/// A request's part in the flight for its key.
pub(crate) enum Role<T> {
    Lead(Leader<T>),
    Join(Landing<T>),
}

/// Who leads a flight. Dropped without `land`, its joiners see the channel close and ask again.
pub(crate) struct Leader<T> {
    flights: Arc<Flights<T>>,
    key: String,
    number: u64,
    tell: watch::Sender<Option<T>>,
}

impl<T> Flights<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { under_way: Mutex::new(HashMap::new()), next: AtomicU64::new(0) })
    }

    pub(crate) fn enter(self: &Arc<Self>, key: &str) -> Role<T> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, landing)) = under_way.get(key) {
            return Role::Join(landing.clone());
        }
        let (tell, landing) = watch::channel(None);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        under_way.insert(key.to_owned(), (number, landing));
        Role::Lead(Leader { flights: Arc::clone(self), key: key.to_owned(), number, tell })
    }

    /// Lets nobody else join the flight for `key`: what it brings may be from before a write.
    pub(crate) fn forget(&self, key: &str) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl<T> Flights<T> {
    /// The same for every key: what a tag or prefix reaches is not known here.
    pub(crate) fn forget_all(&self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl<T> Leader<T> {
    /// The leader's own way to the result.
    pub(crate) fn landing(&self) -> Landing<T> {
        self.tell.subscribe()
    }

    /// Hands the result to all who joined.
    pub(crate) fn land(self, result: T) {
        self.tell.send_replace(Some(result));
    }
}

impl<T> Drop for Leader<T> {
    fn drop(&mut self) {
        let mut under_way = self.flights.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            under_way.remove(&self.key);
        }
    }
}

/// Waits for a landing; `None` when the leader gave up.
pub(crate) async fn landed<T: Clone>(mut landing: Landing<T>) -> Option<T> {
    landing.wait_for(Option::is_some).await.ok().and_then(|result| result.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_others_get_its_result() {
        let flights = Flights::new();
        let Role::Lead(leader) = flights.enter("a") else { panic!("the first leads") };
        let Role::Join(landing) = flights.enter("a") else { panic!("the second joins") };
        assert!(matches!(flights.enter("b"), Role::Lead(_)), "keys are apart");
        leader.land(5);
        assert_eq!(landed(landing).await, Some(5));
        assert!(matches!(flights.enter("a"), Role::Lead(_)), "a landed flight is over");
    }

    #[tokio::test]
    async fn a_leader_that_dies_leaves_nobody_waiting() {
        let flights = Flights::<i32>::new();
        let Role::Lead(leader) = flights.enter("a") else { panic!("the first leads") };
        let Role::Join(landing) = flights.enter("a") else { panic!("the second joins") };
        drop(leader);
        assert_eq!(landed(landing).await, None);
    }

    #[tokio::test]
    async fn nobody_joins_a_forgotten_flight_and_its_end_spares_the_next() {
        let flights = Flights::<i32>::new();
        let Role::Lead(old) = flights.enter("a") else { panic!("the first leads") };
        flights.forget("a");
        let Role::Lead(new) = flights.enter("a") else { panic!("after a write a new flight begins") };
        old.land(1);
        assert!(matches!(flights.enter("a"), Role::Join(_)), "the new flight is still under way");
        drop(new);
    }
}
