//! The real binary, killed again and again at moments that it does not choose, and started again on the
//! same files. What it acknowledged is there once, what it began has one end, and every request that
//! a provider got is on record.
//!
//! `EXOCLAW_CRASHES` says how often it is killed (20 where it says nothing), `EXOCLAW_CRASH_SEED` which
//! moments and which conversations are chosen; each run prints its own. The same seed chooses the same again,
//! though what the system was at in that moment is not in its hands.

#![cfg(unix)]
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod audit;
mod books;
mod dice;
mod era;
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod link;
mod model;
mod seen;
mod storage;
mod user;

use dice::Dice;

/// How often the process is killed, where the environment says nothing.
const CRASHES: u32 = 20;

/// Kills on one set of files. With more, the run begins anew with empty ones, so that memory and
/// the last look at everything stay bounded.
const ERA: u32 = 200;

/// A number from the environment.
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let mut left = number("EXOCLAW_CRASHES").unwrap_or(CRASHES);
    let mut seed = number("EXOCLAW_CRASH_SEED").unwrap_or_else(dice::any_seed);
    while left > 0 {
        let crashes = left.min(ERA);
        left -= crashes;
        eprintln!("again: EXOCLAW_CRASHES={crashes} EXOCLAW_CRASH_SEED={seed}");
        era::run(crashes, Dice::new(seed)).await;
        seed = Dice::new(seed).next();
    }
}
