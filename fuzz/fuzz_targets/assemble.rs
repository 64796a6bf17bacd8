#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ductstream_fuzz::assemble(input));
