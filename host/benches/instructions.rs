//! Instructions of one tool call, counted by callgrind: the same number on every machine of one kind,
//! however busy it is. Fails where they are more than [`TOLERANCE`] above `instructions.txt`;
//! `UPDATE=1` writes what was counted there instead.
//!
//! Runs itself under `valgrind`, with few and with many calls; the difference is the calls'.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "support/bare.rs"]
mod bare;

use std::path::Path;
use std::process::{Command, ExitCode};

use bare::{Bare, arguments, ours};
use exoclaw::config::PluginLimits;
use exoclaw::runtime::{PluginSpec, Runtime, Services, Source};

/// What is recorded.
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

/// How much more than recorded is a regression.
const TOLERANCE: f64 = 1.03;

/// Valgrind refuses maps of 64 GiB and more.
const SLOTS: usize = 4;

const FEW: u32 = 50;
const MANY: u32 = 550;

/// The sides that are counted.
const SIDES: [&str; 2] = ["bare", "ours"];

/// Set for the runs under valgrind: which side, and how many calls.
const SIDE: &str = "INSTRUCTIONS_SIDE";
const CALLS: &str = "INSTRUCTIONS_CALLS";

fn main() -> ExitCode {
    if let (Ok(side), Ok(calls)) = (std::env::var(SIDE), std::env::var(CALLS)) {
        run(&side, calls.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let counted = SIDES.map(|side| {
        let (few, many) = (count(side, FEW), count(side, MANY));
        (many - few) / u64::from(MANY - FEW)
    });
    let [bare, ours] = counted;
    println!("instructions: ours {ours}, bare {bare}, ratio {:.3}", ours as f64 / bare as f64);
    let text = format!("bare {bare}\nours {ours}\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(RECORD, text).unwrap();
        return ExitCode::SUCCESS;
    }
    let recorded = std::fs::read_to_string(RECORD).unwrap();
    let recorded: u64 = recorded.lines().find_map(|line| line.strip_prefix("ours ")).unwrap().parse().unwrap();
    if ours as f64 > recorded as f64 * TOLERANCE {
        eprintln!("a call takes {ours} instructions, and {recorded} are recorded in {RECORD}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions of a whole run.
fn count(side: &str, calls: u32) -> u64 {
    let out = std::env::temp_dir().join(format!("exoclaw-instructions-{}-{side}-{calls}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap())
        .env(SIDE, side)
        .env(CALLS, calls.to_string())
        .status()
        .expect("valgrind, from Debian's package of that name");
    assert!(status.success(), "the run under valgrind failed: {status}");
    let profile = std::fs::read_to_string(&out).unwrap();
    remove(&out);
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    total.unwrap().split(' ').next().unwrap().parse().unwrap()
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        eprintln!("{} stays behind: {error}", path.display());
    }
}

fn run(side: &str, calls: u32) {
    // One thread, so that the order of things is always the same.
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = Runtime::with_slots(SLOTS, Services::detached()).unwrap();
        let guest = exoclaw_bundle::find("echo").unwrap();
        let limits = PluginLimits { rate: u32::MAX, ..PluginLimits::default() };
        let spec = PluginSpec { limits, ..PluginSpec::new("echo".parse().unwrap(), Source::Bundled(guest)) };
        let tool = runtime.load(spec).await.unwrap().tools().remove(0);
        let arguments = arguments();
        let bare = Bare::new(runtime.engine(), guest.bytes, arguments.get()).unwrap();
        for _ in 0..calls {
            match side {
                "bare" => bare.call().await,
                _ => ours(&tool, &arguments).await,
            }
        }
    });
}
