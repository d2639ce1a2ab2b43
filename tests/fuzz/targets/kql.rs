#![no_main]
#![allow(dead_code, missing_docs)]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::kql::check(input));
