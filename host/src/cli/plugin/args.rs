//! What a person types after `exoclaw plugin diff|test|call|bench`.

use std::path::PathBuf;

use clap::Args;

use super::super::Reach;

/// The component that a command is about, and what it runs under.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Subject {
    /// A .wasm file, or bundled:NAME
    pub(super) file: String,
    /// Its settings, as JSON, or @FILE with such
    #[arg(long, value_name = "JSON|@FILE")]
    pub(super) settings: Option<String>,
    /// Use grants, secrets, settings and limits of this plugin of the config; its store is an empty one
    #[arg(long = "as", value_name = "NAME", conflicts_with = "grant")]
    pub(super) like: Option<String>,
    /// Grant it this line of [plugins.grants], such as 'store = true'; may be given again
    #[arg(long, value_name = "LINE")]
    pub(super) grant: Vec<String>,
}

/// `exoclaw plugin diff`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
What needs your eye is marked with `!`: what widens what the plugin may do, what the model
is told, what breaks.

Exit codes:
  0  nothing needs your eye
  1  something does, or the two could not be compared
  2  the command line is wrong
  3  no gateway answers

Examples:
  exoclaw plugin diff ./clock-1.wasm ./clock-2.wasm
  exoclaw plugin diff clock ./clock.wasm   against what runs; where no gateway answers,
                                           against what the config names")]
pub(in crate::cli) struct DiffArgs {
    /// What was: a .wasm file, bundled:NAME, or a plugin of a running gateway or of the config
    pub(super) old: String,
    /// What would be: the same
    pub(super) new: String,
    #[command(flatten)]
    pub(super) reach: Reach,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// `exoclaw plugin test`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Runs the conformance kit on a component, whatever language it was written in. No gateway is
needed. What it imports and was not granted refuses every use, and the report says which
grants it lacks. What it is granted with --as or --grant, its calls do reach.

Exit codes:
  0  it conforms
  1  a case failed
  2  the command line, the config, the settings or the file is wrong

Examples:
  exoclaw plugin test ./clock.wasm
  exoclaw plugin test ./notes.wasm --settings '{\"folder\": \"/notes\"}' --junit report.xml
  exoclaw plugin test ./telegram.wasm --events telegram-events.json --as telegram")]
pub(in crate::cli) struct TestArgs {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// What the platform of a channel sends: a JSON list of events, as docs/plugins.md describes
    #[arg(long, value_name = "FILE")]
    pub(super) events: Option<PathBuf>,
    /// Where all chance begins; the same seed gives the same run
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(super) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Also write the report to FILE, as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
}

/// `exoclaw plugin call`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The result goes to standard output; time, processor time, memory, calls of the host and
bytes sent and received go to standard error.

Exit codes:
  0  it gave a result
  1  it did not
  2  the command line, the config, the settings or the file is wrong, or the arguments do
     not fit the tool's schema

Examples:
  exoclaw plugin call ./clock.wasm current_time '{\"timezone\": \"Europe/Berlin\"}'
  echo '{\"expression\": \"2+2\"}' | exoclaw plugin call bundled:calculator calculate -")]
pub(in crate::cli) struct CallArgs {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// The tool
    pub(super) tool: String,
    /// Its arguments, as JSON, or @FILE with such, or - for standard input
    #[arg(default_value = "{}", value_name = "ARGS")]
    pub(super) arguments: String,
    /// The session that it is told
    #[arg(long, value_name = "KEY", default_value = "default:cli:local:main")]
    pub(super) session: String,
    /// Let time stand still and chance follow from SEED, so that the call can be repeated
    #[arg(long, value_name = "SEED")]
    pub(super) fixed: Option<u64>,
    /// Print JSON: the result and what it took
    #[arg(long)]
    pub(super) json: bool,
}

/// `exoclaw plugin bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Compiles the component, makes some calls that don't count, then the calls one after the
other, then as many at once. Exits with 1 where a call gave no result.

Examples:
  exoclaw plugin bench ./clock.wasm
  exoclaw plugin bench ./clock.wasm --tool current_time --args '{\"timezone\": \"Asia/Tokyo\"}' --calls 10000")]
pub(in crate::cli) struct BenchArgs {
    #[command(flatten)]
    pub(super) subject: Subject,
    /// The tool [default: its first]
    #[arg(long, value_name = "NAME")]
    pub(super) tool: Option<String>,
    /// The tool's arguments, as JSON, or @FILE with such [default: made from its schema]
    #[arg(long = "args", value_name = "JSON|@FILE")]
    pub(super) arguments: Option<String>,
    /// Calls of each run
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) calls: u32,
    /// Calls at once in the second run
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(super) concurrency: u16,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
