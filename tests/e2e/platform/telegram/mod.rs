//! Telegram: the Bot API, <https://core.telegram.org/bots/api>.

mod html;
mod messages;
mod methods;
mod updates;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::desk::{Desk, Seen, Trouble};
use super::push::now;
use super::server::{Answer, Platform, Request, Scheme, Server};
use updates::Updates;

/// What the bot is known by.
pub(crate) const TOKEN: &str = "7000000001:AAE-fake-token-of-a-bot-for-tests_00";

/// What it is told to send with each push.
pub(crate) const WEBHOOK_SECRET: &str = "webhook-secret_0123456789abcdef";

const BOT_ID: i64 = 7_000_000_001;
pub(crate) const BOT_NAME: &str = "exo_test_bot";

/// The public address under which the tests' gateway is registered.
pub(crate) const PUBLIC_HOST: &str = "bot.example";

/// Telegram, as long as this lives.
pub(crate) type Telegram = Server<BotApi>;

pub(crate) struct BotApi {
    desk: Arc<Desk>,
    state: Mutex<State>,
    messages: Seen<Shown>,
    actions: Seen<ChatAction>,
    reactions: Seen<Reaction>,
    updates: Updates,
}

#[derive(Default)]
struct State {
    chats: HashMap<i64, Chat>,
    migrated: HashMap<i64, i64>,
    /// The last message's number in each chat; all chats count apart.
    numbers: HashMap<i64, i64>,
    /// Messages of users, by chat and number.
    heard: HashMap<(i64, i64), Value>,
    files: BTreeMap<String, StoredFile>,
    /// Until when sends to a chat are refused.
    held: HashMap<i64, Instant>,
    next_id: i64,
}

#[derive(Clone)]
struct StoredFile {
    path: String,
    bytes: Vec<u8>,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    kind: &'static str,
    title: String,
    /// Topics of a forum, by their thread.
    topics: Vec<i64>,
}

/// Someone who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) bot: bool,
}

/// A message of the bot's, as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// The request that made it.
    pub(crate) request: u64,
    pub(crate) at: Instant,
    pub(crate) chat: i64,
    pub(crate) number: i64,
    pub(crate) thread: Option<i64>,
    pub(crate) reply_to: Option<i64>,
    /// As readers see it; of a file, its caption.
    pub(crate) text: String,
    /// As it was sent.
    pub(crate) source: String,
    pub(crate) parse_mode: Option<String>,
    /// All texts that it had before.
    pub(crate) earlier: Vec<String>,
    pub(crate) file: Option<SentFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentFile {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatAction {
    pub(crate) chat: i64,
    pub(crate) thread: Option<i64>,
    pub(crate) action: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) chat: i64,
    pub(crate) number: i64,
    pub(crate) emoji: Option<String>,
}

impl Telegram {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        let desk = Arc::new(Desk::default());
        Self::serve(scheme, |_| BotApi {
            updates: Updates::new(Arc::clone(&desk)),
            desk,
            state: Mutex::new(State { next_id: 1000, ..State::default() }),
            messages: Seen::default(),
            actions: Seen::default(),
            reactions: Seen::default(),
        })
        .await
    }

    /// What a public name leads to: the gateway behind the owner's proxy.
    pub(crate) fn resolves_to(&self, gateway: SocketAddr) {
        self.platform().updates.resolves_to(gateway);
    }

    /// Waits until a webhook is set, and returns what it was set with.
    pub(crate) async fn hooked(&self) -> Value {
        self.platform().updates.hooked().await
    }

    /// How often two polls were under way at once.
    pub(crate) fn conflicts(&self) -> usize {
        self.platform().updates.conflicts()
    }

    /// How the webhook answered each push, in order.
    pub(crate) fn pushes(&self) -> &Seen<u16> {
        self.platform().updates.pushes()
    }

    /// Updates that nobody has confirmed.
    pub(crate) fn unconfirmed(&self) -> usize {
        self.platform().updates.unconfirmed()
    }

    /// What was confirmed is delivered once more.
    pub(crate) fn repeat_all(&self) {
        self.platform().updates.repeat_all();
    }

    /// The updates that wait are delivered in the order of their reverse.
    pub(crate) fn shuffle(&self) {
        self.platform().updates.reverse();
    }

    /// A private chat with someone new, which has the user's id.
    pub(crate) fn private(&self, name: &str) -> (Chat, User) {
        let user = self.user(name);
        let chat = self.chat(user.id, "private", name, &[]);
        (chat, user)
    }

    pub(crate) fn group(&self, title: &str) -> Chat {
        let id = -self.fresh_id();
        self.chat(id, "group", title, &[])
    }

    /// A supergroup with topics.
    pub(crate) fn forum(&self, title: &str, topics: &[i64]) -> Chat {
        let id = -1_000_000_000_000 - self.fresh_id();
        self.chat(id, "supergroup", title, topics)
    }

    pub(crate) fn user(&self, name: &str) -> User {
        User { id: self.fresh_id(), name: name.to_owned(), bot: false }
    }

    pub(crate) fn bot_user(&self, name: &str) -> User {
        User { bot: true, ..self.user(name) }
    }

    /// Turns a group into a supergroup, whose id has more than 32 bits.
    pub(crate) fn migrate(&self, group: &Chat) -> Chat {
        let chat = self.forum(&group.title, &[]);
        self.platform().state.lock().expect("no poison").migrated.insert(group.id, chat.id);
        chat
    }

    fn chat(&self, id: i64, kind: &'static str, title: &str, topics: &[i64]) -> Chat {
        let chat = Chat { id, kind, title: title.to_owned(), topics: topics.to_vec() };
        self.platform().state.lock().expect("no poison").chats.insert(id, chat.clone());
        chat
    }

    fn fresh_id(&self) -> i64 {
        let mut state = self.platform().state.lock().expect("no poison");
        state.next_id += 1;
        state.next_id
    }

    /// A user writes; returns the message's number.
    pub(crate) fn says(&self, chat: &Chat, user: &User, text: &str) -> i64 {
        self.writes(chat, user, json!({"text": text}))
    }

    /// A user sends a message with these further fields; returns its number.
    pub(crate) fn writes(&self, chat: &Chat, user: &User, fields: Value) -> i64 {
        let mut state = self.platform().state.lock().expect("no poison");
        let number = state.next_number(chat.id);
        let mut message = json!({
            "message_id": number, "date": now(), "chat": chat.json(), "from": user.json(),
        });
        merge(&mut message, fields);
        state.heard.insert((chat.id, number), message.clone());
        drop(state);
        self.platform().updates.add("message", message);
        number
    }

    /// A user changes a message of theirs.
    pub(crate) fn edits(&self, chat: &Chat, number: i64, text: &str) {
        let mut state = self.platform().state.lock().expect("no poison");
        let message = state.heard.get_mut(&(chat.id, number)).expect("a message of a user");
        merge(message, json!({"text": text, "edit_date": now()}));
        let message = message.clone();
        drop(state);
        self.platform().updates.add("edited_message", message);
    }

    /// A user reacts to a message.
    pub(crate) fn reacts(&self, chat: &Chat, user: &User, number: i64, emoji: &str) {
        self.platform().updates.add(
            "message_reaction",
            json!({
                "chat": chat.json(), "message_id": number, "user": user.json(), "date": now(),
                "old_reaction": [], "new_reaction": [{"type": "emoji", "emoji": emoji}],
            }),
        );
    }

    /// An update of any kind.
    pub(crate) fn update(&self, kind: &str, value: Value) {
        self.platform().updates.add(kind, value);
    }

    /// A file that users sent, by the id that stands in messages.
    pub(crate) fn upload(&self, path: &str, bytes: &[u8]) -> String {
        let id = format!("file-{}", self.fresh_id());
        let file = StoredFile { path: path.to_owned(), bytes: bytes.to_vec() };
        self.platform().state.lock().expect("no poison").files.insert(id.clone(), file);
        id
    }

    /// All messages of the bot's, in the order in which they were sent.
    pub(crate) fn messages(&self) -> &Seen<Shown> {
        &self.platform().messages
    }

    pub(crate) fn actions(&self) -> &Seen<ChatAction> {
        &self.platform().actions
    }

    pub(crate) fn reactions(&self) -> &Seen<Reaction> {
        &self.platform().reactions
    }

    /// Waits until a message of the bot's reads so, and returns it.
    pub(crate) async fn shown(&self, chat: &Chat, text: &str) -> Shown {
        let wanted = |shown: &Shown| shown.chat == chat.id && shown.text == text;
        self.messages().find(&format!("Telegram shows {text:?} in {}", chat.id), wanted).await
    }

    /// What the bot shows in a chat, in order.
    pub(crate) fn texts(&self, chat: &Chat) -> Vec<String> {
        let here = self.messages().all().into_iter().filter(|shown| shown.chat == chat.id);
        here.map(|shown| shown.text).collect()
    }

    /// Waits until nothing waits to be confirmed.
    pub(crate) async fn all_confirmed(&self) {
        self.platform().updates.all_confirmed().await;
    }

    /// The next request of this method is refused for so many seconds, and so is whatever is sent before
    /// they are over.
    pub(crate) fn floods(&self, chat: &Chat, method: &str, seconds: u64) {
        let mut state = self.platform().state.lock().expect("no poison");
        // The time begins when the refusal is sent, which is later than now.
        state.held.insert(chat.id, Instant::now() + Duration::from_secs(seconds));
        drop(state);
        self.desk().plan(method, Trouble::Refuse(methods::too_many(seconds)));
    }
}

impl State {
    fn next_number(&mut self, chat: i64) -> i64 {
        let number = self.numbers.entry(chat).or_insert(0);
        *number += 1;
        *number
    }
}

impl Chat {
    fn json(&self) -> Value {
        let mut chat = json!({"id": self.id, "type": self.kind});
        let name = if self.kind == "private" { "first_name" } else { "title" };
        chat[name] = self.title.as_str().into();
        if !self.topics.is_empty() {
            chat["is_forum"] = true.into();
        }
        chat
    }
}

impl User {
    pub(crate) fn json(&self) -> Value {
        json!({"id": self.id, "is_bot": self.bot, "first_name": self.name})
    }
}

/// The bot, as it stands in messages.
fn bot() -> Value {
    json!({"id": BOT_ID, "is_bot": true, "first_name": "Exo", "username": BOT_NAME})
}

fn merge(into: &mut Value, fields: Value) {
    let (Value::Object(into), Value::Object(fields)) = (into, fields) else { panic!("two objects") };
    into.extend(fields);
}

impl Platform for BotApi {
    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn operation(&self, request: &Request) -> String {
        request.path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    async fn answer(&self, request: &Request) -> Answer {
        methods::answer(self, request).await
    }
}
