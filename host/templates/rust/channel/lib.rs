//! The channel `{{name}}`: messages come by webhook, and answers are posted back.
//!
//! The platform posts `{"id": "1", "peer": "ada", "text": "hello"}`, signed; it gets the same.

use exoclaw_guest::channel::{
    Address, Call, Channel, Content, Conversation, Encoding, Event, Features, Hash, Hmac, Hold, Kind, LimitedRequest,
    Message, Next, Outbound, Outcome, Outgoing, Received, Sender, Setup, Step, TransportError, Verification, Webhook,
    reply,
};
use exoclaw_guest::{Error, Response, Settings};
use serde::{Deserialize, Serialize};

/// Signs what comes in and authorises what goes out. The plugin never sees it.
const SECRET: &str = "{{name}}-token";

/// The rate limit that answers count against.
const LIMIT: &str = "messages";

/// What the owner sets in the config file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelSettings {
    /// Where answers are posted: this and `/messages`.
    #[serde(default = "example")]
    origin: String,
}

fn example() -> String {
    "https://example.com".into()
}

impl Settings for ChannelSettings {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "origin": {
                "type": "string",
                "pattern": "^https://[^/]+$",
                "description": "Answers are posted to `/messages` of it; https://example.com by default."
            }
        },
        "additionalProperties": false
    }"#;
}

/// A message on the wire, either way.
#[derive(Serialize, Deserialize)]
struct Wire {
    id: String,
    peer: String,
    text: String,
}

struct Platform;

impl Channel for Platform {
    type Settings = ChannelSettings;
    // Nothing is remembered between events or steps; any type of serde's would do.
    type State = ();
    type Progress = ();

    const PLATFORM: &'static str = "{{name}}";

    fn configure(settings: ChannelSettings) -> Result<Setup, Error> {
        // The host checks the signature over the raw body, before any code here runs.
        let verification = Verification::Hmac(Hmac {
            hash: Hash::Sha256,
            secret: SECRET.into(),
            header: "x-signature".into(),
            prefix: "sha256=".into(),
            encoding: Encoding::Hex,
            template: "{body}".into(),
            timestamp: None,
        });
        Ok(Setup {
            secrets: vec![SECRET.into()],
            origins: vec![settings.origin],
            webhook: Some(Webhook { verification, challenge: None }),
            features: Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false },
        })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<()>, Error> {
        let Event::Webhook(request) = event else {
            // Starts, stops and timers: this channel keeps nothing running.
            return Ok(Received::default());
        };
        let Ok(wire) = serde_json::from_slice::<Wire>(&request.body) else {
            // An error would bring the same event again; this one will never be right.
            return Ok(Received { reply: Some(reply(400, "a message was expected")), ..Received::default() });
        };
        let message = Message {
            // The host drops a repeat of the same event.
            event_id: wire.id.clone(),
            id: wire.id,
            kind: Kind::New,
            address: Address { account: None, peer: wire.peer.clone(), guild: None, team: None, thread: None },
            sender: Sender { id: wire.peer, name: None, bot: false },
            text: wire.text,
            attachments: vec![],
            reply_to: None,
            conversation: Conversation::Direct,
            mentions_agent: false,
            sent_at: Some(call.context.now),
            handle: vec![],
        };
        Ok(Received { messages: vec![message], ..Received::default() })
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, (): ()) -> Result<Step<()>, Error> {
        let next = match &outgoing.content {
            Content::Typing | Content::Draft(_) => Next::Done(vec![]),
            Content::Markdown(text) => {
                let wire = Wire { id: outgoing.id.clone(), peer: outgoing.address.peer.clone(), text: text.clone() };
                let url = format!("{}/messages", call.settings.origin);
                let request = Outbound::post_json(url, &wire)?.bearer(SECRET);
                Next::Request(LimitedRequest { request, keys: vec![LIMIT.into()] })
            }
            Content::File(_) | Content::Reaction(_) => Next::Rejected("only text can be sent here".into()),
        };
        Ok(next.into())
    }

    fn answered(_: Call<'_, Self>, outgoing: &Outgoing, (): (), outcome: Outcome) -> Result<Step<()>, Error> {
        Ok(match outcome {
            Ok(Response { status: 200..=299, .. }) => Next::Done(vec![outgoing.id.clone()]).into(),
            Ok(Response { status: 429, .. }) => Step {
                progress: (),
                holds: vec![Hold { key: LIMIT.into(), for_ms: 5_000 }],
                next: Next::Wait(5_000),
            },
            Ok(Response { status, .. }) => Next::Rejected(format!("the platform answered with {status}")).into(),
            // Nothing was sent, so that it can be sent again.
            Err(TransportError::NotSent(_)) => Next::Wait(1_000).into(),
            // It may have arrived: whether to repeat it is for the owner to say.
            Err(TransportError::Unanswered(why)) => Next::Unknown(why).into(),
        })
    }
}

exoclaw_guest::channel!(Platform);
