//! One run of the kit: from a component to a report.

use std::sync::Arc;

use crate::runtime::{Linkage, LoadError, LoadProblem, Measured, Plugin, PluginKind, PluginSpec, Runtime};
use crate::store::{SessionKey, Timestamp};

use super::bounds::{Ending, advice, ending};
use super::events::Recorded;
use super::report::{Case, Report, Trial};
use super::{channel as channels, malformed, tool};

/// When every call of a run takes place: 2026-03-14T14:09:26Z.
pub const NOW: Timestamp = Timestamp(1_773_497_366_000);

/// The session that tools are called in.
#[must_use]
pub fn session() -> SessionKey {
    SessionKey::main("kit")
}

const LOADS: &str = "loads, and says which grants it needs";
pub(super) const DESCRIBES: &str = "describes itself the same way twice";
const SCHEMAS: &str = "has JSON Schemas that compile";
pub(super) const DEFINES: &str = "gives the same answer to the same settings";

/// How a component is tried.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where all chance of the run begins.
    pub seed: u64,
    /// What the platform of a channel sends, in its order.
    pub events: Vec<Recorded>,
}

/// Tries a component. With [`Linkage::Refusing`], every capability that it imports and was not
/// granted refuses every use.
///
/// # Errors
/// It could not be tried: there is no such file, or its settings do not fit. What else keeps it
/// from being loaded is a failed case of the report.
pub async fn run(runtime: &Runtime, spec: PluginSpec, options: &Options) -> Result<Report, LoadError> {
    let mut report = Report::new(spec.name.to_string(), options.seed);
    let linkage = spec.linkage;
    let trial = Trial::begin("load", LOADS);
    let plugin = match runtime.load(spec).await {
        Ok(plugin) => plugin,
        Err(error) => {
            report.add(failed_load(trial, error)?);
            return Ok(report);
        }
    };
    let info = plugin.info();
    report.kind = Some(info.kind);
    report.sha256 = Some(info.sha256.clone());
    let lacking: Vec<String> = info.lacks.iter().map(|lack| format!("{} ({})", lack.what, lack.line)).collect();
    report.add(trial.end(match (lacking.is_empty(), linkage) {
        (true, Linkage::Refusing) => "under no grants".to_owned(),
        (true, Linkage::Granted) => "under the grants that it was given".to_owned(),
        (false, _) => format!("it lacks {}; what it lacks refuses it here", lacking.join(", ")),
    }));
    report.add(Trial::begin("schemas", SCHEMAS).end(""));
    match info.kind {
        PluginKind::Tool => tool::check(&plugin, options, &mut report).await,
        PluginKind::Channel => channels::check(&plugin, options, &mut report).await,
    }
    Ok(report)
}

/// Which case a component fails that does not load.
fn failed_load(loads: Trial, error: LoadError) -> Result<Case, LoadError> {
    let mut trial = match &*error.problem {
        LoadProblem::Bundled { .. }
        | LoadProblem::Read { .. }
        | LoadProblem::Digest { .. }
        | LoadProblem::Settings(_) => return Err(error),
        LoadProblem::SettingsSchema(_) | LoadProblem::ToolSchema { .. } => Trial::begin("schemas", SCHEMAS),
        LoadProblem::Call { function: "describe", .. } => Trial::begin("describe", DESCRIBES),
        LoadProblem::Call { function, .. } => Trial::begin(*function, DEFINES),
        LoadProblem::ToolCount(_)
        | LoadProblem::ToolName(_)
        | LoadProblem::DuplicateTool(_)
        | LoadProblem::ToolText { .. } => Trial::begin("definitions", DEFINES),
        _ => loads,
    };
    trial.problem(error.problem.to_string());
    Ok(trial.end(""))
}

/// Asks twice and compares.
pub(super) async fn asked_twice<R: PartialEq>(
    id: &str,
    sentence: &'static str,
    ask: impl AsyncFn() -> Measured<R>,
) -> Case {
    let mut trial = Trial::begin(id, sentence);
    match (ask().await.0, ask().await.0) {
        (Ok(first), Ok(second)) => {
            trial.require(first == second, || "the second answer is another than the first".into());
        }
        (Err(error), _) | (_, Err(error)) => trial.problem(advice(&error)),
    }
    trial.end("")
}

/// Asks with settings that are none. A plugin may be lenient; it may not crash.
pub(super) async fn malformed_settings<R>(ask: impl AsyncFn(&str) -> Measured<R>) -> Case {
    let mut trial = Trial::begin("settings", "survives settings that are none");
    let (mut refused, mut tried) = (0, 0);
    for (what, settings) in malformed::documents() {
        let (result, _) = ask(&settings).await;
        tried += 1;
        match (&result, ending(&result)) {
            (Err(error), Ending::Crash | Ending::Limit) => {
                trial.problem(format!("{what} as its settings: {}", advice(error)));
            }
            (Err(_), _) => refused += 1,
            (Ok(_), _) => {}
        }
    }
    trial.end(format!("{refused} of {tried} refused"))
}

/// A plugin's own limits, in words.
pub(super) fn limits(plugin: &Arc<Plugin>) -> crate::runtime::LimitsInfo {
    plugin.info().limits
}
