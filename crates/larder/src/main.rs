//! The `larder` binary: one command line over the engine and the service; wiring only.
//!
//! Reading order: `arguments` (what can be said), `up` and `node` (the two programs), `memcached` (the second by
//! another command line), `environment`, `cache`, `connect`, `dns` (what talks to them), `rdb` (files), `api` (how),
//! `terminal` and `failure` (how it looks).
#![forbid(unsafe_code)]

mod api;
mod arguments;
mod cache;
mod connect;
mod dns;
mod environment;
mod failure;
mod iam;
mod journal;
mod memcached;
mod node;
mod rdb;
mod terminal;
mod up;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Command, CommandLine};

/// Every byte of the process is counted, so that a node's `maxmemory` bounds what it really holds.
#[global_allocator]
static ALLOCATOR: larder_engine::memory::Counting<tikv_jemallocator::Jemalloc> =
    larder_engine::memory::Counting(tikv_jemallocator::Jemalloc);

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Up(arguments) => up::up(arguments),
        Command::Env(arguments) => environment::env(&arguments),
        Command::Caches(arguments) => cache::caches(&arguments),
        Command::Create(arguments) => cache::create(&arguments),
        Command::Show(arguments) => cache::show(&arguments),
        Command::Delete(arguments) => cache::delete(&arguments),
        Command::Connect(arguments) => connect::connect(&arguments),
        Command::Why(arguments) => connect::why(&arguments),
        Command::Advise(arguments) => connect::advise(&arguments),
        Command::Events(arguments) => cache::events(&arguments),
        Command::Failover(arguments) => cache::failover(&arguments),
        Command::Backup(arguments) => cache::backup(&arguments),
        Command::Snapshots(arguments) => cache::snapshots(&arguments),
        Command::Restore(arguments) => cache::restore(&arguments),
        Command::Users(arguments) => cache::users(&arguments),
        Command::Iam(arguments) => iam::iam(&arguments),
        Command::Dns(arguments) => dns::dns(&arguments),
        Command::Node(arguments) => node::node(arguments),
        Command::Memcached(arguments) => return memcached::memcached(arguments),
        Command::Rdb(arguments) => rdb::rdb(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("larder: {failure}");
            ExitCode::from(failure.code as u8)
        }
    }
}
