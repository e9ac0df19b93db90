#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rolecall_protocol::fuzz::exec_info(input));
