//! Builds the guests of this bundle.

use std::process::ExitCode;

/// The test plugins, built from `guests/`.
const GUESTS: &[&str] = &[
    "fetcher",
    "hostile",
    "keeper",
    "misdeclared",
    "sender",
    "stubborn",
    "successor",
    "undescribed",
    "ungranted",
    "unruly",
];

fn main() -> ExitCode {
    let built =
        exoclaw_builder::bundle("..", GUESTS).and_then(|()| exoclaw_builder::make("..", "exoclaw-attacks", "hostile"));
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
