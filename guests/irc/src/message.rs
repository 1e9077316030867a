//! What is said to the agent.

use exoclaw_guest::channel::{Address, Context, Conversation, Kind, Message, Received, Sender};

use crate::line::{self, Line, folded, is_channel};
use crate::state::{Phase, State};
use crate::text::unformatted;

/// `PRIVMSG target :text`, from anyone.
pub fn received(context: &Context, mut state: State, line: &Line<'_>) -> Received<State> {
    let none = Received::default();
    // Servers themselves speak in NOTICEs, and what we said needs no answer.
    let is_user = line.source.contains('!') && folded(line.nick()) != folded(&state.nick);
    if state.phase != Phase::Ready || !is_user {
        return none;
    }
    let said = match line.param(1).strip_prefix('\x01') {
        // CTCP: an action (`/me waves`) is a text; VERSION, PING and the like are none.
        Some(ctcp) => match ctcp.strip_prefix("ACTION ") {
            Some(action) => format!("* {} {}", line.nick(), action.trim_end_matches('\x01')),
            None => return none,
        },
        None => line.param(1).to_owned(),
    };
    let said = unformatted(&said);
    // A message may be for those alone who have a status there: `@#lab`, `+#lab`.
    let channel = match line.param(0).trim_start_matches(['~', '&', '@', '%', '+']) {
        name if name.starts_with(['#', '!']) => Some(name),
        _ => Some(line.param(0)).filter(|target| is_channel(target)),
    };
    let (text, is_addressed) = match addressed(&said, &state.nick) {
        Some(text) => (text, true),
        None => (said.trim(), channel.is_none()),
    };
    if text.is_empty() {
        return none;
    }
    let sender = identity(line);
    let (peer, conversation) = match channel {
        Some(channel) => (folded(channel), Conversation::Group),
        None => (sender.clone(), Conversation::Direct),
    };
    let event_id = event_id(&mut state, line);
    let message = Message {
        id: event_id.clone(),
        event_id,
        kind: Kind::New,
        address: Address { account: None, peer, guild: None, team: None, thread: None },
        sender: Sender {
            id: sender,
            name: Some(line.nick().to_owned()),
            // IRCv3, "Bot mode".
            bot: line.tag("bot").or_else(|| line.tag("draft/bot")).is_some(),
        },
        text: text.to_owned(),
        attachments: vec![],
        reply_to: line.tag("+reply").or_else(|| line.tag("+draft/reply")).map(|id| id.into_owned()),
        conversation,
        mentions_agent: is_addressed,
        sent_at: Some(line.tag("time").and_then(|time| line::time(&time)).unwrap_or(context.now)),
        // Whom to answer: an account is no name that a message could go to.
        handle: line.nick().as_bytes().to_vec(),
    };
    Received { state: Some(state), messages: vec![message], ..Received::default() }
}

/// What follows `nick:` or `nick,`.
fn addressed<'a>(text: &'a str, nick: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let text = text.strip_prefix('@').unwrap_or(text);
    let (name, rest) = text.split_at_checked(nick.len())?;
    let rest = rest.strip_prefix([':', ','])?;
    (folded(name) == folded(nick)).then(|| rest.trim())
}

/// Who it is. Anyone may take a nick that is free, so it proves nothing: the account does, where
/// the server tells it; otherwise it is all that is known, `nick!user@host`. No account has a `!`.
fn identity(line: &Line<'_>) -> String {
    match line.tag("account") {
        Some(account) if !account.is_empty() && !account.contains('!') => account.into_owned(),
        _ => folded(line.source),
    }
}

/// The server's id where it gives one. Otherwise what a bouncer that plays back its log repeats,
/// if it tells the time. Otherwise a line that comes twice was said twice, and is counted.
fn event_id(state: &mut State, line: &Line<'_>) -> String {
    if let Some(id) = line.tag("msgid").filter(|id| !id.is_empty()) {
        return id.into_owned();
    }
    if let Some(time) = line.tag("time").and_then(|time| line::time(&time)) {
        return format!("{time}-{:016x}", digest([line.source, line.param(0), line.param(1)]));
    }
    state.unnamed += 1;
    format!("{}-{}", state.connection, state.unnamed)
}

/// FNV-1a, 64 bits, of words none of which can hold a NUL: the same in every version of this plugin.
fn digest(words: [&str; 3]) -> u64 {
    let bytes = words.into_iter().flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
