//! The real binary behind platforms, killed again and again while people write to it: no message is lost, none makes
//! two turns, and an answer is there twice only where a platform without keys cannot tell what it was sent: exactly those
//! answers, which the store had under way when the process was killed, and which `exoclaw outbox list` tells its owner of.
//!
//! `EXOCLAW_CHANNEL_MESSAGES` says how many messages are written (160 where it says nothing),
//! `EXOCLAW_CRASH_SEED` by whom and when, and when the process is killed; each run prints its own. The
//! same seed chooses the same again, though what the system was at in that moment is not in its hands.

#![cfg(unix)]
#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod audit;
mod discord;
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod life;
mod people;
#[path = "../e2e/platform/mod.rs"]
mod platform;
mod telegram;

use platform::dice::{self, Dice};

/// How many messages are written, where the environment says nothing.
const MESSAGES: usize = 160;

/// A number from the environment.
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// What decides about a run.
struct Chosen {
    /// How many messages are written.
    messages: usize,
    /// The rest.
    dice: Dice,
}

/// As the environment has it, with one in so many of the messages.
fn chosen(one_in: usize) -> Chosen {
    let messages = number("EXOCLAW_CHANNEL_MESSAGES").unwrap_or(MESSAGES);
    let seed = number("EXOCLAW_CRASH_SEED").unwrap_or_else(dice::any_seed);
    eprintln!("again: EXOCLAW_CHANNEL_MESSAGES={messages} EXOCLAW_CRASH_SEED={seed}");
    Chosen { messages: messages.div_ceil(one_in), dice: Dice::new(seed) }
}
