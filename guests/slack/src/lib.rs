//! Slack: messages by Socket Mode or the Events API, answers by the Web API.

mod api;
mod delivery;
mod emoji;
mod events;
mod files;
mod settings;
mod socket;
mod state;
mod text;
mod webhook;

use exoclaw_chat::Turn;
use exoclaw_guest::channel::{
    Call, Channel, Event, Fetch, Outcome, Outgoing, Received, Setup, Step, TaggedFrame, TaggedResponse,
};
use exoclaw_guest::{Error, Response};

use crate::delivery::{Delivery, Progress};
use crate::socket::{AGAIN, AUTH, HELLO, OPEN, Socket};
use crate::state::State;

struct Slack;

impl Channel for Slack {
    type Settings = settings::Slack;
    type State = State;
    type Progress = Progress;

    const PLATFORM: &'static str = "slack";

    fn configure(settings: settings::Slack) -> Result<Setup, Error> {
        settings.setup()
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<State>, Error> {
        let Call { context, settings, state } = call;
        let mut turn = Turn::new(state);
        let mut socket = Socket { settings: &settings, context, turn: &mut turn };
        match event {
            Event::Start(_) => socket.start(),
            Event::Response(TaggedResponse { tag, outcome }) if tag == AUTH => socket.authenticated(&outcome),
            Event::Response(TaggedResponse { tag, outcome }) if tag == OPEN => socket.opened(&outcome),
            Event::Connected(tag) => socket.connected(&tag),
            Event::Frame(TaggedFrame { tag, frame }) => socket.frame(&tag, &frame)?,
            Event::Disconnected(ended) => socket.disconnected(&ended),
            Event::Timer(tag) if tag == AGAIN => socket.again_due(),
            Event::Timer(tag) if tag == HELLO => socket.hello_due(),
            Event::Webhook(request) => webhook::received(&settings, &mut turn, &request)?,
            // The host closes the connection by itself.
            Event::Stop | Event::Response(_) | Event::Timer(_) => {}
        }
        Ok(turn.done())
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, progress: Progress) -> Result<Step<Progress>, Error> {
        Delivery::new(&call, outgoing, progress).next()
    }

    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: Progress,
        outcome: Outcome,
    ) -> Result<Step<Progress>, Error> {
        Delivery::new(&call, outgoing, progress).answered(&outcome)
    }

    fn fetch(call: Call<'_, Self>, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
        files::fetch(&call.settings, handle, previous)
    }
}

exoclaw_guest::channel!(Slack);

#[cfg(test)]
mod tests;
