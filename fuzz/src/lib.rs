//! What is fuzzed: one function for each target, which panics where something does not hold.
//!
//! libFuzzer calls them through `fuzz_targets/`, and `tests/fuzz.rs` of the host over the corpus
//! and mutations of it, with every test run and on any toolchain.

pub mod address;
pub mod arguments;
pub mod channel;
pub mod component;
pub mod config;
pub mod grants;
pub mod redact;
pub mod signature;
pub mod sse;

/// The input's first lines as text, and all that follows them.
fn lines<const N: usize>(input: &[u8]) -> Option<([&str; N], &[u8])> {
    let mut rest = input;
    let mut lines = [""; N];
    for line in &mut lines {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        *line = std::str::from_utf8(&rest[..end]).ok()?;
        rest = &rest[end + 1..];
    }
    Some((lines, rest))
}
