//! The fuzz targets without a fuzzer: over the corpus, and over mutations of it that are the same
//! in every run, so that any toolchain finds at once what a change breaks.
//!
//! `EXOCLAW_FUZZ_TIMES=100` tries a hundred times as many. `fuzz/README.md` tells how to look for
//! new inputs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[allow(unreachable_pub, reason = "the fuzzer reaches it")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// The longest input that mutations grow to, in bytes.
const MAX_INPUT: usize = 8 << 10;

/// Runs a target over its corpus, and over `count` mutations of it. It says of an input whether it
/// got through to what the target is about.
fn replay(name: &str, count: usize, target: fn(&[u8]) -> bool) {
    let corpus = corpus(name);
    let through = corpus.iter().filter(|input| check(target, input)).count();
    assert!(through > 0, "no input of the corpus of `{name}` gets to what it is about");
    let times = std::env::var("EXOCLAW_FUZZ_TIMES").map_or(1, |times| times.parse().expect("a number"));
    let mut random = Random(0x5eed);
    for _ in 0..count * times {
        let mut input = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(5) {
            let other = &corpus[random.below(corpus.len())];
            mutate(&mut input, other, &mut random);
        }
        input.truncate(MAX_INPUT);
        check(target, &input);
    }
}

/// The committed inputs of a target, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn check(target: fn(&[u8]) -> bool, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
        eprintln!("the input was b\"{}\"", input.escape_ascii());
        resume_unwind(panic)
    })
}

/// Changes one thing.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    const TELLING: &[u8] = b"\0\x01\x7f\x80\xff\n\r \"'\\/%+-.:;?#@[]{}=&*0";
    let at = random.below(input.len() + 1);
    let telling = TELLING[random.below(TELLING.len())];
    match random.below(7) {
        0 => input.insert(at, telling),
        1 if at < input.len() => input[at] = telling,
        2 if at < input.len() => input[at] ^= 1 << random.below(8),
        3 => drop(input.drain(at..(at + 1 + random.below(16)).min(input.len()).max(at))),
        4 => {
            let from = random.below(input.len() + 1);
            let part = input[from..(from + random.below(32)).min(input.len())].to_vec();
            drop(input.splice(at..at, part));
        }
        5 => {
            let from = random.below(other.len() + 1);
            let part = &other[from..(from + random.below(64)).min(other.len())];
            drop(input.splice(at..at, part.iter().copied()));
        }
        _ => input.truncate(at.max(input.len() / 2)),
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ mixed >> 31) % bound.max(1) as u64).unwrap()
    }
}

#[test]
fn addresses() {
    replay("address", 4000, targets::address::run);
}

#[test]
fn arguments() {
    replay("arguments", 2000, targets::arguments::run);
}

#[test]
fn what_discord_sends() {
    replay("discord", 100, targets::channel::discord);
}

#[test]
fn what_irc_servers_send() {
    replay("irc", 100, targets::channel::irc);
}

#[test]
fn what_slack_sends() {
    replay("slack", 100, targets::channel::slack);
}

#[test]
fn what_telegram_sends() {
    replay("telegram", 100, targets::channel::telegram);
}

#[test]
fn what_any_webhook_is_sent() {
    replay("webhook", 100, targets::channel::webhook);
}

#[test]
fn what_whatsapp_sends() {
    replay("whatsapp", 100, targets::channel::whatsapp);
}

#[test]
fn components() {
    replay("component", 200, targets::component::run);
}

#[test]
fn configs() {
    replay("config", 1000, targets::config::run);
}

#[test]
fn grants() {
    replay("grants", 4000, targets::grants::run);
}

#[test]
fn redactions() {
    replay("redact", 1000, targets::redact::run);
}

#[test]
fn signatures() {
    replay("signature", 4000, targets::signature::run);
}

#[test]
fn server_sent_events() {
    replay("sse", 2000, targets::sse::run);
}
