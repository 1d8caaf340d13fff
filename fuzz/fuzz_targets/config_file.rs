//! A configuration file from anybody: read or refused with its line, never a panic. Lines that would touch the machine
#![no_main]

use larder_fuzz::config_file::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| run(data));
