//! The cases of a channel plugin.
//!
//! A channel is a pure state machine, so nearly all of it can be tried without its platform:
//!
//! - it is walked through a life of its own making: what its actions ask for is answered, once
//!   well and once badly, and every call is made twice and compared;
//! - every kind of event, state, progress and outcome is given to it as garbage;
//! - what it returns is held against what the contract and its own setup say.
//!
//! What only the platform's real events can show (messages, and that a restart anywhere between
//! two events changes none of them) needs those events: [`Options::events`](super::Options).

mod answers;
mod attempts;
mod delivery;
mod escape;
mod garbage;
mod life;
mod promises;
mod resume;
mod setup;
mod splits;
mod strain;

use std::sync::Arc;

use crate::runtime::bindings::channel::{
    Address, Content, Event, Incoming, Message, NextState, Outcome, Outgoing, Setup, Step,
};
use crate::runtime::{CallError, ChannelCall, ChannelProbe, Plugin};
use crate::store::Timestamp;

use super::bounds::{Bounds, Ending, advice, ending};
use super::report::{Report, Trial};
use super::run::{DEFINES, DESCRIBES, NOW, Options, asked_twice, limits, malformed_settings};

/// Why a case is left out after a call that took too long.
const STUCK: &str = "an earlier call ran into its time limit";

pub(super) async fn check(plugin: &Arc<Plugin>, options: &Options, report: &mut Report) {
    let (Some(probe), Some(channel)) = (plugin.probe_channel(), plugin.channel()) else { return };
    let setup = channel.setup();
    report.add(asked_twice("describe", DESCRIBES, async || probe.describe().await).await);
    report.add(asked_twice("configure", DEFINES, async || probe.configure(None).await).await);
    report.add(malformed_settings(async |settings: &str| probe.configure(Some(settings)).await).await);
    report.add(setup::case(channel.platform(), setup));
    let mut bench = Bench {
        probe: probe.clone(),
        setup,
        seed: options.seed,
        bounds: Bounds::default(),
        seen: Vec::new(),
        state: Vec::new(),
        correspondent: None,
    };
    let events: Vec<Event> = options.events.iter().map(|recorded| recorded.event.clone()).collect();
    report.add(life::own(&mut bench).await);
    report.add(life::recorded(&mut bench, &events).await);
    report.add(garbage::events(&mut bench).await);
    report.add(garbage::states(&mut bench, &events).await);
    report.add(splits::restarts(&mut bench, &events).await);
    report.add(splits::repeats(&mut bench, &events).await);
    report.add(splits::lost_states(&mut bench, &events).await);
    report.add(splits::reordered(&mut bench, &events).await);
    report.add(attempts::case(&mut bench, &events).await);
    report.add(attempts::echoes(&mut bench, &options.events).await);
    report.add(strain::oversized(&mut bench, &events).await);
    report.add(strain::hostile(&mut bench, &events).await);
    report.add(delivery::walks(&mut bench).await);
    report.add(resume::case(&mut bench).await);
    report.add(escape::case(&mut bench, channel.platform()).await);
    report.add(delivery::garbage(&mut bench).await);
    report.add(garbage::attachments(&mut bench).await);
    // All that was seen until here, from every case above.
    report.add(promises::messages(&bench.seen));
    report.add(promises::actions(&bench.seen, setup));
    report.add(promises::states(&bench.seen));
    report.add(bench.bounds.case("limits".into(), &limits(plugin)));
}

/// What the results of these events break of the contract's promises, each in a sentence: of messages, states, and
/// actions, which go nowhere but where the setup says.
#[must_use]
pub fn broken_promises(setup: &Setup, results: Vec<(Event, Incoming)>) -> Vec<String> {
    let seen: Vec<Seen> = results.into_iter().map(|(event, incoming)| Seen { event, incoming }).collect();
    let cases = [promises::messages(&seen), promises::actions(&seen, setup), promises::states(&seen)];
    let problems = cases.into_iter().filter_map(|case| match case.outcome {
        super::Outcome::Fail(problems) => Some(problems),
        super::Outcome::Pass(_) | super::Outcome::Skip(_) => None,
    });
    problems.flatten().collect()
}

/// An event and what became of it.
struct Seen {
    event: Event,
    incoming: Incoming,
}

/// A channel on the bench.
struct Bench<'a> {
    probe: ChannelProbe,
    setup: &'a Setup,
    seed: u64,
    bounds: Bounds,
    seen: Vec<Seen>,
    /// Where the platform's recorded events left it.
    state: Vec<u8>,
    /// Someone who wrote in them.
    correspondent: Option<Message>,
}

impl<'a> Bench<'a> {
    /// Whether the platform reaches it by webhook.
    fn has_webhook(&self) -> bool {
        self.setup.webhook.is_some()
    }

    fn told(&self, attempt: u32) -> ChannelCall<'a> {
        ChannelCall {
            id: "kit",
            webhook_url: self.has_webhook().then_some("https://gateway.invalid/webhook/kit"),
            now: NOW,
            random: self.seed,
            attempt,
        }
    }

    /// Gives it an event, and keeps what it returns to be held against the contract.
    async fn event(&mut self, state: &[u8], event: &Event, attempt: u32) -> Result<Incoming, CallError> {
        let (result, stats) = self.probe.parse_incoming(self.told(attempt), state, event).await;
        self.bounds.count(&|| format!("parse-incoming of {}", named(event)), &result, stats);
        if let Ok(incoming) = &result {
            self.seen.push(Seen { event: event.clone(), incoming: incoming.clone() });
        }
        result
    }

    /// The same, twice: a channel is pure. A crash is a problem, too; an error is none.
    async fn twice(&mut self, trial: &mut Trial, state: &[u8], event: &Event) -> Result<Incoming, CallError> {
        let first = self.event(state, event, 1).await;
        let second = self.event(state, event, 1).await;
        trial.require(first == second, || {
            format!("{}: the same state and event gave two different results", named(event))
        });
        no_crash(trial, &|| named(event), &first);
        first
    }

    /// The next step of a delivery, made twice.
    async fn step(
        &mut self,
        trial: &mut Trial,
        outgoing: &Outgoing,
        progress: &[u8],
        outcome: Option<&Outcome>,
        now: Timestamp,
    ) -> Result<Step, CallError> {
        let what = || match outcome {
            None => format!("format-outgoing of {}", delivery::named(&outgoing.content)),
            Some(_) => format!("parse-delivery of {}", delivery::named(&outgoing.content)),
        };
        let told = ChannelCall { now, ..self.told(1) };
        let (first, stats) = self.probe.delivery(told, &self.state, outgoing, progress, outcome).await;
        self.bounds.count(&what, &first, stats);
        let (second, stats) = self.probe.delivery(told, &self.state, outgoing, progress, outcome).await;
        self.bounds.count(&what, &second, stats);
        trial.require(first == second, || format!("{}: the same arguments gave two different steps", what()));
        no_crash(trial, &what, &first);
        first
    }
}

impl Bench<'_> {
    /// Whether all that it reaches takes lines.
    fn speaks_lines(&self) -> bool {
        let lines = |origin: &String| origin.starts_with("tls://") || origin.starts_with("tcp://");
        !self.setup.origins.is_empty() && self.setup.origins.iter().all(lines)
    }

    /// An answer to who wrote to it; where nobody did, to nobody in particular.
    fn outgoing(&self, content: Content) -> Outgoing {
        let address = Address { account: None, peer: "ada".into(), guild: None, team: None, thread: None };
        let (address, handle) = match &self.correspondent {
            Some(message) => (message.address.clone(), Some(message.handle.clone())),
            None => (address, None),
        };
        Outgoing {
            id: "01jq0000000000000000".into(),
            created_at: NOW.0,
            address,
            handle,
            reply_to: self.correspondent.as_ref().map(|message| message.id.clone()),
            content,
        }
    }
}

/// The state that a channel goes on from.
fn next_state(before: &[u8], next: &NextState) -> Vec<u8> {
    match next {
        NextState::Unchanged => before.to_vec(),
        NextState::Lazy(state) | NextState::Durable(state) => state.clone(),
    }
}

fn no_crash<R>(trial: &mut Trial, what: &dyn Fn() -> String, result: &Result<R, CallError>) {
    if let (Err(error), Ending::Crash) = (result, ending(result)) {
        trial.problem(format!("{}: {}", what(), advice(error)));
    }
}

/// An event in a few words.
fn named(event: &Event) -> String {
    use crate::runtime::bindings::channel::{Frame, Start};
    match event {
        Event::Start(Start::New) => "start(new)".into(),
        Event::Start(Start::Restart) => "start(restart)".into(),
        Event::Start(Start::Reload) => "start(reload)".into(),
        Event::Stop => "stop".into(),
        Event::Webhook(request) => format!("webhook({} bytes)", request.body.len()),
        Event::Response(response) => match &response.outcome {
            Ok(answer) => format!("response({}, {} bytes)", answer.status, answer.body.len()),
            Err(error) => format!("response({error:?})"),
        },
        Event::Connected(_) => "connected".into(),
        Event::Frame(frame) => match &frame.frame {
            Frame::Text(text) => format!("frame(text of {} bytes)", text.len()),
            Frame::Binary(bytes) => format!("frame({} bytes)", bytes.len()),
            Frame::Event(event) => format!("frame(event of {} bytes)", event.data.len()),
        },
        Event::Disconnected(_) => "disconnected".into(),
        Event::Timer(_) => "timer".into(),
    }
}
