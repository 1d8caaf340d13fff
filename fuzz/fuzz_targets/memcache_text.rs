//! The Memcached text protocol: any split of a stream reads the same, and what is read lies within limits.
#![no_main]

use larder_fuzz::memcache_text::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &[u8])| run(input));
