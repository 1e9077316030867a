//! Builds the guests of this bundle.

use std::process::ExitCode;

fn main() -> ExitCode {
    match exoclaw_builder::bundle(
        "..",
        &["calculator", "clock", "echo", "irc", "loopback", "telegram", "webhook", "whatsapp"],
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
