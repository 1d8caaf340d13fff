//! Replies as a client reads them: never a panic, a value's prefix is incomplete and never something else.
#![no_main]

use larder_fuzz::resp_value::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
