//! What platforms may send, against the channels that ship: a life of any events, in which the channel never crashes,
//! answers the same twice, keeps the contract's promises, and can always be started again.
//!
//! The input: the name of the channel's settings, and then its events, each behind a record separator (U+001E): what
//! happened, headers, an empty line, and the body or the text. What cannot be read of it is left out.
//!
//! ```text
//! poll
//! \x1estart new
//! \x1eresponse updates 200
//! content-type: application/json
//!
//! {"ok":true,"result":[]}
//! ```

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use exoclaw::config::{LimitsConfig, PluginLimits};
use exoclaw::kit;
use exoclaw::runtime::bindings::channel::{
    Disconnection, Event, Frame, Incoming, NextState, ServerEvent, Start, TaggedFrame, TaggedResponse, TransportError,
};
use exoclaw::runtime::bindings::types::{Header, Request, Response};
use exoclaw::runtime::{CallError, ChannelCall, ChannelPlugin, Linkage, PluginSpec, Runtime, Services, Source};
use tokio::runtime;

/// Between two events.
const SEPARATOR: u8 = 0x1e;

/// The most events of one life.
const MAX_EVENTS: usize = 64;

/// Calls a minute: as many as there is time for.
const RATE: u32 = 100_000_000;

/// The channels, the names of their settings, and those.
const CHANNELS: &[(&str, &str, &str)] = &[
    ("discord", "gateway", "{}"),
    ("discord", "interactions", include_str!("../../guests/discord/golden/interactions.settings.json")),
    ("irc", "events", include_str!("../../guests/irc/golden/events.settings.json")),
    ("slack", "events", include_str!("../../guests/slack/golden/events.settings.json")),
    ("slack", "socket", "{}"),
    ("telegram", "poll", "{}"),
    ("telegram", "webhook", include_str!("../../guests/telegram/golden/webhook.settings.json")),
    ("webhook", "events", "{}"),
    ("webhook", "github", include_str!("../../guests/webhook/golden/github.settings.json")),
    ("whatsapp", "events", include_str!("../../guests/whatsapp/golden/events.settings.json")),
];

static TASKS: LazyLock<runtime::Runtime> =
    LazyLock::new(|| runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tasks"));

static PLUGINS: LazyLock<HashMap<(&str, &str), ChannelPlugin>> = LazyLock::new(|| {
    let sandbox = Runtime::new(&LimitsConfig::default(), Services::detached()).expect("a sandbox");
    let load = |(guest, name, settings): &(&'static str, &'static str, &str)| {
        let bytes = exoclaw_bundle::find(guest).expect("a guest that ships").bytes;
        let spec = PluginSpec {
            linkage: Linkage::Refusing,
            limits: PluginLimits { rate: RATE, ..PluginLimits::default() },
            settings: serde_json::from_str(settings).expect("settings"),
            ..PluginSpec::new("fuzzed".parse().expect("a name"), Source::Bytes(Arc::from(bytes)))
        };
        let plugin = TASKS.block_on(sandbox.load(spec)).unwrap_or_else(|error| panic!("{guest}: {error}"));
        ((*guest, *name), plugin.channel().expect("a channel"))
    };
    CHANNELS.iter().map(load).collect()
});

/// Whether the channel made a message of something.
pub fn discord(input: &[u8]) -> bool {
    run("discord", input)
}

/// Whether the channel made a message of something.
pub fn irc(input: &[u8]) -> bool {
    run("irc", input)
}

/// Whether the channel made a message of something.
pub fn slack(input: &[u8]) -> bool {
    run("slack", input)
}

/// Whether the channel made a message of something.
pub fn telegram(input: &[u8]) -> bool {
    run("telegram", input)
}

/// Whether the channel made a message of something.
pub fn webhook(input: &[u8]) -> bool {
    run("webhook", input)
}

/// Whether the channel made a message of something.
pub fn whatsapp(input: &[u8]) -> bool {
    run("whatsapp", input)
}

fn run(guest: &str, input: &[u8]) -> bool {
    let mut records = input.split(|byte| *byte == SEPARATOR);
    let name = records.next().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
    let Some(plugin) = PLUGINS.get(&(guest, name.trim_end())) else { return false };
    let events = records.filter_map(event).take(MAX_EVENTS);
    let (mut state, mut seen) = (Vec::new(), Vec::new());
    for event in events.chain([Event::Stop, Event::Start(Start::Restart)]) {
        match heard(plugin, &state, &event) {
            Ok(incoming) => {
                if let NextState::Lazy(next) | NextState::Durable(next) = &incoming.state {
                    state.clone_from(next);
                }
                seen.push((event, incoming));
            }
            Err(error) => assert!(!matches!(event, Event::Start(_)), "it cannot be started any more: {error}"),
        }
    }
    let messages = seen.iter().any(|(_, incoming)| !incoming.messages.is_empty());
    let broken = kit::broken_promises(plugin.setup(), seen);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    messages
}

/// What becomes of an event, asked twice. An error of the channel's own is an answer, too: the event is dropped, or set
/// aside and shown to the owner.
fn heard(plugin: &ChannelPlugin, state: &[u8], event: &Event) -> Result<Incoming, CallError> {
    let call = ChannelCall {
        id: "fuzzed",
        webhook_url: Some("https://gateway.invalid/webhook/fuzzed"),
        now: kit::NOW,
        random: 7,
        attempt: 1,
    };
    let ask = || TASKS.block_on(plugin.parse_incoming(call, state, event));
    let (first, second) = (ask(), ask());
    assert_eq!(first, second, "the same event has two answers: {event:?}");
    if let Err(error) = &first {
        assert!(matches!(error, CallError::Plugin(_)), "{error}: {event:?}");
    }
    first
}

/// An event, where it is one.
fn event(record: &[u8]) -> Option<Event> {
    let end = record.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&record[..end], record[end + 2..].to_vec()),
        None => (record, Vec::new()),
    };
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let words: Vec<&str> = lines.next()?.split(' ').collect();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some(Header { name: name.to_owned(), value: value.to_owned() })
    };
    let headers: Vec<Header> = lines.filter_map(header).collect();
    Some(match words[..] {
        ["start", "new"] => Event::Start(Start::New),
        ["start", "restart"] => Event::Start(Start::Restart),
        ["start", "reload"] => Event::Start(Start::Reload),
        ["stop"] => Event::Stop,
        ["connected", tag] => Event::Connected(tag.to_owned()),
        ["disconnected", tag, code] => Event::Disconnected(Disconnection {
            tag: tag.to_owned(),
            code: code.parse().ok(),
            reason: String::from_utf8_lossy(&body).into_owned(),
        }),
        ["timer", tag] => Event::Timer(tag.to_owned()),
        ["response", tag, status] => {
            let response = Response { status: status.parse().ok()?, headers, body };
            Event::Response(TaggedResponse { tag: tag.to_owned(), outcome: Ok(response) })
        }
        ["lost", tag] => {
            let lost = TransportError::Unanswered("the connection ended".to_owned());
            Event::Response(TaggedResponse { tag: tag.to_owned(), outcome: Err(lost) })
        }
        ["webhook", method, url] => {
            Event::Webhook(Request { method: method.to_owned(), url: url.to_owned(), headers, body })
        }
        ["frame", tag] => {
            let frame = String::from_utf8(body).map_or_else(|error| Frame::Binary(error.into_bytes()), Frame::Text);
            Event::Frame(TaggedFrame { tag: tag.to_owned(), frame })
        }
        ["event", tag, name] => {
            let data = String::from_utf8(body).ok()?;
            let event = ServerEvent { event: Some(name.to_owned()), id: None, data };
            Event::Frame(TaggedFrame { tag: tag.to_owned(), frame: Frame::Event(event) })
        }
        _ => return None,
    })
}
