//! What the kit found: named cases, each passed, failed or skipped.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::runtime::{PluginKind, TrapClass};
use crate::text;

/// Characters of one line of a case's detail.
const LINE: usize = 400;
/// Problems of one case that are told; the others are counted.
const MAX_PROBLEMS: usize = 8;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "lowercase")]
pub enum Outcome {
    /// It holds; with what is worth knowing besides, or nothing.
    Pass(String),
    /// It does not, for these reasons, at least one.
    Fail(Vec<String>),
    /// It could not be tried, for this reason.
    Skip(String),
}

/// One thing that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// Stays the same between versions of the kit: `describe`, `tool.echo.malformed`.
    pub id: String,
    /// What should hold, as a sentence about the plugin.
    pub sentence: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub time: Duration,
}

/// What was found of one component.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its name.
    pub plugin: String,
    /// What it is, where it could be loaded.
    pub kind: Option<PluginKind>,
    /// Of the component, in hexadecimal, where it could be loaded.
    pub sha256: Option<String>,
    /// With which the run can be repeated.
    pub seed: u64,
    /// In the order in which they were tried.
    pub cases: Vec<Case>,
    /// How many of them passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// How many could not be tried.
    pub skipped: usize,
    /// How long all of it took.
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub time: Duration,
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((time.as_secs_f64() * 1e6).round() / 1e3)
}

impl Report {
    pub(super) fn new(plugin: String, seed: u64) -> Self {
        let (cases, time) = (Vec::new(), Duration::ZERO);
        Self { plugin, kind: None, sha256: None, seed, cases, passed: 0, failed: 0, skipped: 0, time }
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.failed == 0
    }

    pub(super) fn add(&mut self, case: Case) {
        match case.outcome {
            Outcome::Pass(_) => self.passed += 1,
            Outcome::Fail(_) => self.failed += 1,
            Outcome::Skip(_) => self.skipped += 1,
        }
        self.time += case.time;
        self.cases.push(case);
    }

    /// One line a case, the reasons below it, and a line that sums up.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = self.cases.iter().map(|case| case.id.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for case in &self.cases {
            let (word, details) = match &case.outcome {
                Outcome::Pass(detail) if detail.is_empty() => ("pass", &[][..]),
                Outcome::Pass(detail) => ("pass", std::slice::from_ref(detail)),
                Outcome::Skip(detail) => ("skip", std::slice::from_ref(detail)),
                Outcome::Fail(problems) => ("FAIL", problems.as_slice()),
            };
            let id = text::one_line(&case.id, LINE);
            let _ = writeln!(text, "{word}  {id:width$}  {}", case.sentence);
            for detail in details {
                let _ = writeln!(text, "      {:width$}    {}", "", text::one_line(detail, LINE));
            }
        }
        let name = text::one_line(&self.plugin, LINE);
        let result = if self.is_pass() { "conforms" } else { "does not conform" };
        let _ = writeln!(
            text,
            "\n{name} {result}: {} passed, {} failed, {} skipped in {:.2} s (seed {})",
            self.passed,
            self.failed,
            self.skipped,
            self.time.as_secs_f64(),
            self.seed
        );
        text
    }
}

/// A case while it is tried: what goes wrong is collected, and nothing ends it early.
pub(super) struct Trial {
    id: String,
    sentence: &'static str,
    started: Instant,
    problems: Vec<String>,
    unnamed: usize,
}

impl Trial {
    pub(super) fn begin(id: impl Into<String>, sentence: &'static str) -> Self {
        Self { id: id.into(), sentence, started: Instant::now(), problems: Vec::new(), unnamed: 0 }
    }

    /// Something that should not be. The same problem is told once.
    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        let problem = problem.into();
        if self.problems.len() >= MAX_PROBLEMS {
            self.unnamed += 1;
        } else if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problem(problem());
        }
    }

    /// The end: passed with this remark, unless something was wrong.
    pub(super) fn end(mut self, remark: impl Into<String>) -> Case {
        if self.unnamed > 0 {
            self.problems.push(format!("and {} more", self.unnamed));
        }
        let outcome =
            if self.problems.is_empty() { Outcome::Pass(remark.into()) } else { Outcome::Fail(self.problems) };
        Case { id: self.id, sentence: self.sentence, outcome, time: self.started.elapsed() }
    }

    /// The end of what could not be tried, or not all of it: what was wrong until then counts.
    pub(super) fn skip(self, reason: impl Into<String>) -> Case {
        if !self.problems.is_empty() {
            return self.end("");
        }
        let outcome = Outcome::Skip(reason.into());
        Case { id: self.id, sentence: self.sentence, outcome, time: self.started.elapsed() }
    }
}

/// A text of the plugin's or of the kit's, short enough to be quoted in a problem.
pub(super) fn quote(text: &str) -> String {
    const QUOTED: usize = 120;
    format!("`{}`", text::one_line(text, QUOTED))
}

/// What an author can do about a crash.
pub(super) fn hint(trap: TrapClass) -> &'static str {
    match trap {
        TrapClass::Unreachable => "; return an error instead of panicking",
        TrapClass::Stack => "; bound how deep it recurses",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_sums_up_and_shows_nothing_raw() {
        let mut report = Report::new("x".into(), 7);
        let mut trial = Trial::begin("a", "does it");
        trial.problem("it said \u{1b}[2J");
        trial.problem("it said \u{1b}[2J");
        report.add(trial.end(""));
        report.add(Trial::begin("bcd", "does more").end("12 calls"));
        report.add(Trial::begin("e", "does all").skip("not here"));
        let text = report.to_text();
        assert_eq!((report.passed, report.failed, report.skipped), (1, 1, 1));
        assert!(
            text.starts_with("FAIL  a    does it\n             it said \\u{1b}[2J\npass  bcd  does more\n"),
            "{text}"
        );
        assert!(text.contains("\nx does not conform: 1 passed, 1 failed, 1 skipped in "), "{text}");
        assert_eq!(text.matches("it said").count(), 1);
    }

    #[test]
    fn what_was_wrong_is_not_skipped() {
        let mut trial = Trial::begin("a", "does it");
        trial.problem("wrong");
        assert_eq!(trial.skip("no time").outcome, Outcome::Fail(vec!["wrong".into()]));
    }

    #[test]
    fn problems_without_end_are_counted() {
        let mut trial = Trial::begin("a", "does it");
        (0..100).for_each(|index| trial.problem(index.to_string()));
        let Outcome::Fail(problems) = trial.end("").outcome else { panic!("it failed") };
        assert_eq!((problems.len(), problems.last().map(String::as_str)), (MAX_PROBLEMS + 1, Some("and 92 more")));
    }
}
