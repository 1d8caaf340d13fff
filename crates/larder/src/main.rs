//! The `larder` binary: one command line over the engine and the service; wiring only.
#![forbid(unsafe_code)]

fn main() {}
