//! The quick way of reading Memcached requests: what it reads, the text protocol's parser reads as the same.
#![no_main]

use larder_fuzz::memcache_quick::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| run(input));
