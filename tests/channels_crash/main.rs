//! The real binary behind platforms, killed again and again while people write to it: no message is lost, none makes
//! two turns, and a reply is there twice only where a platform without keys cannot tell what it was sent.
//!
//! `EXOCLAW_CHANNEL_MESSAGES` says how many messages are written (200 where it says nothing),
//! `EXOCLAW_CRASH_SEED` by whom and when, and when the process is killed; each run prints its own. The
//! same seed chooses the same again, though what the system was at in that moment is not in its hands.

#![cfg(unix)]
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod audit;
mod discord;
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod life;
#[path = "../e2e/platform/mod.rs"]
mod platform;
mod telegram;

use platform::dice::{self, Dice};

/// How many messages are written, where the environment says nothing.
const MESSAGES: usize = 200;

/// A number from the environment.
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// How many messages, and the dice that decide the rest.
fn chosen() -> (usize, Dice) {
    let messages = number("EXOCLAW_CHANNEL_MESSAGES").unwrap_or(MESSAGES);
    let seed = number("EXOCLAW_CRASH_SEED").unwrap_or_else(dice::any_seed);
    eprintln!("again: EXOCLAW_CHANNEL_MESSAGES={messages} EXOCLAW_CRASH_SEED={seed}");
    (messages, Dice::new(seed))
}
