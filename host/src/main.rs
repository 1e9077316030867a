//! The program `exoclaw`: the commands of [`exoclaw::cli`].

use std::process::ExitCode;

use clap::Parser;
use exoclaw::cli;

fn main() -> ExitCode {
    cli::report(cli::run(cli::Cli::parse()))
}
