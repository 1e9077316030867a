//! `exoclaw plugin bench`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::super::{CliError, Exit, output};
use super::args::BenchArgs;
use super::call;
use super::subject;
use crate::config::Loaded;
use crate::kit;
use crate::kit::bench::{self, Figures};
use crate::runtime::{Linkage, PluginSpec, Tool};
use crate::store::SessionKey;

/// Where the chance of arguments begins that are made from a schema.
const SEED: u64 = 1;

pub(super) async fn run(args: BenchArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let at_once = usize::from(args.concurrency);
    let mut spec: PluginSpec = args.subject.spec(&loaded, Linkage::Granted).await?;
    spec.limits.concurrency = spec.limits.concurrency.max(at_once);
    let session = SessionKey::new("bench", "cli", "local", "main").map_err(CliError::failed)?;
    let runtime = args.subject.runtime(&spec, &loaded, &session, at_once).await?;
    let started = Instant::now();
    let plugin = runtime.load(spec).await.map_err(subject::refused)?;
    let load_ms = started.elapsed().as_secs_f64() * 1e3;
    let tool = call::find(&plugin.tools(), args.tool.as_deref())?;
    let arguments: Arc<RawValue> = arguments(&tool, args.arguments.as_deref())?.into();
    let calls = usize::try_from(args.calls).unwrap_or(usize::MAX);
    let sequential = bench::run(&tool, &arguments, &session, calls, 1).await;
    let concurrent = bench::run(&tool, &arguments, &session, calls, at_once).await;
    if args.json {
        let answer = json!({
            "plugin": plugin.name().as_str(),
            "sha256": plugin.info().sha256,
            "tool": tool.name(),
            "arguments": &*arguments,
            "load_ms": load_ms,
            "sequential": sequential,
            "concurrent": concurrent,
        });
        output::print_json(&to_raw_value(&answer).map_err(CliError::failed)?)?;
    } else {
        let mut text = format!("{} of {}, {} bytes of arguments\n", tool.name(), plugin.name(), arguments.get().len());
        let _ = writeln!(text, "loaded in {load_ms:.1} ms\n");
        text.push_str(&table(&sequential, &concurrent));
        output::print(text.as_bytes())?;
    }
    let failed = sequential.failed + concurrent.failed;
    if failed > 0 && !args.json {
        output::print(format!("\n{failed} calls gave no result; `exoclaw plugin call` says why\n").as_bytes())?;
    }
    Ok(if failed > 0 { Exit::Failed } else { Exit::Done })
}

fn arguments(tool: &Tool, given: Option<&str>) -> Result<Box<RawValue>, CliError> {
    let text = match given {
        Some(given) => subject::text(given)?,
        None => kit::arguments(tool.input_schema().get(), SEED, 1).pop().ok_or_else(|| {
            CliError::Usage("no arguments could be made from the tool's schema; give some with --args".into())
        })?,
    };
    RawValue::from_string(text.trim().to_owned())
        .map_err(|error| CliError::Usage(format!("the arguments are not JSON: {error}")))
}

/// Both runs side by side.
fn table(sequential: &Figures, concurrent: &Figures) -> String {
    type Show = fn(&Figures) -> String;
    let rows: [(&str, Show); 11] = [
        ("calls", |figures| figures.calls.to_string()),
        ("at once", |figures| figures.concurrency.to_string()),
        ("without a result", |figures| figures.failed.to_string()),
        ("shortest", |figures| format!("{:.3} ms", figures.min_ms)),
        ("median", |figures| format!("{:.3} ms", figures.median_ms)),
        ("9 of 10", |figures| format!("{:.3} ms", figures.p90_ms)),
        ("99 of 100", |figures| format!("{:.3} ms", figures.p99_ms)),
        ("longest", |figures| format!("{:.3} ms", figures.max_ms)),
        ("processor, median", |figures| format!("{:.3} ms", figures.cpu_median_ms)),
        ("most memory", |figures| format!("{:.1} MiB", figures.memory_peak as f64 / f64::from(1 << 20))),
        ("calls a second", |figures| format!("{:.0}", figures.calls_per_second)),
    ];
    let mut text = String::new();
    for (name, show) in rows {
        let _ = writeln!(text, "{name:18}{:>14}{:>14}", show(sequential), show(concurrent));
    }
    text
}
