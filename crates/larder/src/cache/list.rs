//! `larder caches`: the table of all caches.

use super::{Cache, all};
use crate::api::Api;
use crate::arguments::{Caches, Output};
use crate::failure::Failure;
use crate::terminal::{Paint, Table, print, print_json};

pub(crate) fn caches(arguments: &Caches) -> Result<(), Failure> {
    let caches = all(&Api::find(&arguments.asking.place)?)?;
    match arguments.asking.format.output {
        Output::Json => print_json(&caches),
        Output::Table if caches.is_empty() => {
            print("There are no caches yet. Make one: larder create sessions --wait\n")
        }
        Output::Table => print(&table(&caches).render(Paint::for_stdout())),
    }
    Ok(())
}

fn table(caches: &[Cache]) -> Table {
    let mut table = Table::new(&["NAME", "ENGINE", "STATUS", "NODE TYPE", "NODES", "ENDPOINT"]);
    for cache in caches {
        let engine = format!("{} {}", cache.engine, cache.engine_version);
        let endpoint = cache.first_address().unwrap_or_else(|| "-".into());
        let nodes = cache.node_count.to_string();
        table.row(&[&cache.name, engine.trim(), &cache.status, &cache.node_type, &nodes, &endpoint]);
    }
    table
}
