//! Deliveries that were interrupted: at each request in turn, nobody ever learns its answer.
//!
//! That is what a crash, a timeout and a lost connection come to. What may stand on the platform
//! already may be sent again only under the same key, which the platform knows by; otherwise the
//! channel has to say that it does not know, and the owner's config decides.

use crate::runtime::bindings::channel::{
    Body, Content, FieldValue, File, Next, Outbound, Outcome, Outgoing, Step, TransportError,
};
use crate::store::Timestamp;

use super::super::report::{Case, Trial};
use super::super::run::NOW;
use super::delivery::named;
use super::{Bench, STUCK, answers, promises};

/// Steps after which a delivery should have ended.
const STEPS: usize = 256;
/// Requests of one delivery that are interrupted.
const INTERRUPTED: usize = 24;

/// A request, and the progress that is stored before it leaves.
struct Asked {
    progress: Vec<u8>,
    request: Outbound,
    now: Timestamp,
}

/// How a delivery ended, and what it asked for on the way.
struct Walked {
    asked: Vec<Asked>,
    /// Absent where it never ended, or with an error.
    end: Option<Step>,
}

pub(super) async fn case(bench: &mut Bench<'_>) -> Case {
    let mut trial =
        Trial::begin("resumed", "sends nothing twice without a key when an answer is lost, and forgets nothing");
    let paragraph = "All work and no play makes a dull text, sentence after sentence. ";
    let file = File { id: "f1".into(), name: "a.txt".into(), mime_type: "text/plain".into(), size: 9 };
    let long = Content::Markdown(paragraph.repeat(160));
    let mut contents =
        vec![(None, Content::Markdown("Hello.".into())), (None, long.clone()), (None, Content::File(file))];
    if bench.setup.features.draft_ms.is_some() {
        contents.push((Some(Content::Draft(paragraph.repeat(80))), long));
    }
    let mut interrupted = 0;
    for (draft, content) in contents {
        let (mut progress, mut number) = (Vec::new(), 0);
        if let Some(draft) = draft {
            let draft = bench.outgoing(draft);
            let drafted = walk(bench, &mut trial, &draft, From::Progress(Vec::new()), 0).await;
            number = drafted.asked.len();
            progress = drafted.end.map_or(progress, |step| step.progress);
        }
        let outgoing = bench.outgoing(content);
        let whole = walk(bench, &mut trial, &outgoing, From::Progress(progress), number).await;
        for (index, asked) in (number..).zip(&whole.asked).take(INTERRUPTED) {
            if bench.bounds.is_stuck() {
                return trial.skip(STUCK);
            }
            interrupted += 1;
            lost(bench, &mut trial, &outgoing, asked, index).await;
            unsent(bench, &mut trial, &outgoing, asked, index).await;
        }
    }
    if interrupted == 0 {
        return trial.skip("no delivery of it makes a request");
    }
    trial.end(format!("{interrupted} requests, each lost once and refused once"))
}

/// The request may have been carried out.
async fn lost(bench: &mut Bench<'_>, trial: &mut Trial, outgoing: &Outgoing, asked: &Asked, index: usize) {
    let what = || format!("{}, request {}", named(&outgoing.content), index + 1);
    let outcome = Err(TransportError::Unanswered("the gateway stopped".into()));
    let Ok(step) = bench.step(trial, outgoing, &asked.progress, Some(&outcome), asked.now).await else { return };
    // A file goes up in steps of which few matter; a text either stands there or does not.
    let is_text = matches!(outgoing.content, Content::Markdown(_));
    if let Next::Done(_) = &step.next {
        return trial.require(!is_text, || format!("{}: it says done, though nobody answered", what()));
    }
    let unknown = matches!(step.next, Next::Unknown(_));
    let after = walk(bench, trial, outgoing, From::Step(step, asked.now), index + 1).await;
    if unknown {
        // The owner wants it sent again.
        let again = after.asked.first().is_some_and(|again| same(&again.request, &asked.request));
        return trial
            .require(again || !is_text, || format!("{}: told to send it again after `unknown`, it does not", what()));
    }
    let twice = after.asked.iter().any(|again| same(&again.request, &asked.request));
    trial.require(!(is_text && twice) || repeatable(&asked.request, outgoing, index), || {
        format!(
            "{}: it sends the same again without an idempotency key, so it may stand there twice; say `unknown`",
            what()
        )
    });
}

/// Nothing reached the platform, so it has to be sent.
async fn unsent(bench: &mut Bench<'_>, trial: &mut Trial, outgoing: &Outgoing, asked: &Asked, index: usize) {
    let outcome = Err(TransportError::NotSent("refused".into()));
    let Ok(step) = bench.step(trial, outgoing, &asked.progress, Some(&outcome), asked.now).await else { return };
    let after = walk(bench, trial, outgoing, From::Step(step, asked.now), index + 1).await;
    let given_up = matches!(&after.end, Some(Step { next: Next::Rejected(_), .. }));
    trial.require(!after.asked.is_empty() || given_up, || {
        format!("{}, request {}: it was not sent, and is not sent any more", named(&outgoing.content), index + 1)
    });
}

/// Where a delivery goes on.
enum From {
    Progress(Vec<u8>),
    /// With a step that was returned.
    Step(Step, Timestamp),
}

/// Goes on with good answers to the end. `number` is that of the first of them.
async fn walk(bench: &mut Bench<'_>, trial: &mut Trial, outgoing: &Outgoing, from: From, number: usize) -> Walked {
    let mut walked = Walked { asked: Vec::new(), end: None };
    let (step, mut now) = match from {
        From::Progress(progress) => (bench.step(trial, outgoing, &progress, None, NOW).await, NOW),
        // It is asked anew what to do.
        From::Step(Step { next: Next::Unknown(_), progress, .. }, now) => {
            (bench.step(trial, outgoing, &progress, None, now).await, now)
        }
        From::Step(step, now) => (Ok(step), now),
    };
    let Ok(mut step) = step else { return walked };
    for _ in 0..STEPS {
        let outcome: Option<Outcome> = match &step.next {
            Next::Done(_) | Next::Rejected(_) | Next::Unknown(_) => {
                walked.end = Some(step);
                return walked;
            }
            Next::Wait(ms) => {
                now = Timestamp(now.0.saturating_add(u64::from(*ms)));
                None
            }
            Next::Frame(_) => None,
            Next::Request(limited) => {
                let request = limited.request.clone();
                walked.asked.push(Asked { progress: step.progress.clone(), request, now });
                Some(answers::kind(bench.setup, number + walked.asked.len() - 1))
            }
        };
        match bench.step(trial, outgoing, &step.progress, outcome.as_ref(), now).await {
            Ok(next) => step = next,
            Err(_) => return walked,
        }
    }
    walked
}

fn same(one: &Outbound, other: &Outbound) -> bool {
    one.method == other.method && one.url == other.url && one.body == other.body
}

/// Whether a platform can tell that it has it already: by a key made of the delivery's id, since the method says so
/// (RFC 9110, section 9.2.2), or since it is about a message that stands there.
fn repeatable(request: &Outbound, outgoing: &Outgoing, index: usize) -> bool {
    let mut written = promises::text(&request.url);
    request.headers.iter().for_each(|(_, value)| written.push_str(&promises::text(value)));
    match &request.body {
        Body::Text(template) => written.push_str(&promises::text(template)),
        Body::Bytes(bytes) => written.push_str(&String::from_utf8_lossy(bytes)),
        Body::Form(fields) => fields.iter().for_each(|field| {
            if let FieldValue::Text(template) = &field.value {
                written.push_str(&promises::text(template));
            }
        }),
        Body::File(_) => {}
    }
    let about = (0..index).any(|earlier| written.contains(&answers::id(earlier)));
    matches!(request.method.as_str(), "GET" | "HEAD" | "PUT" | "PATCH" | "DELETE")
        || written.contains(&outgoing.id)
        || about
}
