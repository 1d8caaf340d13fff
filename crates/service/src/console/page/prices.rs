//! Node types, what they have, and what AWS asks for them.

use crate::console::board::{Board, Cell, Table};
use crate::console::show::{gib, hourly, monthly};
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError};
use crate::resource::node_type::{self, NodeType};

/// The table. It tells what AWS publishes and nothing of this account, so everybody who is signed in may see it.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    let price = |micro_usd: Option<u64>, form: &dyn Fn(u64) -> String| {
        Cell::Number(micro_usd.map_or_else(|| "not offered".to_owned(), form))
    };
    let row = |node_type: &NodeType| {
        vec![
            Cell::Code(node_type.name.to_owned()),
            Cell::Number(gib(node_type.memory_bytes)),
            Cell::Number(node_type.vcpu_count.to_string()),
            Cell::Number(node_type.network.map_or_else(String::new, |network| format!("{network} Gbit/s"))),
            price(node_type.price_micro_usd, &hourly),
            price(node_type.price_micro_usd, &|price| monthly(price, 1)),
            price(node_type.valkey_price_micro_usd, &hourly),
            price(node_type.valkey_price_micro_usd, &|price| monthly(price, 1)),
        ]
    };
    let intro =
        "What AWS asks for a node in us-east-1, on demand, with 730 hours in a month. Larder bills nothing.";
    let mut board = Board::of(visit, "prices", "Prices", intro);
    board.tables.push(Table {
        heading: "",
        columns: &[
            "Node type",
            "Memory",
            "vCPU",
            "Network",
            "Redis, Memcached: hour",
            "month",
            "Valkey: hour",
            "Valkey: month",
        ],
        rows: node_type::all().iter().map(row).collect(),
        empty: "",
    });
    Ok(board.answer())
}
