//! The meta commands: flags of any kind are understood or refused, and keys in base64 stay within their limit.
#![no_main]

use larder_fuzz::memcache_meta::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| run(input));
