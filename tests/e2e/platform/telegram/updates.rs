//! Updates: by long poll, and by webhook.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::PUBLIC_HOST;
use crate::harness::within;
use crate::platform::check::{Kind, check, may, need};
use crate::platform::desk::{Desk, Seen};
use crate::platform::push::Hook;

/// Kinds that are sent only to who names them.
const ON_REQUEST: &[&str] = &["message_reaction", "message_reaction_count", "chat_member"];

const KINDS: &[&str] = &[
    "message",
    "edited_message",
    "channel_post",
    "edited_channel_post",
    "message_reaction",
    "message_reaction_count",
    "callback_query",
    "inline_query",
    "my_chat_member",
    "chat_member",
    "chat_join_request",
    "poll",
    "poll_answer",
    "business_message",
    "edited_business_message",
];

/// How long after a failed push the next one comes, in this world without patience.
const PUSH_AGAIN: Duration = Duration::from_millis(50);

type Refusal = (u16, String);

pub(super) struct Updates {
    queue: watch::Sender<Queue>,
    hook: Mutex<Option<AbortOnDropHandle<()>>>,
    pushes: Arc<Seen<u16>>,
    desk: Arc<Desk>,
}

#[derive(Debug, Default, Clone)]
struct Queue {
    next: i64,
    /// Not confirmed yet.
    waiting: VecDeque<Value>,
    confirmed: Vec<Value>,
    allowed: Option<BTreeSet<String>>,
    /// Counts polls; only the newest is served.
    poll: u64,
    polling: bool,
    conflicts: usize,
    /// What a webhook was set with.
    webhook: Option<Value>,
    gateway: Option<SocketAddr>,
}

/// A poll that is under way.
struct Polling<'a>(&'a watch::Sender<Queue>, u64);

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|queue| queue.polling &= queue.poll != self.1);
    }
}

impl Queue {
    fn allows(&self, kind: &str) -> bool {
        match &self.allowed {
            Some(allowed) if !allowed.is_empty() => allowed.contains(kind),
            _ => !ON_REQUEST.contains(&kind),
        }
    }

    fn confirm(&mut self, wanted: impl Fn(i64) -> bool) {
        let (gone, waiting) = self.waiting.drain(..).partition::<Vec<_>, _>(|update| wanted(id(update)));
        self.waiting = waiting.into();
        self.confirmed.extend(gone);
    }
}

fn id(update: &Value) -> i64 {
    update["update_id"].as_i64().expect("a number")
}

impl Updates {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        let queue = Queue { next: 500_000_001, ..Queue::default() };
        Self { queue: watch::Sender::new(queue), hook: Mutex::default(), pushes: Arc::default(), desk }
    }

    pub(super) fn add(&self, kind: &str, value: Value) {
        self.queue.send_modify(|queue| {
            let number = queue.next;
            queue.next += 1;
            if queue.allows(kind) {
                queue.waiting.push_back(json!({"update_id": number, kind: value}));
            }
        });
    }

    pub(super) fn resolves_to(&self, gateway: SocketAddr) {
        self.queue.send_modify(|queue| queue.gateway = Some(gateway));
    }

    pub(super) async fn hooked(&self) -> Value {
        let mut queue = self.queue.subscribe();
        let set = within("a webhook is set", queue.wait_for(|queue| queue.webhook.is_some())).await;
        set.expect("the sender lives").webhook.clone().expect("just seen")
    }

    pub(super) fn conflicts(&self) -> usize {
        self.queue.borrow().conflicts
    }

    pub(super) fn pushes(&self) -> &Seen<u16> {
        &self.pushes
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.queue.borrow().waiting.len()
    }

    pub(super) async fn all_confirmed(&self) {
        let mut queue = self.queue.subscribe();
        let done = within("all updates are confirmed", queue.wait_for(|queue| queue.waiting.is_empty()));
        done.await.expect("the sender lives");
    }

    pub(super) fn repeat_all(&self) {
        self.queue.send_modify(|queue| {
            let again = std::mem::take(&mut queue.confirmed);
            queue.waiting.extend(again);
        });
    }

    pub(super) fn reverse(&self) {
        self.queue.send_modify(|queue| queue.waiting.make_contiguous().reverse());
    }

    /// The methods that are about updates.
    pub(super) async fn method(&self, method: &str, fields: &Map<String, Value>) -> Result<Value, Refusal> {
        let hold = |known| check(fields, known).map_err(|why| (400, format!("Bad Request: {why}")));
        match method {
            "getUpdates" => {
                hold(&[
                    may("offset", Kind::Whole),
                    may("limit", Kind::Whole),
                    may("timeout", Kind::Whole),
                    may("allowed_updates", Kind::List(&Kind::One(KINDS))),
                ])?;
                self.poll(fields).await
            }
            "setWebhook" => {
                hold(&[
                    need("url", Kind::Text),
                    may("secret_token", Kind::Text),
                    may("max_connections", Kind::Whole),
                    may("allowed_updates", Kind::List(&Kind::One(KINDS))),
                    may("drop_pending_updates", Kind::Bool),
                ])?;
                self.set_webhook(fields)
            }
            "deleteWebhook" => {
                hold(&[may("drop_pending_updates", Kind::Bool)])?;
                self.take_webhook(None);
                if fields.get("drop_pending_updates") == Some(&Value::Bool(true)) {
                    self.queue.send_modify(|queue| queue.waiting.clear());
                }
                Ok(true.into())
            }
            "getWebhookInfo" => {
                hold(&[])?;
                let queue = self.queue.borrow();
                let url = queue.webhook.as_ref().map_or("", |hook| hook["url"].as_str().unwrap_or_default());
                Ok(json!({"url": url, "has_custom_certificate": false, "pending_update_count": queue.waiting.len()}))
            }
            _ => Err((404, format!("Not Found: no method {method} is served"))),
        }
    }

    async fn poll(&self, fields: &Map<String, Value>) -> Result<Value, Refusal> {
        let whole = |name: &str, default: i64| fields.get(name).and_then(Value::as_i64).unwrap_or(default);
        let (offset, limit, timeout) = (whole("offset", 0), whole("limit", 100), whole("timeout", 0));
        if !(1..=100).contains(&limit) || !(0..=50).contains(&timeout) {
            return Err((400, format!("Bad Request: a limit of {limit}, a timeout of {timeout}")));
        }
        if self.queue.borrow().webhook.is_some() {
            let why = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete \
                       the webhook first";
            return Err((409, why.into()));
        }
        let mut mine = 0;
        self.queue.send_modify(|queue| {
            queue.conflicts += usize::from(queue.polling);
            queue.poll += 1;
            queue.polling = true;
            mine = queue.poll;
            if let Some(allowed) = fields.get("allowed_updates").and_then(Value::as_array) {
                queue.allowed = Some(allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect());
            }
            if offset < 0 {
                let kept = queue.waiting.len().saturating_sub(offset.unsigned_abs() as usize);
                let until = queue.waiting.get(kept).map_or(i64::MAX, id);
                queue.confirm(|id| id < until);
            } else {
                queue.confirm(|id| id < offset);
            }
        });
        let _polling = Polling(&self.queue, mine);
        let mut queue = self.queue.subscribe();
        let ready = queue.wait_for(|queue| !queue.waiting.is_empty() || queue.poll != mine);
        let timeout = Duration::from_secs(timeout.unsigned_abs());
        // An answer without updates is what a poll without news ends with.
        let _ = tokio::time::timeout(timeout, ready).await;
        let queue = self.queue.borrow();
        if queue.poll != mine {
            let why = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is \
                       running";
            return Err((409, why.into()));
        }
        Ok(queue.waiting.iter().take(limit as usize).cloned().collect())
    }

    fn set_webhook(&self, fields: &Map<String, Value>) -> Result<Value, Refusal> {
        let bad = |why: &str| Err((400, format!("Bad Request: bad webhook: {why}")));
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let url = text("url").unwrap_or_default();
        if url.is_empty() {
            self.take_webhook(None);
            return Ok(true.into());
        }
        let Some(path) = url.strip_prefix("https://").and_then(|rest| rest.strip_prefix(PUBLIC_HOST)) else {
            return bad("An HTTPS URL must be provided for webhook, whose host resolves");
        };
        let secret = text("secret_token");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if secret.is_some_and(|secret| !(1..=256).contains(&secret.len()) || !secret.bytes().all(allowed)) {
            return bad("secret token contains unallowed characters");
        }
        if fields.get("max_connections").and_then(Value::as_i64).is_some_and(|most| !(1..=100).contains(&most)) {
            return bad("max_connections is 1 to 100");
        }
        self.queue.send_modify(|queue| {
            if let Some(allowed) = fields.get("allowed_updates").and_then(Value::as_array) {
                queue.allowed = Some(allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect());
            }
            if fields.get("drop_pending_updates") == Some(&Value::Bool(true)) {
                queue.waiting.clear();
            }
        });
        self.take_webhook(Some((Value::Object(fields.clone()), path.to_owned(), secret.map(str::to_owned))));
        Ok(true.into())
    }

    fn take_webhook(&self, hook: Option<(Value, String, Option<String>)>) {
        let task = hook.as_ref().map(|(_, path, secret)| {
            let push = Push {
                queue: self.queue.clone(),
                pushes: Arc::clone(&self.pushes),
                desk: Arc::clone(&self.desk),
                path: path.clone(),
                secret: secret.clone(),
            };
            AbortOnDropHandle::new(tokio::spawn(push.run()))
        });
        *self.hook.lock().expect("no poison") = task;
        self.queue.send_modify(|queue| queue.webhook = hook.map(|(set, _, _)| set));
    }
}

/// Pushes to one webhook.
struct Push {
    queue: watch::Sender<Queue>,
    pushes: Arc<Seen<u16>>,
    desk: Arc<Desk>,
    path: String,
    secret: Option<String>,
}

impl Push {
    /// One update after another, each until it is taken.
    async fn run(self) {
        let mut changes = self.queue.subscribe();
        loop {
            let ready = |queue: &Queue| Some((queue.waiting.front()?.clone(), queue.gateway?));
            let Ok(next) = changes.wait_for(|queue| ready(queue).is_some()).await.map(|queue| ready(&queue)) else {
                return;
            };
            let (update, gateway) = next.expect("just seen");
            let hook = Hook { gateway, host: PUBLIC_HOST.into(), path: self.path.clone() };
            let mut headers = vec![("content-type", "application/json"), ("x-forwarded-for", "149.154.167.197")];
            if let Some(secret) = &self.secret {
                headers.push(("x-telegram-bot-api-secret-token", secret));
            }
            match hook.post(&headers, update.to_string()).await {
                Ok(answer) => {
                    self.pushes.push(answer.status);
                    if (200..300).contains(&answer.status) {
                        if !answer.body.is_empty() {
                            self.desk.violation(format!("a push was answered with no method: {}", answer.text()));
                        }
                        self.queue.send_modify(|queue| queue.confirm(|number| number == id(&update)));
                        continue;
                    }
                }
                // The gateway is down.
                Err(_) => self.pushes.push(0),
            }
            tokio::time::sleep(PUSH_AGAIN).await;
        }
    }
}
