//! WhatsApp, by the Cloud API: messages come by webhook, answers go to the Graph API.
//!
//! <https://developers.facebook.com/documentation/business-messaging/whatsapp>

mod delivery;
mod graph;
mod incoming;
mod media;
mod payload;

use exoclaw_chat::origin;
use exoclaw_guest::channel::{
    Call, Challenge, Channel, Encoding, Event, Features, Fetch, Hash, Hmac, Outcome, Outgoing, Received, Setup, Step,
    Verification, Webhook,
};
use exoclaw_guest::{Error, Response, Settings};
use serde::Deserialize;

use crate::delivery::Progress;

/// Signs what comes in: the app's secret.
const APP_SECRET: &str = "app-secret";
/// What the owner made up and entered beside the webhook's address.
const VERIFY_TOKEN: &str = "verify-token";
/// Authorises what goes out: a system user's token.
const ACCESS_TOKEN: &str = "access-token";

/// How long a typing indicator is shown, in milliseconds, less a little (Cloud API, "Typing indicators": 25 s).
const TYPING: u32 = 20_000;
/// The largest file that can be uploaded, a document (Cloud API, "Media", "Supported media types": 100 MB).
const FILE: u64 = 100_000_000;

/// What the owner sets in the config file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WhatsAppSettings {
    base_url: String,
    media_url: String,
    version: String,
    phone_number_id: Option<String>,
}

impl Default for WhatsAppSettings {
    fn default() -> Self {
        Self {
            base_url: "https://graph.facebook.com".into(),
            media_url: "https://lookaside.fbsbx.com".into(),
            version: "v25.0".into(),
            phone_number_id: None,
        }
    }
}

impl Settings for WhatsAppSettings {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "phone_number_id": {
                "type": "string",
                "pattern": "^[0-9]{1,32}$",
                "description": "The id of the one number that it answers for, not the number itself; every number of the app by default."
            },
            "version": {"type": "string", "pattern": "^v[0-9]{1,3}\\.[0-9]{1,2}$", "description": "Of the Graph API; v25.0 by default."},
            "base_url": {"type": "string", "pattern": "^https?://[^/?#]+$", "description": "Of the Graph API; https://graph.facebook.com by default."},
            "media_url": {"type": "string", "pattern": "^https?://[^/?#]+$", "description": "Where files are downloaded; https://lookaside.fbsbx.com by default."}
        },
        "additionalProperties": false
    }"#;
}

struct WhatsApp;

impl Channel for WhatsApp {
    type Settings = WhatsAppSettings;
    // The platform repeats what was not acknowledged and names it by ids, so that there is nothing to remember.
    type State = ();
    type Progress = Progress;

    const PLATFORM: &'static str = "whatsapp";

    fn configure(settings: WhatsAppSettings) -> Result<Setup, Error> {
        let mut origins = vec![origin(&settings.base_url)?.to_owned(), origin(&settings.media_url)?.to_owned()];
        origins.dedup();
        let verification = Verification::Hmac(Hmac {
            hash: Hash::Sha256,
            secret: APP_SECRET.into(),
            header: "x-hub-signature-256".into(),
            prefix: "sha256=".into(),
            encoding: Encoding::Hex,
            template: "{body}".into(),
            timestamp: None,
        });
        let challenge = Challenge {
            token_parameter: "hub.verify_token".into(),
            secret: VERIFY_TOKEN.into(),
            echo_parameter: "hub.challenge".into(),
        };
        Ok(Setup {
            secrets: [APP_SECRET, VERIFY_TOKEN, ACCESS_TOKEN].map(str::to_owned).into(),
            origins,
            webhook: Some(Webhook { verification, challenge: Some(challenge) }),
            features: Features {
                typing_ms: Some(TYPING),
                // What was sent can't be changed.
                draft_ms: None,
                file_bytes: Some(FILE),
                reactions: true,
                threads: false,
            },
        })
    }

    fn receive(call: Call<'_, Self>, event: Event) -> Result<Received<()>, Error> {
        incoming::receive(&call.settings, event)
    }

    fn deliver(call: Call<'_, Self>, outgoing: &Outgoing, progress: Progress) -> Result<Step<Progress>, Error> {
        delivery::next(&call.settings, outgoing, progress)
    }

    fn answered(
        call: Call<'_, Self>,
        outgoing: &Outgoing,
        progress: Progress,
        outcome: Outcome,
    ) -> Result<Step<Progress>, Error> {
        delivery::answered(&call, outgoing, progress, &outcome)
    }

    fn fetch(call: Call<'_, Self>, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
        media::fetch(&call.settings, handle, previous)
    }
}

exoclaw_guest::channel!(WhatsApp);

#[cfg(test)]
mod tests;

#[cfg(test)]
mod properties;
