//! Payloads of RESTORE: never a panic, and a value that was read is written and read again as the same.
#![no_main]

use larder_fuzz::dump_payload::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
