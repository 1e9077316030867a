//! Channels: messaging platforms, as state machines without I/O.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::channels::exports::exoclaw::plugin::channel::{
    Action, Address, Attachment, Body, Challenge, Closing, Connection, Content, Context, Conversation, Description,
    Disconnection, Ed25519, Encoding, Event, Features, Fetch, Field, FieldValue, File, Frame, Guest, Hash, Health,
    Hmac, Hold, Incoming, Jwt, Kind, LimitedRequest, Message, Next, NextState, Outbound, OutboundFrame, Outcome,
    Outgoing, Piece, Place, Reaction, Receipt, Sender, ServerEvent, Setup, SharedSecret, SignedTimestamp, Start,
    Status, TaggedFrame, TaggedOutboundFrame, TaggedRequest, TaggedResponse, Template, Timer, TransportError,
    Verification, Webhook,
};
use crate::settings::{self, Settings};
use crate::{Error, Header, Response, invalid};

/// A messaging platform. Every function is pure: the same arguments give the same result.
pub trait Channel {
    /// The plugin's settings.
    type Settings: Settings;
    /// What it remembers between events, at most 256 KiB as JSON. An empty state is the default.
    type State: Serialize + DeserializeOwned + Default;
    /// How far a delivery is, from step to step.
    type Progress: Serialize + DeserializeOwned + Default;

    /// `telegram`, `slack`.
    const PLATFORM: &'static str;

    /// What these settings need of the host.
    ///
    /// # Errors
    /// They contradict each other; the plugin is refused.
    fn configure(settings: Self::Settings) -> Result<Setup, Error>;

    /// Something happened on the platform.
    ///
    /// # Errors
    /// What came can't be understood. It comes again with `context.attempt` higher.
    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<Self::State>, Error>;

    /// The next step of a delivery: to begin, when a draft has grown, after a frame or a wait.
    ///
    /// # Errors
    /// It can't be delivered.
    fn deliver(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: Self::Progress,
    ) -> Result<Step<Self::Progress>, Error>;

    /// The step that follows from the answer to a request of [`deliver`](Self::deliver).
    ///
    /// # Errors
    /// It can't be delivered.
    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: Self::Progress,
        outcome: Outcome,
    ) -> Result<Step<Self::Progress>, Error>;

    /// How the bytes of an attachment are fetched.
    ///
    /// # Errors
    /// They can't be, as by default.
    fn fetch(_call: Call<'_, Self>, _handle: &[u8], _previous: Option<Response>) -> Result<Fetch, Error> {
        Err(crate::unsupported("this channel has no attachments"))
    }
}

/// What a function is told besides its arguments.
pub struct Call<'a, C: Channel + ?Sized> {
    /// Time, chance and the attempt.
    pub context: &'a Context,
    /// As the owner set them.
    pub settings: C::Settings,
    /// As the last event left it.
    pub state: C::State,
}

/// What follows from an event.
pub struct Received<S> {
    /// The new state, where it changed; stored before anything else is done.
    pub state: Option<S>,
    /// Whether the state may be stored later than all else, where neither a message nor a receipt comes
    /// with it: a crash may bring back the one before, and the platform repeats what lay between.
    pub lazy: bool,
    /// For the agent.
    pub messages: Vec<Message>,
    /// What the platform says of earlier deliveries.
    pub receipts: Vec<Receipt>,
    /// What the host should do.
    pub actions: Vec<Action>,
    /// For the webhook's caller; 200 without a body where there is none.
    pub reply: Option<Response>,
}

/// By default nothing follows.
impl<S> Default for Received<S> {
    fn default() -> Self {
        Self { state: None, lazy: false, messages: vec![], receipts: vec![], actions: vec![], reply: None }
    }
}

/// What a delivery does next, with what it is to be told then.
pub struct Step<P> {
    /// How far it is after this.
    pub progress: P,
    /// Rate limits learnt.
    pub holds: Vec<Hold>,
    /// What to do.
    pub next: Next,
}

impl<P: Default> From<Next> for Step<P> {
    fn from(next: Next) -> Self {
        Self { progress: P::default(), holds: vec![], next }
    }
}

impl Outbound {
    /// A JSON document, posted; it is given ten seconds.
    ///
    /// # Errors
    /// The value can't be written as JSON.
    pub fn post_json(url: impl Into<String>, value: &impl Serialize) -> Result<Self, Error> {
        let json = serde_json::to_string(value).map_err(crate::failed)?;
        Ok(Self {
            method: "POST".into(),
            url: text(url),
            headers: vec![("content-type".into(), text("application/json"))],
            body: Body::Text(text(json)),
            timeout_ms: 10_000,
        })
    }

    /// The same with `authorization: Bearer` and a secret, which the host puts in.
    #[must_use]
    pub fn bearer(mut self, secret: impl Into<String>) -> Self {
        let template = vec![Piece::Text("Bearer ".into()), Piece::Secret(secret.into())];
        self.headers.push(("authorization".into(), template));
        self
    }
}

/// A template without secrets.
pub fn text(text: impl Into<String>) -> Template {
    vec![Piece::Text(text.into())]
}

/// A plain answer to a webhook's caller.
pub fn reply(status: u16, text: impl Into<String>) -> Response {
    let header = Header { name: "content-type".into(), value: "text/plain; charset=utf-8".into() };
    Response { status, headers: vec![header], body: text.into().into_bytes() }
}

/// Makes a component of a channel: `exoclaw_guest::channel!(Telegram);`
#[macro_export]
macro_rules! channel {
    ($channel:ty) => {
        $crate::bindings::channels::export!(ExoclawChannel with_types_in $crate::bindings::channels);

        struct ExoclawChannel;

        impl $crate::channel::Guest for ExoclawChannel {
            fn describe() -> $crate::channel::Description {
                $crate::channel::glue::describe::<$channel>()
            }

            fn configure(settings: ::std::string::String) -> ::std::result::Result<$crate::channel::Setup, $crate::Error> {
                $crate::channel::glue::configure::<$channel>(&settings)
            }

            fn parse_incoming(
                context: $crate::channel::Context,
                state: ::std::vec::Vec<u8>,
                event: $crate::channel::Event,
            ) -> ::std::result::Result<$crate::channel::Incoming, $crate::Error> {
                $crate::channel::glue::receive::<$channel>(&context, &state, event)
            }

            fn format_outgoing(
                context: $crate::channel::Context,
                state: ::std::vec::Vec<u8>,
                outgoing: $crate::channel::Outgoing,
                progress: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<$crate::channel::RawStep, $crate::Error> {
                $crate::channel::glue::deliver::<$channel>(&context, &state, &outgoing, &progress)
            }

            fn parse_delivery(
                context: $crate::channel::Context,
                state: ::std::vec::Vec<u8>,
                outgoing: $crate::channel::Outgoing,
                progress: ::std::vec::Vec<u8>,
                outcome: $crate::channel::Outcome,
            ) -> ::std::result::Result<$crate::channel::RawStep, $crate::Error> {
                $crate::channel::glue::answered::<$channel>(&context, &state, &outgoing, &progress, outcome)
            }

            fn fetch_attachment(
                context: $crate::channel::Context,
                state: ::std::vec::Vec<u8>,
                handle: ::std::vec::Vec<u8>,
                previous: ::std::option::Option<$crate::Response>,
            ) -> ::std::result::Result<$crate::channel::Fetch, $crate::Error> {
                $crate::channel::glue::fetch::<$channel>(&context, &state, &handle, previous)
            }
        }
    };
}

#[doc(hidden)]
pub use crate::bindings::channels::exports::exoclaw::plugin::channel::Step as RawStep;

/// What [`channel!`] calls.
#[doc(hidden)]
pub mod glue {
    use super::*;

    pub fn describe<C: Channel>() -> Description {
        Description { platform: C::PLATFORM.into(), settings_schema: C::Settings::SCHEMA.into() }
    }

    pub fn configure<C: Channel>(settings: &str) -> Result<Setup, Error> {
        C::configure(settings::read(settings)?)
    }

    pub fn receive<C: Channel>(context: &Context, state: &[u8], event: Event) -> Result<Incoming, Error> {
        let Received { state, lazy, messages, receipts, actions, reply } = C::receive(call(context, state)?, event)?;
        let state = match state {
            Some(state) if lazy && messages.is_empty() && receipts.is_empty() => NextState::Lazy(write(&state)?),
            Some(state) => NextState::Durable(write(&state)?),
            // With messages or receipts the state is stored anyway.
            None => NextState::Unchanged,
        };
        Ok(Incoming { state, messages, receipts, actions, reply })
    }

    pub fn deliver<C: Channel>(
        context: &Context,
        state: &[u8],
        outgoing: &Outgoing,
        progress: &[u8],
    ) -> Result<RawStep, Error> {
        raw(C::deliver(call(context, state)?, outgoing, read("progress", progress)?)?)
    }

    pub fn answered<C: Channel>(
        context: &Context,
        state: &[u8],
        outgoing: &Outgoing,
        progress: &[u8],
        outcome: Outcome,
    ) -> Result<RawStep, Error> {
        raw(C::answered(call(context, state)?, outgoing, read("progress", progress)?, outcome)?)
    }

    pub fn fetch<C: Channel>(
        context: &Context,
        state: &[u8],
        handle: &[u8],
        previous: Option<Response>,
    ) -> Result<Fetch, Error> {
        C::fetch(call(context, state)?, handle, previous)
    }

    fn call<'a, C: Channel>(context: &'a Context, state: &[u8]) -> Result<Call<'a, C>, Error> {
        Ok(Call { context, settings: settings::read(&context.settings)?, state: read("state", state)? })
    }

    fn raw<P: Serialize>(step: super::Step<P>) -> Result<RawStep, Error> {
        Ok(RawStep { progress: write(&step.progress)?, holds: step.holds, next: step.next })
    }

    /// What was never written is the default.
    fn read<T: DeserializeOwned + Default>(what: &str, bytes: &[u8]) -> Result<T, Error> {
        if bytes.is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(bytes).map_err(|error| invalid(format_args!("the {what}: {error}")))
    }

    fn write(value: &impl Serialize) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(value).map_err(crate::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoSettings;

    /// Counts timers, and delivers in two steps.
    struct Counter;

    impl Channel for Counter {
        type Settings = NoSettings;
        type State = u32;
        type Progress = bool;

        const PLATFORM: &'static str = "counter";

        fn configure(NoSettings {}: NoSettings) -> Result<Setup, Error> {
            let features =
                Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads: false };
            Ok(Setup { secrets: vec![], origins: vec![], webhook: None, features })
        }

        fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<u32>, Error> {
            let state = matches!(event, Event::Timer(_)).then_some(call.state + 1);
            Ok(Received { state, lazy: call.state > 1, ..Received::default() })
        }

        fn deliver(_: Call<'_, Self>, outgoing: &Outgoing, asked: bool) -> Result<super::Step<bool>, Error> {
            if asked {
                return Ok(Next::Done(vec![outgoing.id.clone()]).into());
            }
            Ok(super::Step { progress: true, ..Next::Wait(1).into() })
        }

        fn answered(_: Call<'_, Self>, _: &Outgoing, _: bool, _: Outcome) -> Result<super::Step<bool>, Error> {
            Err(crate::unsupported("it asks nothing"))
        }
    }

    fn context() -> Context {
        Context { settings: "{}".into(), webhook_url: None, now: 0, random: 0, attempt: 1 }
    }

    fn after(state: &[u8], event: Event) -> NextState {
        glue::receive::<Counter>(&context(), state, event).unwrap().state
    }

    #[test]
    fn state_is_carried_from_event_to_event() {
        assert!(matches!(after(b"", Event::Stop), NextState::Unchanged));
        let NextState::Durable(once) = after(b"", Event::Timer("t".into())) else { panic!("a state was expected") };
        assert_eq!(once, b"1");
        let NextState::Durable(twice) = after(&once, Event::Timer("t".into())) else { panic!("a state was expected") };
        assert_eq!(twice, b"2");
        assert!(matches!(after(&twice, Event::Timer("t".into())), NextState::Lazy(third) if third == b"3"));
        let spoilt = glue::receive::<Counter>(&context(), b"{", Event::Stop);
        assert!(matches!(spoilt, Err(Error::InvalidInput(text)) if text.starts_with("the state: ")));
    }

    #[test]
    fn progress_is_carried_from_step_to_step() {
        let outgoing = Outgoing {
            id: "a".into(),
            created_at: 0,
            address: Address { account: None, peer: "p".into(), guild: None, team: None, thread: None },
            handle: None,
            reply_to: None,
            content: Content::Typing,
        };
        let first = glue::deliver::<Counter>(&context(), b"", &outgoing, b"").unwrap();
        assert!(matches!(first.next, Next::Wait(1)));
        let second = glue::deliver::<Counter>(&context(), b"", &outgoing, &first.progress).unwrap();
        assert!(matches!(second.next, Next::Done(ids) if ids == ["a"]));
    }

    #[test]
    fn a_secret_is_a_piece_of_its_own() {
        let request = Outbound::post_json("https://example.com", &"hi").unwrap().bearer("token");
        let (name, template) = &request.headers[1];
        assert_eq!(name, "authorization");
        assert!(
            matches!(&template[..], [Piece::Text(text), Piece::Secret(name)] if text == "Bearer " && name == "token")
        );
    }
}
