//! Five hundred caches: what the driver reads for each does not depend on how many there are.

use super::*;
use crate::act::settings::{Members, wanted};
use crate::api::ec2::default_records;
use crate::state::Change;
use crate::state::counted::Counted;

/// Records read for a turn of a cluster that is as it should be, on the average, among so many.
async fn read_by_a_turn(count: usize) -> usize {
    let world = World::new();
    let network =
        crate::state::find::<Network>(&*world.records, crate::resource::network::DEFAULT_NETWORK_ID);
    let network = network.unwrap().unwrap().value;
    let base = crate::resource::network::DEFAULT_VPC_BASE;
    let mut number = 0;
    let vpc = default_records(&network, base, || {
        number += 1;
        format!("{number:017x}")
    });
    world.records.apply(&vpc.unwrap()).unwrap();
    let clusters: Vec<Cluster> =
        (0..count).map(|n| Cluster { id: format!("cache-{n:03}"), ..redis() }).collect();
    let made: Vec<Change> = clusters.iter().map(|cluster| create(cluster).unwrap()).collect();
    world.records.apply(&made).unwrap();
    let records = Counted::new(Arc::clone(&world.records) as Arc<dyn Records>);
    let members = Members::default();
    let tools = Tools {
        records: Arc::clone(&records) as Arc<dyn Records>,
        settings: Arc::new(move |records, cluster| wanted(records, cluster, &members)),
        ..world.tools()
    };
    for round in 0..10 {
        let mut open = 0;
        for cluster in &clusters {
            open += usize::from(tools.turn(&cluster.id).await.unwrap() != Outcome::Settled);
        }
        if open == 0 {
            break;
        }
        assert!(round < 9, "{open} of {count} do not settle");
    }
    assert_eq!(world.host.snapshot().len(), count);
    records.take();
    let began = std::time::Instant::now();
    for cluster in &clusters {
        assert_eq!(tools.turn(&cluster.id).await.unwrap(), Outcome::Settled);
    }
    let (read, took) = (records.take(), began.elapsed());
    eprintln!("{count} settled caches: {} records read and {:?} for each", read / count, took / count as u32);
    read / count
}

#[tokio::test]
async fn a_turn_costs_the_same_among_many() {
    let (few, many) = (read_by_a_turn(20).await, read_by_a_turn(500).await);
    assert!(many <= few + 5, "{few} records among 20 caches, {many} among 500");
}
