//! Deliveries: every content, step by step to its end, under every kind of answer.

use crate::runtime::bindings::channel::{
    Address, Content, File, Next, Outcome, Outgoing, Reaction, Response, Step, TransportError,
};
use crate::runtime::bindings::types::Header;
use crate::store::Timestamp;

use super::super::chance::Chance;
use super::super::malformed;
use super::super::report::{Case, Trial, quote};
use super::super::run::NOW;
use super::promises::{self, MAX_STATE};
use super::{Bench, STUCK, answers};

/// Steps after which a delivery should have ended: a text of some 10,000 letters in parts, each
/// with a wait before it.
const STEPS: usize = 512;
/// Answers of the kind that is tried, before every further one is good.
const ODD_ANSWERS: usize = 3;
/// The longest wait and hold, in milliseconds: a day.
const MAX_WAIT: u32 = 86_400_000;

/// What a model may write.
const RICH: &str = "# Title\n\nSome *emphasis*, **strong**, `code`, ~~gone~~ and a [link](https://example.com/a_(b)).\n\n\
    1. one\n2. two\n   - inner\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```rust\nfn main() { println!(\"<&>\"); }\n```\n\n\
    Grüße 世界 👋🏽 _not_closed *nor this <script>alert(1)</script> & @everyone #channel {body}";

pub(super) fn named(content: &Content) -> String {
    match content {
        Content::Typing => "typing".into(),
        Content::Draft(text) => format!("a draft of {} letters", text.chars().count()),
        Content::Markdown(text) => format!("a text of {} letters", text.chars().count()),
        Content::File(_) => "a file".into(),
        Content::Reaction(_) => "a reaction".into(),
    }
}

fn contents() -> Vec<Content> {
    let paragraph = "All work and no play makes a dull text, sentence after sentence. ";
    vec![
        Content::Typing,
        Content::Draft("Hel".into()),
        Content::Draft(RICH.into()),
        Content::Markdown("Hello.".into()),
        Content::Markdown(String::new()),
        Content::Markdown(RICH.into()),
        Content::Markdown(paragraph.repeat(160)),
        // One word, and a fence that nothing closes: nowhere to split well.
        Content::Markdown(format!("```\n{}", "x".repeat(9_000))),
        Content::Markdown("👋🏽".repeat(3_000)),
        Content::File(File { id: "f1".into(), name: "cat \"1\".png".into(), mime_type: "image/png".into(), size: 9 }),
        Content::Reaction(Reaction { message_id: "7".into(), emoji: "👍".into() }),
    ]
}

fn answer(status: u16, body: &[u8]) -> Outcome {
    let headers = vec![Header { name: "retry-after".into(), value: "2".into() }];
    Ok(Response { status, headers, body: body.to_vec() })
}

/// How a platform answers.
fn moods(bench: &Bench<'_>) -> Vec<Outcome> {
    vec![
        answers::kind(bench.setup, 0),
        answer(200, b"{}"),
        answer(429, br#"{"retry_after": 2}"#),
        answer(500, b"<html>"),
        answer(401, b"{}"),
        answer(200, b"\xff\xfe"),
        Err(TransportError::NotSent("refused".into())),
        Err(TransportError::Unanswered("cut".into())),
    ]
}

pub(super) async fn walks(bench: &mut Bench<'_>) -> Case {
    let mut trial = Trial::begin("deliveries", "brings every delivery to an end, by requests that its setup names");
    let (mut walks, mut ends) = (0, [0; 4]);
    for content in contents() {
        let outgoing = bench.outgoing(content);
        for mood in moods(bench) {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            walks += 1;
            match walk(bench, &mut trial, &outgoing, &mood).await {
                End::Done => ends[0] += 1,
                End::Rejected => ends[1] += 1,
                End::Unknown => ends[2] += 1,
                End::Error => ends[3] += 1,
                // One is enough: each takes as long as hundreds of others.
                End::None => {
                    trial.problem(format!(
                        "{}: no end after {STEPS} steps, though all answers but the first {ODD_ANSWERS} are good",
                        named(&outgoing.content)
                    ));
                    return trial.end("");
                }
            }
        }
    }
    let [done, rejected, unknown, errors] = ends;
    trial.end(format!("{walks} deliveries: {done} done, {rejected} rejected, {unknown} unknown, {errors} errors"))
}

enum End {
    Done,
    Rejected,
    Unknown,
    Error,
    None,
}

async fn walk(bench: &mut Bench<'_>, trial: &mut Trial, outgoing: &Outgoing, mood: &Outcome) -> End {
    let (mut progress, mut outcome, mut answers, mut now) = (Vec::new(), None, 0, NOW);
    for _ in 0..STEPS {
        let step = match bench.step(trial, outgoing, &progress, outcome.as_ref(), now).await {
            Ok(step) => step,
            Err(_) => return End::Error,
        };
        held(bench, trial, outgoing, &step);
        let waits = step.holds.iter().map(|hold| hold.for_ms);
        let mut waited = waits.max().unwrap_or(0);
        outcome = None;
        match step.next {
            Next::Done(_) => return End::Done,
            Next::Rejected(_) => return End::Rejected,
            Next::Unknown(_) => return End::Unknown,
            Next::Wait(ms) => waited = waited.max(ms),
            Next::Frame(_) => {}
            Next::Request(_) => {
                answers += 1;
                let odd = answers <= ODD_ANSWERS;
                outcome = Some(if odd { mood.clone() } else { answers::kind(bench.setup, answers) });
            }
        }
        now = Timestamp(now.0 + u64::from(waited));
        progress = step.progress;
    }
    End::None
}

/// Holds a step against the contract.
fn held(bench: &Bench<'_>, trial: &mut Trial, outgoing: &Outgoing, step: &Step) {
    let what = named(&outgoing.content);
    trial.require(step.progress.len() <= MAX_STATE, || format!("{what}: a progress of {} bytes", step.progress.len()));
    for hold in &step.holds {
        promises::id(trial, &what, "the key of a hold", &hold.key);
        trial.require(hold.for_ms <= MAX_WAIT, || format!("{what}: {} is held for more than a day", quote(&hold.key)));
    }
    match &step.next {
        Next::Request(limited) => {
            let file = match &outgoing.content {
                Content::File(file) => Some(file.id.as_str()),
                _ => None,
            };
            promises::request(trial, &what, &limited.request, bench.setup, file);
            for key in &limited.keys {
                promises::id(trial, &what, "the key of a rate limit", key);
            }
        }
        Next::Frame(frame) => promises::frame(trial, &what, &frame.frame, bench.setup, bench.speaks_lines()),
        Next::Wait(ms) => trial.require(*ms <= MAX_WAIT, || format!("{what}: it waits for more than a day")),
        Next::Done(ids) => ids.iter().for_each(|id| promises::id(trial, &what, "the id of what is shown", id)),
        Next::Rejected(why) | Next::Unknown(why) => {
            trial.require(!why.trim().is_empty(), || format!("{what}: it gives up without a word to the operator"));
        }
    }
}

/// Progress that it never returned, outcomes that no platform gives, and contents at the edge.
pub(super) async fn garbage(bench: &mut Bench<'_>) -> Case {
    let mut trial = Trial::begin("garbage.deliveries", "survives deliveries that are garbage");
    let mut chance = Chance::new(bench.seed);
    let mut progresses: Vec<Vec<u8>> = vec![vec![], vec![0xff], chance.bytes(64), vec![0; 64 << 10]];
    progresses.extend(malformed::documents().into_iter().take(4).map(|(_, text)| text.into_bytes()));
    let mut outcomes = vec![None, Some(answer(0, b"")), Some(answer(999, b"{}")), Some(answer(200, b"{"))];
    outcomes.extend([Some(answer(200, &chance.bytes(1_000))), Some(Err(TransportError::NotSent(String::new())))]);
    let mut edges = vec![bench.outgoing(Content::Markdown("Hello.".into())), bench.outgoing(Content::Typing)];
    edges.push(bench.outgoing(Content::Markdown("\0\u{202e}\u{fffe}".repeat(1_000))));
    edges.push(bench.outgoing(Content::Markdown("*_`[(".repeat(4_000))));
    let nowhere = Address { account: None, peer: String::new(), guild: None, team: None, thread: None };
    edges.push(Outgoing {
        address: nowhere,
        handle: Some(chance.bytes(64)),
        ..bench.outgoing(Content::Draft(String::new()))
    });
    let far =
        Address { account: None, peer: "../?x=1#\r\n".into(), guild: None, team: None, thread: Some("\0".into()) };
    edges.push(Outgoing {
        address: far,
        reply_to: Some("no such".into()),
        ..bench.outgoing(Content::Markdown("x".into()))
    });
    let file = File { id: String::new(), name: "../\r\n".into(), mime_type: String::new(), size: u64::MAX };
    edges.push(bench.outgoing(Content::File(file)));
    edges.push(bench.outgoing(Content::Reaction(Reaction { message_id: String::new(), emoji: String::new() })));
    let (mut refused, mut tried) = (0, 0);
    for outgoing in &edges {
        for progress in &progresses {
            for outcome in &outcomes {
                if bench.bounds.is_stuck() {
                    return trial.skip(STUCK);
                }
                let result = bench.step(&mut trial, outgoing, progress, outcome.as_ref(), NOW).await;
                if let Ok(Step { next: Next::Request(limited), .. }) = &result {
                    let file = match &outgoing.content {
                        Content::File(file) => Some(file.id.as_str()),
                        _ => None,
                    };
                    promises::request(&mut trial, &named(&outgoing.content), &limited.request, bench.setup, file);
                }
                tried += 1;
                refused += usize::from(result.is_err());
            }
        }
    }
    trial.end(format!("{refused} of {tried} refused"))
}
