//! The `larder` binary: one command line over the engine and the service; wiring only.
fn main() {}
