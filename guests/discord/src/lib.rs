//! Discord: messages by the gateway, slash commands by webhook, answers by the REST API.

mod delivery;
mod dispatch;
mod files;
mod gateway;
mod interactions;
mod limits;
mod markup;
mod places;
mod rest;
mod roles;
mod send;
mod settings;
mod state;
mod text;

use exoclaw_chat::Turn;
use exoclaw_guest::channel::{
    Call, Channel, Event, Fetch, Outcome, Outgoing, Received, Setup, Step, TaggedFrame, TaggedResponse,
};
use exoclaw_guest::{Error, Response};

use crate::delivery::{Delivery, Progress};
use crate::gateway::{ASK, GATEWAY, Gateway, HEARTBEAT, RECONNECT};
use crate::state::State;

struct Discord;

impl Channel for Discord {
    type Settings = settings::Discord;
    type State = State;
    type Progress = Progress;

    const PLATFORM: &'static str = "discord";

    fn configure(settings: settings::Discord) -> Result<Setup, Error> {
        settings.setup()
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<State>, Error> {
        let Call { context, settings, state } = call;
        let mut turn = Turn::new(state);
        let mut gateway = Gateway { settings: &settings, context, turn: &mut turn };
        match event {
            Event::Start(_) => gateway.start()?,
            Event::Connected(tag) if tag == GATEWAY => gateway.connected(),
            Event::Frame(TaggedFrame { tag, frame }) if tag == GATEWAY => gateway.frame(&frame)?,
            Event::Disconnected(ended) if ended.tag == GATEWAY => gateway.disconnected(&ended),
            Event::Timer(tag) if tag == HEARTBEAT => gateway.heartbeat_due()?,
            Event::Timer(tag) if tag == RECONNECT => gateway.open()?,
            Event::Response(TaggedResponse { tag, outcome }) if tag == ASK => gateway.asked(outcome)?,
            Event::Response(TaggedResponse { tag, outcome }) => {
                if let Some(guild) = tag.strip_prefix(roles::TAG) {
                    roles::told(&mut turn, guild, outcome);
                } else if let Some(channel) = tag.strip_prefix(places::TAG) {
                    places::told(&mut turn, context, channel, &outcome)?;
                }
            }
            Event::Webhook(request) => interactions::received(&settings, context, &mut turn, &request)?,
            Event::Timer(tag) => {
                if let Some(channel) = tag.strip_prefix(places::TAG) {
                    places::ask_again(&settings, &mut turn, Some(channel));
                }
            }
            // The host closes the connection by itself, with the code that leaves the session to be resumed.
            Event::Stop | Event::Connected(_) | Event::Frame(_) | Event::Disconnected(_) => {}
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
        files::fetch(&call.settings, call.context, handle, previous)
    }
}

exoclaw_guest::channel!(Discord);

#[cfg(test)]
mod tests;
