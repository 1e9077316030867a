//! From Telegram to the agent: who the bot is, then a poll after a poll, or a webhook.

use exoclaw_chat::backoff_ms;
use exoclaw_guest::channel::{
    Action, Body, Call, Event, Health, Outbound, Outcome, Piece, Received, TaggedRequest, TaggedResponse, Timer,
};
use exoclaw_guest::{Error, Level, invalid, log};
use serde_json::{Value, json};

use crate::api::{self, ALLOWED_UPDATES, Failure, Update, User};
use crate::update::messages;
use crate::{Me, Mode, State, Telegram, TelegramSettings, WEBHOOK_SECRET};

/// What a poll takes longer than Telegram keeps it waiting, at most, in milliseconds.
const POLL_GRACE_MS: u32 = 15_000;
/// Failures in a row after which the owner is called.
const MANY_FAILURES: u32 = 5;

/// What is asked of Telegram, one after the other. Its names are tags of requests, and of the timers
/// after which they are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Who the bot is.
    Me,
    /// That updates come by webhook, or do not.
    Hook,
    Updates,
}

impl Ask {
    fn tag(self) -> &'static str {
        match self {
            Self::Me => "me",
            Self::Hook => "hook",
            Self::Updates => "updates",
        }
    }

    fn tagged(tag: &str) -> Option<Self> {
        [Self::Me, Self::Hook, Self::Updates].into_iter().find(|ask| ask.tag() == tag)
    }
}

pub fn receive(call: Call<'_, Telegram>, event: Event) -> Result<Received<State>, Error> {
    match event {
        Event::Start(_) => {
            let connecting = Action::Report(Health::Connecting("asking Telegram who the bot is".into()));
            Ok(Received { actions: vec![connecting, ask(&call, Ask::Me)?], ..Received::default() })
        }
        Event::Stop => {
            let asks = [Ask::Me, Ask::Hook, Ask::Updates].into_iter();
            let cancel = asks.map(|ask| Action::CancelRequest(ask.tag().into())).collect();
            Ok(Received { actions: cancel, ..Received::default() })
        }
        Event::Timer(tag) => match Ask::tagged(&tag) {
            Some(what) => Ok(Received { actions: vec![ask(&call, what)?], ..Received::default() }),
            None => Ok(Received::default()),
        },
        Event::Response(TaggedResponse { tag, outcome }) => match Ask::tagged(&tag) {
            Some(Ask::Me) => known(call, &outcome),
            Some(Ask::Hook) => hooked(call, &outcome),
            Some(Ask::Updates) => polled(call, &outcome),
            None => Ok(Received::default()),
        },
        Event::Webhook(request) => called(&call, &request.body),
        Event::Connected(_) | Event::Frame(_) | Event::Disconnected(_) => Ok(Received::default()),
    }
}

fn ask(call: &Call<'_, Telegram>, what: Ask) -> Result<Action, Error> {
    let settings = &call.settings;
    let request = match (what, settings.mode) {
        (Ask::Me, _) => api::call(settings, "getMe", &json!({}))?,
        (Ask::Hook, Mode::Poll) => api::call(settings, "deleteWebhook", &json!({}))?,
        (Ask::Hook, Mode::Webhook) => match &call.context.webhook_url {
            Some(url) => set_webhook(settings, url)?,
            None => {
                let missing = "Telegram has to reach the gateway: set `webhook_url` in the table of this channel";
                return Ok(Action::Report(Health::Failed(missing.into())));
            }
        },
        (Ask::Updates, _) => Outbound {
            timeout_ms: settings.poll_seconds.saturating_mul(1_000).saturating_add(POLL_GRACE_MS),
            ..api::call(
                settings,
                "getUpdates",
                &json!({
                    // Confirms all before it, which are stored by now.
                    "offset": call.state.offset.unwrap_or(0),
                    "limit": 100,
                    "timeout": settings.poll_seconds,
                    "allowed_updates": ALLOWED_UPDATES,
                }),
            )?
        },
    };
    Ok(Action::Request(TaggedRequest { tag: what.tag().into(), request }))
}

/// The secret stands in the body, and needs no escaping there: Telegram takes only `A-Z a-z 0-9 _ -`.
fn set_webhook(settings: &TelegramSettings, url: &str) -> Result<Outbound, Error> {
    let parameters = json!({
        "url": url,
        "max_connections": settings.max_connections,
        "allowed_updates": ALLOWED_UPDATES,
    });
    let json = parameters.to_string();
    let open = json.strip_suffix('}').unwrap_or(&json);
    let body = vec![
        Piece::Text(format!("{open},\"secret_token\":\"")),
        Piece::Secret(WEBHOOK_SECRET.into()),
        Piece::Text("\"}".into()),
    ];
    Ok(Outbound { body: Body::Text(body), ..api::call(settings, "setWebhook", &Value::Null)? })
}

fn known(mut call: Call<'_, Telegram>, outcome: &Outcome) -> Result<Received<State>, Error> {
    let user: User = match api::result(outcome, call.context.now) {
        Ok(user) => user,
        Err(failure) => return Ok(failed(call, Ask::Me, &failure)),
    };
    call.state.me = Some(Me { id: user.id, username: user.username.unwrap_or_default() });
    call.state.failures = 0;
    let actions = vec![ask(&call, Ask::Hook)?];
    Ok(Received { state: Some(call.state), actions, ..Received::default() })
}

fn hooked(call: Call<'_, Telegram>, outcome: &Outcome) -> Result<Received<State>, Error> {
    if let Err(failure) = api::result::<bool>(outcome, call.context.now) {
        return Ok(failed(call, Ask::Hook, &failure));
    }
    let mut actions = vec![Action::Report(Health::Ready)];
    if call.settings.mode == Mode::Poll {
        actions.push(ask(&call, Ask::Updates)?);
    }
    Ok(Received { actions, ..Received::default() })
}

fn polled(mut call: Call<'_, Telegram>, outcome: &Outcome) -> Result<Received<State>, Error> {
    let mut updates: Vec<Value> = match api::result(outcome, call.context.now) {
        Ok(updates) => updates,
        // Someone set a webhook, which has to go before a poll is answered.
        Err(Failure::Refused(409, why)) if why.contains("webhook") => {
            let degraded = Action::Report(Health::Degraded(why));
            return Ok(Received { actions: vec![degraded, again(&call, Ask::Hook)], ..Received::default() });
        }
        Err(failure) => return Ok(failed(call, Ask::Updates, &failure)),
    };
    let recovered = std::mem::take(&mut call.state.failures) > 0;
    if updates.is_empty() && !recovered {
        return Ok(Received { actions: vec![ask(&call, Ask::Updates)?], ..Received::default() });
    }
    // Something in them was too much: go one by one, then past the first.
    if call.context.attempt > 1 {
        updates.truncate(1);
    }
    let skip = call.context.attempt > 2;
    let mut found = vec![];
    for update in updates {
        let Some(id) = update.get("update_id").and_then(Value::as_i64) else { continue };
        match serde_json::from_value::<Update>(update) {
            Ok(update) if !skip => found.extend(messages(update, call.state.me.as_ref())),
            Ok(_) => log(Level::Warn, &format!("the update {id} could not be taken on, and is skipped")),
            Err(error) => log(Level::Warn, &format!("the update {id} is not as documented, and is skipped: {error}")),
        }
        call.state.offset = Some(id.saturating_add(1).max(call.state.offset.unwrap_or(0)));
    }
    let mut actions = vec![ask(&call, Ask::Updates)?];
    if recovered {
        actions.insert(0, Action::Report(Health::Ready));
    }
    Ok(Received { state: Some(call.state), messages: found, actions, ..Received::default() })
}

fn called(call: &Call<'_, Telegram>, body: &[u8]) -> Result<Received<State>, Error> {
    // What failed twice is left behind.
    if call.context.attempt > 2 {
        return Ok(Received::default());
    }
    let update: Value = serde_json::from_slice(body)?;
    let update: Update =
        serde_json::from_value(update).map_err(|error| invalid(format_args!("the update: {error}")))?;
    Ok(Received { messages: messages(update, call.state.me.as_ref()), ..Received::default() })
}

/// Says what is wrong, and asks again later.
fn failed(mut call: Call<'_, Telegram>, what: Ask, failure: &Failure) -> Received<State> {
    call.state.failures = call.state.failures.saturating_add(1);
    let refused = |why| Health::Failed(format!("Telegram refuses the bot's token ({why}); BotFather gives a new one"));
    let health = match failure {
        // A token that is malformed is "Not Found".
        Failure::Refused(401 | 404, why) => {
            call.state.failures = call.state.failures.max(MANY_FAILURES * 2);
            refused(why)
        }
        Failure::Refused(409, why) if call.state.failures >= MANY_FAILURES => {
            Health::Failed(format!("another program polls with this bot's token ({why}); stop it"))
        }
        Failure::Refused(400, why) if what == Ask::Hook => {
            Health::Failed(format!("Telegram does not take the webhook: {why}"))
        }
        failure => Health::Degraded(failure.why()),
    };
    let retry = match failure {
        Failure::Limited { after_ms, .. } => Action::SetTimer(Timer { tag: what.tag().into(), after_ms: *after_ms }),
        _ => again(&call, what),
    };
    Received { state: Some(call.state), actions: vec![Action::Report(health), retry], ..Received::default() }
}

/// Soon at first, after many failures every few minutes.
fn again(call: &Call<'_, Telegram>, what: Ask) -> Action {
    let tries = call.state.failures.saturating_sub(1);
    Action::SetTimer(Timer { tag: what.tag().into(), after_ms: backoff_ms(tries, call.context.random) })
}
