//! Files of snapshots: never a panic, never more memory than the file has bytes for, and the same whatever the pieces in
#![no_main]

use larder_fuzz::rdb_file::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
