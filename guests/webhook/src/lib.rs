//! Any platform that calls a webhook with JSON: settings say what a message is, and how to answer.

mod incoming;
mod markdown;
mod reply;
mod settings;
mod shape;
mod template;

use exoclaw_chat::origin;
use exoclaw_guest::channel::{Call, Channel, Event, Features, Outcome, Outgoing, Received, Setup, Step, Webhook};
use exoclaw_guest::{Error, invalid};

use crate::reply::Progress;
use crate::settings::{Reply, WebhookSettings};

struct AnyWebhook;

impl Channel for AnyWebhook {
    type Settings = WebhookSettings;
    // A repeat is told by its event's id, so that there is nothing to remember.
    type State = ();
    type Progress = Progress;

    const PLATFORM: &'static str = "webhook";

    fn configure(settings: WebhookSettings) -> Result<Setup, Error> {
        let mut secrets: Vec<String> = vec![];
        let from_verification = settings.verification.secret();
        let from_challenge = settings.challenge.as_ref().map(|challenge| challenge.secret_name.as_str());
        let from_reply = settings.reply.iter().flat_map(Reply::secrets);
        for name in from_verification.into_iter().chain(from_challenge).chain(from_reply) {
            if !secrets.iter().any(|known| known == name) {
                secrets.push(name.to_owned());
            }
        }
        let mut origins = vec![];
        if let Some(reply) = &settings.reply {
            origins.push(origin(&reply.base_url)?.to_owned());
            reply.check().map_err(invalid)?;
        }
        let threads = settings.events.iter().any(|rule| rule.thread.is_some());
        let verification = settings.verification.verification().map_err(invalid)?;
        Ok(Setup {
            secrets,
            origins,
            webhook: Some(Webhook { verification, challenge: settings.challenge.map(Into::into) }),
            features: Features { typing_ms: None, draft_ms: None, file_bytes: None, reactions: false, threads },
        })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<()>, Error> {
        incoming::receive(&call.settings, event)
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, progress: Progress) -> Result<Step<Progress>, Error> {
        reply::next(call.settings.reply.as_ref(), outgoing, progress)
    }

    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: Progress,
        outcome: Outcome,
    ) -> Result<Step<Progress>, Error> {
        reply::answered(&call, outgoing, progress, &outcome)
    }
}

exoclaw_guest::channel!(AnyWebhook);

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
