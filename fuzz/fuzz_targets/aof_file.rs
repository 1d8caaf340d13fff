//! Append-only files and their manifests: never a panic, every range within the bytes, the same whatever the pieces in which
#![no_main]

use larder_fuzz::aof_file::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
