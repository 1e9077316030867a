#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    exoclaw_fuzz::channel::webhook(input);
});
