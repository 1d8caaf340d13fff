//! The Memcached binary protocol: what is found lies within the input and the limits, and a prefix asks for more.
#![no_main]

use larder_fuzz::memcache_binary::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
