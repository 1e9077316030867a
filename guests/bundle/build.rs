//! Builds the guests of this bundle.

use std::process::ExitCode;

const GUESTS: &[&str] =
    &["calculator", "clock", "discord", "echo", "irc", "loopback", "slack", "telegram", "webhook", "whatsapp"];

fn main() -> ExitCode {
    match exoclaw_builder::bundle("..", GUESTS) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
