//! The cases of a tool plugin.
//!
//! Of every tool: arguments that fit its schema are answered, malformed ones too; JSON results fit
//! the output schema; the same call gives the same answer under a standing clock and fixed chance;
//! no call changes the next one; and all of it stays within the plugin's limits.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::runtime::{CallError, Measured, Plugin, RawCall, Tool, ToolProbe};
use crate::store::{SessionKey, ToolContent};

use super::bounds::{Bounds, Ending, advice, ending};
use super::report::{Case, Report, Trial, quote};
use super::run::{DEFINES, DESCRIBES, NOW, Options, asked_twice, limits, malformed_settings};
use super::{generate, malformed};

/// Generated arguments of each tool.
const VARIANTS: usize = 12;

/// Why a check of determinism is left out.
const VARIES: &str = "it imports a capability whose answers may change between two calls";
/// Why the rest of a tool's cases are.
const STUCK: &str = "an earlier call ran into its time limit";
/// Why a check needs arguments that are not there.
const NO_ARGUMENTS: &str =
    "no arguments that fit the schema could be made from it; give `examples` in the schema, which the kit uses";

pub(super) async fn check(plugin: &Arc<Plugin>, options: &Options, report: &mut Report) {
    let Some(probe) = plugin.probe_tools() else { return };
    let session = super::session();
    report.add(asked_twice("describe", DESCRIBES, async || probe.describe().await).await);
    report.add(asked_twice("definitions", DEFINES, async || probe.definitions(None).await).await);
    report.add(malformed_settings(async |settings: &str| probe.definitions(Some(settings)).await).await);
    for tool in plugin.tools() {
        let generated = generate::arguments(tool.input_schema().get(), options.seed, VARIANTS);
        let valid: Vec<Box<RawValue>> =
            generated.into_iter().filter_map(|text| RawValue::from_string(text).ok()).collect();
        let bounds = Bounds::default();
        let varies = plugin.varies();
        let mut bench = Bench { tool, probe, session: &session, seed: options.seed, valid, varies, bounds };
        report.add(bench.arguments().await);
        report.add(bench.malformed().await);
        report.add(bench.results().await);
        report.add(bench.determinism().await);
        report.add(bench.leak().await);
        let id = bench.id("limits");
        report.add(bench.bounds.case(id, &limits(plugin)));
    }
}

/// One tool on the bench.
struct Bench<'a> {
    tool: Tool,
    probe: ToolProbe<'a>,
    session: &'a SessionKey,
    seed: u64,
    /// Arguments that fit its schema.
    valid: Vec<Box<RawValue>>,
    varies: bool,
    bounds: Bounds,
}

impl Bench<'_> {
    fn id(&self, case: &str) -> String {
        format!("tool.{}.{case}", self.tool.name())
    }

    /// A call with arguments that fit, outside of time, and what the host makes of its answer.
    async fn call(&mut self, arguments: &RawValue) -> Result<Vec<ToolContent>, CallError> {
        let (session, seed, name) = (self.session, self.seed, self.tool.name());
        let raw = RawCall { session, now: NOW, seed, name, arguments: arguments.get() };
        let (answer, stats) = self.probe.call(raw).await;
        let result = answer.and_then(|contents| self.probe.checked(&self.tool, contents));
        self.bounds.count(&|| quote(arguments.get()), &result, stats);
        result
    }

    /// A call beneath the host's checks.
    async fn raw(&mut self, call: &malformed::Malformed) -> Measured<()> {
        let name = call.name.as_deref().unwrap_or(self.tool.name());
        let raw = RawCall { session: self.session, now: NOW, seed: self.seed, name, arguments: &call.arguments };
        let (result, stats) = self.probe.call(raw).await;
        let result = result.map(drop);
        self.bounds.count(&|| call.what.clone(), &result, stats);
        (result, stats)
    }

    async fn arguments(&mut self) -> Case {
        let mut trial = Trial::begin(self.id("arguments"), "answers arguments that fit its schema");
        if self.valid.is_empty() {
            return trial.skip(NO_ARGUMENTS);
        }
        let (mut answered, mut refused, mut last) = (0, 0, String::new());
        for arguments in self.valid.clone() {
            let result = self.call(&arguments).await;
            match (&result, ending(&result)) {
                (Err(error), Ending::Crash) => {
                    trial.problem(format!("{}: {}", quote(arguments.get()), advice(error)));
                }
                (Err(error), Ending::Answer) => {
                    refused += 1;
                    last = format!("; the last one because: {error}");
                }
                _ => answered += 1,
            }
            if self.bounds.is_stuck() {
                break;
            }
        }
        trial.end(format!("{answered} answered, {refused} refused by itself{last}"))
    }

    async fn malformed(&mut self) -> Case {
        let mut trial = Trial::begin(self.id("malformed"), "survives malformed input");
        let schema: Value = serde_json::from_str(self.tool.input_schema().get()).unwrap_or_default();
        let first = self.valid.first().map(|arguments| arguments.get());
        let (mut refused, mut answered) = (0, 0);
        for call in malformed::calls(&schema, first) {
            if self.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let (result, _) = self.raw(&call).await;
            match (&result, ending(&result)) {
                (Err(error), Ending::Crash) => trial.problem(format!("{}: {}", call.what, advice(error))),
                (Err(_), _) => refused += 1,
                (Ok(()), _) => answered += 1,
            }
        }
        trial.end(format!("{refused} refused, {answered} taken"))
    }

    async fn results(&mut self) -> Case {
        let mut trial = Trial::begin(self.id("results"), "returns what its output schema and the contract allow");
        let (mut json, mut results) = (0, 0);
        for arguments in self.valid.clone() {
            if self.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            match self.call(&arguments).await {
                Ok(contents) => {
                    results += 1;
                    json += contents.iter().filter(|content| matches!(content, ToolContent::Json { .. })).count();
                }
                Err(CallError::InvalidResult(problem)) => {
                    trial.problem(format!("{}: {problem}", quote(arguments.get())));
                }
                Err(_) => {}
            }
        }
        if results == 0 {
            return trial.skip("no generated arguments gave a result");
        }
        trial.end(match (self.tool.info().output_schema.is_some(), json) {
            (true, 0) => format!("{results} results, none of them JSON: the output schema was not tried"),
            (true, json) => format!("{results} results, {json} held against the output schema"),
            (false, _) => format!("{results} results"),
        })
    }

    async fn determinism(&mut self) -> Case {
        let mut trial =
            Trial::begin(self.id("determinism"), "gives the same answer to the same call, with clock and chance fixed");
        if self.varies {
            return trial.skip(VARIES);
        }
        if self.valid.is_empty() {
            return trial.skip(NO_ARGUMENTS);
        }
        for arguments in self.valid.clone() {
            if self.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            let (first, second) = (self.call(&arguments).await, self.call(&arguments).await);
            trial.require(first == second, || {
                format!("{}: first {}, then {}", quote(arguments.get()), shown(&first), shown(&second))
            });
        }
        trial.end(format!("{} calls, each made twice", self.valid.len()))
    }

    async fn leak(&mut self) -> Case {
        let mut trial = Trial::begin(self.id("leak"), "answers as before after other calls");
        if self.varies {
            return trial.skip(VARIES);
        }
        let Some(arguments) = self.valid.first().cloned() else { return trial.skip(NO_ARGUMENTS) };
        if self.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        let before = self.call(&arguments).await;
        for other in self.valid.clone().iter().skip(1) {
            let _ = self.call(other).await;
        }
        let malformed = malformed::Malformed { what: "half an object".into(), name: None, arguments: "{".into() };
        let _ = self.raw(&malformed).await;
        let after = self.call(&arguments).await;
        trial.require(before == after, || {
            format!("{}: before {}, after {}", quote(arguments.get()), shown(&before), shown(&after))
        });
        trial.end("")
    }
}

fn shown(result: &Result<Vec<ToolContent>, CallError>) -> String {
    match result {
        Ok(contents) => match serde_json::to_string(contents) {
            Ok(text) => quote(&text),
            Err(_) => "a result".into(),
        },
        Err(error) => quote(&error.to_string()),
    }
}
