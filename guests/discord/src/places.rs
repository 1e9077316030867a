//! Which channels of a guild are threads, and of which channel.
//!
//! A message says in which channel it is, and a thread is one; of what channel, only Discord knows
//! ("Get Channel"). Who is let into a channel is let into its threads, and so what comes from a channel
//! for the first time waits until Discord has said what it is. That is asked once for each.

use exoclaw_chat::{Turn, Verdict, backoff_ms, segment, verdict};
use exoclaw_guest::channel::{Context, Message, Outcome};
use exoclaw_guest::{Error, log};
use serde::{Deserialize, Serialize};

use crate::dispatch;
use crate::rest;
use crate::settings::Discord;
use crate::state::State;

/// Before the channel's id: the tag of the request, and of the timer of the next one.
pub const TAG: &str = "channel:";

/// Channels that are kept; of more, those made first are asked for again.
const MAX_CHANNELS: usize = 256;
/// Events that may wait, and their bytes together. What comes then is taken for what it seems to be.
const MAX_WAITING: usize = 64;
const MAX_BYTES: usize = 96 << 10;
/// Requests for one channel, with waits that double: half a minute.
const MAX_TRIES: u32 = 6;

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    channel: String,
    /// Of the message that it will be, so that a repeat does not wait beside it.
    event_id: String,
    /// As it was dispatched.
    stamp: Stamp,
    text: String,
    /// Answers for its channel that said nothing.
    #[serde(default)]
    tries: u32,
}

/// What a dispatch is, and which: the same when the gateway sends it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `MESSAGE_CREATE` and the like.
    pub kind: String,
    pub session: String,
    pub seq: u64,
}

/// A channel object, as far as it tells of threads.
#[derive(Deserialize)]
pub struct Channel {
    #[serde(default, rename = "type")]
    kind: u8,
    parent_id: Option<String>,
}

impl Channel {
    /// The channel of a thread: announcement, public and private ones ("Channel Types").
    fn parent(self) -> Option<String> {
        self.parent_id.filter(|_| matches!(self.kind, 10..=12))
    }
}

/// A message goes on, or waits until it is known where it is.
pub fn admit(settings: &Discord, turn: &mut Turn<State>, message: Message, stamp: Stamp, text: &str) {
    let channel = message.address.peer.clone();
    let is_known = message.address.guild.is_none() || turn.state.channels.contains_key(&channel);
    let waiting = &turn.state.waiting;
    let bytes: usize = waiting.iter().map(|event| event.text.len()).sum();
    if is_known || waiting.len() >= MAX_WAITING || bytes.saturating_add(text.len()) > MAX_BYTES {
        let message = placed(message, &turn.state);
        return turn.message(message);
    }
    if waiting.iter().any(|event| event.event_id == message.event_id) {
        return;
    }
    if !waiting.iter().any(|event| event.channel == channel) {
        ask(settings, turn, &channel);
    }
    let event_id = message.event_id;
    turn.state.waiting.push(Waiting { channel, event_id, stamp, text: text.to_owned(), tries: 0 });
    turn.durable();
}

/// In its thread, where it is in one.
pub fn placed(mut message: Message, state: &State) -> Message {
    if let Some(Some(parent)) = state.channels.get(&message.address.peer) {
        message.address.thread = Some(std::mem::replace(&mut message.address.peer, parent.clone()));
    }
    message
}

/// Asks for what waits, after a start or a pause.
pub fn ask_again(settings: &Discord, turn: &mut Turn<State>, only: Option<&str>) {
    let mut channels: Vec<String> = turn.state.waiting.iter().map(|event| event.channel.clone()).collect();
    channels.sort();
    channels.dedup();
    for channel in channels.iter().filter(|channel| only.is_none_or(|only| only == *channel)) {
        ask(settings, turn, channel);
    }
}

fn ask(settings: &Discord, turn: &mut Turn<State>, channel: &str) {
    let request = rest::get(settings, &format!("/channels/{}", segment(channel)));
    turn.request(format!("{TAG}{channel}"), request);
}

/// A channel that somebody told of.
pub fn learn(turn: &mut Turn<State>, id: &str, channel: Channel) {
    let channels = &mut turn.state.channels;
    if channels.len() >= MAX_CHANNELS && !channels.contains_key(id) {
        channels.pop_first();
    }
    channels.insert(id.to_owned(), channel.parent());
    turn.lazy();
}

/// What Discord says of a channel: what waits for it goes on.
pub fn told(turn: &mut Turn<State>, context: &Context, id: &str, outcome: &Outcome) -> Result<(), Error> {
    match verdict(outcome, context.now) {
        Verdict::Done(response) => match serde_json::from_slice(&response.body) {
            Ok(channel) => learn(turn, id, channel),
            Err(error) => log!(Warn, "Discord's answer for the channel {id} can't be read: {error}"),
        },
        // It can't be seen as a channel, but is written in: then it is taken for what it seems to be.
        Verdict::Refused(_) => learn(turn, id, Channel { kind: 0, parent_id: None }),
        Verdict::Limited(_, pause) => {
            if put_off(turn, context, id, pause.unwrap_or(0)) {
                return Ok(());
            }
        }
        Verdict::NotDone(_) | Verdict::Unknown(_) => {
            if put_off(turn, context, id, 0) {
                return Ok(());
            }
        }
    }
    let (due, waiting) = std::mem::take(&mut turn.state.waiting).into_iter().partition(|event| event.channel == id);
    turn.state.waiting = waiting;
    let due: Vec<Waiting> = due;
    for event in due {
        turn.durable();
        if let Some(message) = dispatch::read(&event.stamp, &event.text, &turn.state)? {
            let message = placed(message, &turn.state);
            turn.message(message);
        }
    }
    Ok(())
}

/// Whether it is asked again later.
fn put_off(turn: &mut Turn<State>, context: &Context, id: &str, least_ms: u32) -> bool {
    let mut tries = None;
    for event in turn.state.waiting.iter_mut().filter(|event| event.channel == id) {
        event.tries += 1;
        tries = tries.max(Some(event.tries));
    }
    let Some(tries) = tries.filter(|tries| *tries < MAX_TRIES) else { return false };
    turn.lazy();
    turn.timer(&format!("{TAG}{id}"), backoff_ms(tries, context.random).max(least_ms));
    true
}
