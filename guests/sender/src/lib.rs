//! A channel whose deliveries can take every turn that the contract knows, for tests of the outbox, and whose polls
//! can end in several ways, for tests of the driver.
//!
//! A text has parts, divided by `|`, each a message of its own. What is shown is brought to what
//! should be: a part is posted, or edited where it stands with another text. Some parts are words of
//! command:
//!
//! - `trap`: the call traps; `trap once`: it does at the first attempt;
//! - `unavailable`, `unsupported`: it fails with that error;
//! - `pause`: it waits for a second before it goes on;
//! - `line TEXT`: a frame of the connection `lines`.
//!
//! With a `base_url` it polls there, and takes each answer as a word of command:
//!
//! - `say ID TEXT`: someone wrote this;
//! - `trap`: the call traps; `invalid`: it fails with `invalid-input`.

use exoclaw_guest::channel::{
    Action, Address, Body, Call, Channel, Content, Conversation, Event, Features, Field, FieldValue, Health, Hold,
    Kind, LimitedRequest, Message, Next, Outbound, OutboundFrame, Outcome, Outgoing, Received, Sender as Person, Setup,
    Step, TaggedOutboundFrame, TaggedRequest, TaggedResponse, Timer, TransportError, text,
};
use exoclaw_guest::{Error, Response, invalid, unsupported};
use serde::{Deserialize, Serialize};

struct Sender;

#[derive(Deserialize)]
struct Settings {
    /// The platform has idempotency keys.
    #[serde(default)]
    keys: bool,
    /// It shows that the agent writes.
    #[serde(default)]
    typing: bool,
    /// Where it polls, and sends.
    base_url: Option<String>,
}

impl Settings {
    fn origin(&self) -> &str {
        self.base_url.as_deref().unwrap_or("https://sender.invalid")
    }
}

impl exoclaw_guest::Settings for Settings {
    const SCHEMA: &'static str = r#"{"type":"object","properties":{
        "keys":{"type":"boolean"},"typing":{"type":"boolean"},"base_url":{"type":"string"}}}"#;
}

#[derive(Default, Serialize, Deserialize)]
struct Progress {
    /// The id and the text of each part that is shown.
    shown: Vec<(String, String)>,
    /// A request was made that is not answered.
    under_way: bool,
    /// The parts that were paused at.
    paused: usize,
}

impl Channel for Sender {
    type Settings = Settings;
    type State = ();
    type Progress = Progress;

    const PLATFORM: &'static str = "sender";

    fn configure(settings: Settings) -> Result<Setup, Error> {
        let features = Features {
            typing_ms: settings.typing.then_some(4_000),
            draft_ms: Some(1_000),
            file_bytes: Some(1_000),
            reactions: false,
            threads: false,
        };
        Ok(Setup { secrets: vec![], origins: vec![settings.origin().into()], webhook: None, features })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<()>, Error> {
        let Some(base_url) = &call.settings.base_url else { return Ok(Received::default()) };
        let (messages, then) = match event {
            Event::Start(_) => (vec![], vec![Action::Report(Health::Ready), poll(base_url)]),
            Event::Timer(_) => (vec![], vec![poll(base_url)]),
            Event::Response(TaggedResponse { outcome: Ok(Response { status: 200, body, .. }), .. }) => {
                (vec![told(&String::from_utf8_lossy(&body))?], vec![poll(base_url)])
            }
            Event::Response(_) => (vec![], vec![Action::SetTimer(Timer { tag: POLL.into(), after_ms: 200 })]),
            _ => (vec![], vec![]),
        };
        Ok(Received { messages, actions: then, ..Received::default() })
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, mut progress: Progress) -> Result<Step<Progress>, Error> {
        if progress.under_way {
            progress.under_way = false;
            return Ok(step(progress, Next::Unknown("it was under way".into())));
        }
        match &outgoing.content {
            Content::Typing => Ok(step(progress, request(&call, outgoing, "POST", "typing", Body::Text(text(""))))),
            Content::Draft(whole) => parts(&call, outgoing, progress, &[whole]),
            Content::Markdown(whole) => parts(&call, outgoing, progress, &whole.split('|').collect::<Vec<_>>()),
            Content::File(file) if progress.shown.is_empty() => {
                let field = |name: &str, value| Field { name: name.into(), filename: None, mime_type: None, value };
                let form = Body::Form(vec![field("file", FieldValue::File(file.id.clone()))]);
                progress.under_way = true;
                Ok(step(progress, request(&call, outgoing, "POST", "files", form)))
            }
            Content::File(_) => Ok(done(progress)),
            Content::Reaction(_) => Err(unsupported("it has no reactions")),
        }
    }

    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        mut progress: Progress,
        outcome: Outcome,
    ) -> Result<Step<Progress>, Error> {
        if matches!(outgoing.content, Content::Typing) {
            return Ok(done(progress));
        }
        progress.under_way = false;
        Ok(match outcome {
            Ok(response) => {
                let body = String::from_utf8_lossy(&response.body).into_owned();
                match response.status {
                    200 => {
                        // The id of the part, and what it says now.
                        let (part, shown) = serde_json::from_str::<(usize, (String, String))>(&body)?;
                        match progress.shown.get_mut(part) {
                            Some(earlier) => *earlier = shown,
                            None => progress.shown.push(shown),
                        }
                        return Self::deliver(call, outgoing, progress);
                    }
                    429 => {
                        let for_ms = body.parse().unwrap_or(1_000);
                        let holds = vec![Hold { key: "all".into(), for_ms }];
                        Step { progress, holds, next: Next::Wait(for_ms) }
                    }
                    502 => return Err(Error::Unavailable(2_000)),
                    503 => return Self::deliver(call, outgoing, progress),
                    _ => step(progress, Next::Rejected(body)),
                }
            }
            Err(TransportError::NotSent(_)) => step(progress, Next::Wait(100)),
            Err(TransportError::Unanswered(_)) if call.settings.keys => return Self::deliver(call, outgoing, progress),
            Err(TransportError::Unanswered(why)) => step(progress, Next::Unknown(why)),
        })
    }
}

/// The next step towards these parts.
fn parts(
    call: &Call<'_, Sender>,
    outgoing: &Outgoing,
    mut progress: Progress,
    parts: &[&str],
) -> Result<Step<Progress>, Error> {
    for (index, part) in parts.iter().enumerate() {
        match progress.shown.get(index) {
            Some((_, shown)) if shown == part => continue,
            Some((id, _)) => {
                let path = format!("messages/{id}");
                progress.under_way = true;
                let body = Body::Text(text(format!("{index} {part}")));
                return Ok(step(progress, request(call, outgoing, "PUT", &path, body)));
            }
            None => {}
        }
        match *part {
            "trap" => panic!("as it was told"),
            "trap once" if call.context.attempt == 1 => panic!("as it was told"),
            "unavailable" => return Err(Error::Unavailable(7_000)),
            "unsupported" => return Err(unsupported("as it was told")),
            "pause" if progress.paused <= index => {
                progress.paused = index + 1;
                return Ok(step(progress, Next::Wait(1_000)));
            }
            line if line.starts_with("line ") => {
                progress.shown.push(("line".into(), line.into()));
                let frame = OutboundFrame::Text(text(line));
                return Ok(step(progress, Next::Frame(TaggedOutboundFrame { tag: "lines".into(), frame })));
            }
            _ => {}
        }
        progress.under_way = true;
        let body = Body::Text(text(format!("{index} {part}")));
        return Ok(step(progress, request(call, outgoing, "POST", "messages", body)));
    }
    Ok(done(progress))
}

fn step(progress: Progress, next: Next) -> Step<Progress> {
    Step { progress, holds: vec![], next }
}

fn done(progress: Progress) -> Step<Progress> {
    let shown = progress.shown.iter().map(|(id, _)| id.clone()).collect();
    step(progress, Next::Done(shown))
}

fn request(call: &Call<'_, Sender>, outgoing: &Outgoing, method: &str, path: &str, body: Body) -> Next {
    let request = Outbound {
        method: method.into(),
        url: text(format!("{}/{path}", call.settings.origin())),
        headers: vec![("to".into(), text(&outgoing.address.peer)), ("id".into(), text(&outgoing.id))],
        body,
        timeout_ms: 10_000,
    };
    Next::Request(LimitedRequest { request, keys: vec!["all".into()] })
}

/// The tag of its poll, and of the timer between two.
const POLL: &str = "poll";

fn poll(base_url: &str) -> Action {
    let request = Outbound {
        method: "GET".into(),
        url: text(format!("{base_url}/poll")),
        headers: vec![],
        body: Body::Bytes(vec![]),
        timeout_ms: 60_000,
    };
    Action::Request(TaggedRequest { tag: POLL.into(), request })
}

/// What a poll brought.
fn told(command: &str) -> Result<Message, Error> {
    let (id, text) = match command.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["say", id, text] => (id, text),
        ["trap"] => panic!("as it was told"),
        _ => return Err(invalid("as it was told")),
    };
    Ok(Message {
        event_id: id.into(),
        id: id.into(),
        kind: Kind::New,
        address: Address { account: None, peer: "ada".into(), guild: None, team: None, thread: None },
        sender: Person { id: "ada".into(), name: None, bot: false },
        text: text.into(),
        attachments: vec![],
        reply_to: None,
        conversation: Conversation::Direct,
        mentions_agent: false,
        sent_at: None,
        handle: vec![],
    })
}

exoclaw_guest::channel!(Sender);
