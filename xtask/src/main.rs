//! Checks and chores of the project: `cargo xtask tidy`.
fn main() {}
