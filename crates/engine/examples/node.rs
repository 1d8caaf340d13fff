//! The engine alone: `cargo run --release --example node -- --port 7000 --threads 1`.

use larder_engine::config::parse;
use larder_engine::journal;

#[global_allocator]
static ALLOCATOR: larder_engine::memory::Counting<tikv_jemallocator::Jemalloc> =
    larder_engine::memory::Counting(tikv_jemallocator::Jemalloc);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = parse::arguments(&arguments).map_err(|error| error.to_string()).and_then(|config| {
        journal::start(config.settings.loglevel, None).map_err(|error| error.to_string())?;
        larder_engine::run::run(config).map_err(|error| error.to_string())
    });
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
