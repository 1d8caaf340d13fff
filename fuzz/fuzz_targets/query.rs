//! Forms of the AWS Query protocol: any bytes give a tree or an error, and any tree a value or an error.
#![no_main]

use larder_fuzz::query::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run(bytes));
