//! The handshake of replication, from both ends.
#![no_main]

use larder_fuzz::handshake::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
