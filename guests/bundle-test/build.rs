//! Builds the guests of this bundle.

use std::process::ExitCode;

fn main() -> ExitCode {
    let built = exoclaw_builder::bundle("..", &["hostile", "misdeclared", "undescribed", "ungranted"])
        .and_then(|()| exoclaw_builder::make("..", "exoclaw-attacks", "hostile"));
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}
