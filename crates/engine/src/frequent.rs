//! The most frequent of many names, in bounded memory (Space-Saving: Metwally, Agrawal and El Abbadi, ICDT 2005).
//!
//! So many names are kept at the same time. A new one takes the place of the least used, whose number of uses it inherits
//! as what it may have too many. What is in more than one of so many uses is there.

use std::collections::HashMap;

/// What is known of a name.
#[derive(Clone, Debug, Default)]
struct Entry<T> {
    uses: u64,
    before: u64,
    value: T,
}

/// Names with their numbers of uses, and what else is noted of each.
#[derive(Debug)]
pub struct Frequent<T> {
    names_max: usize,
    entries: HashMap<Box<[u8]>, Entry<T>>,
}

impl<T: Clone + Default> Frequent<T> {
    /// Keeps so many names.
    pub fn new(names_max: usize) -> Frequent<T> {
        Frequent { names_max, entries: HashMap::new() }
    }

    /// Counts uses of a name, and gives what is noted of it. O(1) expected; O(names) for one that takes another's place.
    pub fn used(&mut self, name: &[u8], uses: u64) -> &mut T {
        if !self.entries.contains_key(name) {
            let mut before = 0;
            if self.entries.len() >= self.names_max
                && let Some((least, entry)) = self.entries.iter().min_by_key(|(_, entry)| entry.uses)
            {
                before = entry.uses;
                let least = least.clone();
                self.entries.remove(&least);
            }
            let entry = Entry { uses: before, before, value: T::default() };
            self.entries.insert(name.into(), entry);
        }
        let entry = self.entries.entry(name.into()).or_default();
        entry.uses += uses;
        &mut entry.value
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Names, the most used first, with what is noted of each and how many uses it may have had before it was kept.
    pub fn all(&self) -> Vec<(Box<[u8]>, T, u64)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by(|a, b| b.1.uses.cmp(&a.1.uses).then_with(|| a.0.cmp(b.0)));
        all.into_iter().map(|(name, entry)| (name.clone(), entry.value.clone(), entry.before)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_most_is_kept() {
        let mut names = Frequent::<u64>::new(3);
        for n in 0..1000u32 {
            *names.used(&n.to_le_bytes(), 1) += 1;
            if n % 3 == 0 {
                *names.used(b"often", 1) += 1;
            }
        }
        let all = names.all();
        assert_eq!(all.len(), 3);
        let often = all.iter().find(|(name, ..)| &**name == b"often").unwrap();
        assert!(often.1 + often.2 >= 334, "{often:?}");
        names.clear();
        assert!(names.all().is_empty());
    }
}
