//! Signatures: whatever stands in the headers and the query of a request, nobody without the secret is let in.
#![no_main]

use larder_fuzz::signature::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str, &[u8])| run(input));
