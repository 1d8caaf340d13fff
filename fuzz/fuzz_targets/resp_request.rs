//! Requests: any split of a stream reads the same, ranges lie within the input, nothing is read beyond it.
#![no_main]

use larder_fuzz::resp_request::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<u8>, &[u8])| run(input));
