//! Globs: matching ends, and agrees with a plain recursive matcher where that one is affordable.
#![no_main]

use larder_fuzz::glob::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8])| run(input));
