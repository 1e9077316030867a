//! What people write.

use exoclaw_guest::Error;
use exoclaw_guest::channel::{Conversation, Event, Frame, Kind, TaggedFrame};

use super::Life;

const DIRECT: &str = r#"{"type": "message", "channel": "D1", "channel_type": "im", "user": "U7", "text": "Hi &amp; hello", "ts": "1773497300.000100", "client_msg_id": "x", "team": "T1", "blocks": []}"#;
const CHANNEL: &str = r#"{"type": "message", "channel": "C1", "channel_type": "channel", "user": "U7", "text": "<@U0AGENT> hi", "ts": "1773497300.000200", "team": "T1"}"#;

fn payload(event: &str) -> String {
    format!(
        r#"{{"token": "x", "team_id": "T1", "api_app_id": "A1", "type": "event_callback", "event_id": "Ev1", "event_time": 1773497300, "authorizations": [{{"team_id": "T1", "user_id": "U0AGENT", "is_bot": true}}], "event": {event}}}"#
    )
}

fn envelope(event: &str) -> String {
    format!(
        r#"{{"type": "events_api", "envelope_id": "e1", "accepts_response_payload": false, "retry_attempt": 0, "payload": {}}}"#,
        payload(event)
    )
}

fn only(life: &Life) -> &exoclaw_guest::channel::Message {
    let [message] = &life.messages[..] else { panic!("{:?}", life.messages) };
    message
}

#[test]
fn a_direct_message_is_stored_before_it_is_acknowledged() {
    let mut life = Life::up();
    assert_eq!(life.frame("socket-odd", &envelope(DIRECT)), [r#"send socket-odd {"envelope_id":"e1"}"#]);
    let message = only(&life);
    assert_eq!((message.text.as_str(), message.id.as_str()), ("Hi & hello", "1773497300.000100"));
    assert_eq!(message.conversation, Conversation::Direct);
    assert_eq!((message.address.peer.as_str(), message.address.team.as_deref()), ("D1", Some("T1")));
    assert_eq!(message.address.thread, None);
    assert_eq!(message.sent_at, Some(1_773_497_300_000));
    assert!(!message.sender.bot && !message.mentions_agent);
}

#[test]
fn a_mention_comes_twice_and_is_one_event() {
    let mut life = Life::up();
    life.frame("socket-odd", &envelope(CHANNEL));
    let first = only(&life).clone();
    assert!(first.mentions_agent);
    assert_eq!((first.text.as_str(), first.conversation), ("hi", Conversation::Group));
    assert_eq!(first.address.thread.as_deref(), Some("1773497300.000200"), "the answer opens a thread");
    let mention = CHANNEL.replace(r#""type": "message""#, r#""type": "app_mention""#);
    life.frame("socket-odd", &envelope(&mention.replace(r#""channel_type": "channel", "#, "")));
    let second = only(&life);
    assert_eq!(second.event_id, first.event_id);
    assert_eq!(format!("{second:?}"), format!("{first:?}"));
}

#[test]
fn what_is_written_in_a_thread_stays_there() {
    let mut life = Life::up();
    let thread = CHANNEL
        .replace("<@U0AGENT> hi", "more")
        .replace(r#""team""#, r#""thread_ts": "1773497200.000000", "parent_user_id": "U0AGENT", "team""#);
    life.frame("socket-odd", &envelope(&thread));
    let message = only(&life);
    assert_eq!(message.address.thread.as_deref(), Some("1773497200.000000"));
    assert_eq!(message.reply_to.as_deref(), Some("1773497200.000000"));
    assert!(message.mentions_agent, "it answers the agent");
}

#[test]
fn answers_open_no_threads_where_the_owner_wants_none() {
    let mut life = Life { settings: r#"{"threads": false}"#, ..Life::up() };
    life.frame("socket-odd", &envelope(CHANNEL));
    assert_eq!(only(&life).address.thread, None);
}

#[test]
fn an_edit_is_another_event_of_the_same_message() {
    let mut life = Life::up();
    let changed = |edited: &str, before: &str| {
        format!(
            r#"{{"type": "message", "subtype": "message_changed", "hidden": true, "channel": "D1", "channel_type": "im", "ts": "1773497310.000300", "event_ts": "1773497310.000300", "message": {{"type": "message", "user": "U7", "text": "Hi all", "ts": "1773497300.000100"{edited}}}, "previous_message": {{"type": "message", "user": "U7", "text": "{before}", "ts": "1773497300.000100"}}}}"#
        )
    };
    let edited = r#", "edited": {"user": "U7", "ts": "1773497310.000000"}"#;
    life.frame("socket-odd", &envelope(&changed(edited, "Hi")));
    let message = only(&life);
    assert!(matches!(message.kind, Kind::Edit));
    assert_eq!(message.id, "1773497300.000100");
    assert_eq!(message.event_id, "D1:1773497300.000100:edit:1773497310.000000");
    // So Slack tells that it looked up a link, or that somebody answered in the thread.
    for (edited, before) in [("", "Hi"), (edited, "Hi all")] {
        life.frame("socket-odd", &envelope(&changed(edited, before)));
        assert!(life.messages.is_empty(), "{edited} {before}");
    }
}

#[test]
fn bots_and_its_own_messages_are_told_as_such() {
    let from = r#""user": "U7""#;
    for to in [
        r#""user": "U8", "bot_id": "B8""#,
        r#""user": "U0AGENT""#,
        r#""subtype": "bot_message", "bot_id": "B8", "username": "hook""#,
        r#""user": "USLACKBOT""#,
    ] {
        let mut life = Life::up();
        life.frame("socket-odd", &envelope(&DIRECT.replace(from, to)));
        assert!(only(&life).sender.bot, "{to}");
    }
}

#[test]
fn joins_topics_and_deletions_are_acknowledged_and_passed_over() {
    for subtype in ["channel_join", "channel_topic", "message_deleted", "message_replied", "something_new"] {
        let mut life = Life::up();
        let noise = DIRECT.replace(r#""user""#, &format!(r#""subtype": "{subtype}", "user""#));
        assert_eq!(life.frame("socket-odd", &envelope(&noise)).len(), 1, "{subtype}");
        assert!(life.messages.is_empty(), "{subtype}");
    }
    // Its members have other types than a message's of the same names.
    let mut life = Life::up();
    let rename = r#"{"type": "channel_rename", "channel": {"id": "C1", "name": "new"}, "user": {"id": "U7"}}"#;
    assert_eq!(life.frame("socket-odd", &envelope(rename)).len(), 1);
}

#[test]
fn a_reaction_is_told_by_its_character() {
    let mut life = Life::up();
    let reaction = r#"{"type": "reaction_added", "user": "U7", "reaction": "thumbsup", "item": {"type": "message", "channel": "C1", "ts": "1773497300.000400"}, "item_user": "U0AGENT", "event_ts": "1773497320.000500"}"#;
    life.frame("socket-odd", &envelope(reaction));
    let message = only(&life);
    assert!(matches!(&message.kind, Kind::Reaction(emoji) if emoji == "👍"));
    assert!(message.mentions_agent);
    assert_eq!(message.event_id, "C1:1773497300.000400:reaction:U7:thumbsup:1773497320.000500");
    let file = reaction
        .replace(r#""type": "message", "channel": "C1", "ts": "1773497300.000400""#, r#""type": "file", "file": "F1""#);
    life.frame("socket-odd", &envelope(&file));
    assert!(life.messages.is_empty());
}

#[test]
fn files_are_told() {
    let mut life = Life::up();
    let shared = DIRECT.replace("Hi &amp; hello", "").replace(
        r#""team""#,
        r#""subtype": "file_share", "files": [{"id": "F1", "name": "cat.png", "mimetype": "image/png", "size": 9, "mode": "hosted", "url_private": "https://files.slack.com/files-pri/T1-F1/cat.png"}], "team""#,
    );
    life.frame("socket-odd", &envelope(&shared));
    let [file] = &only(&life).attachments[..] else { panic!("{:?}", life.messages) };
    assert_eq!((file.mime_type.as_str(), file.name.as_deref(), file.size), ("image/png", Some("cat.png"), Some(9)));
}

#[test]
fn what_can_not_be_read_is_told_once_and_then_acknowledged() {
    let mut life = Life::up();
    let bad = envelope(r#"{"type": "message", "text": 5}"#);
    let frame = || Event::Frame(TaggedFrame { tag: "socket-odd".into(), frame: Frame::Text(bad.clone()) });
    assert!(life.try_event(frame()).is_err());
    life.attempt = 2;
    assert_eq!(life.event(frame()), [r#"send socket-odd {"envelope_id":"e1"}"#]);
}

#[test]
fn a_slash_command_is_answered_to_the_one_who_used_it() {
    let mut life = Life::up();
    let command = r#"{"type": "slash_commands", "envelope_id": "e2", "accepts_response_payload": true, "payload": {"command": "/agent", "text": "hi"}}"#;
    let said = life.frame("socket-odd", command);
    assert!(
        said[0].starts_with(r#"send socket-odd {"envelope_id":"e2","payload":{"response_type":"ephemeral""#),
        "{said:?}"
    );
    assert!(life.messages.is_empty());
}

fn by_webhook() -> Life {
    Life { settings: r#"{"mode": "events"}"#, ..Life::new() }
}

#[test]
fn the_address_of_a_webhook_is_confirmed() {
    let mut life = by_webhook();
    let body = r#"{"token": "x", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"}"#;
    life.post("application/json", body).unwrap();
    assert_eq!(life.reply.as_ref().unwrap().body, b"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P");
    assert!(life.messages.is_empty());
}

#[test]
fn an_event_by_webhook_is_the_same_message() {
    let mut life = by_webhook();
    // Before it is known who the bot is, the event says for whom it is.
    life.post("application/json", &payload(CHANNEL)).unwrap();
    let posted = format!("{:?}", only(&life));
    let mut other = Life::up();
    other.frame("socket-odd", &envelope(CHANNEL));
    assert_eq!(posted, format!("{:?}", only(&other)));
    assert!(life.reply.is_none(), "200 without a body");
}

#[test]
fn forms_are_no_events() {
    let mut life = by_webhook();
    let form = "application/x-www-form-urlencoded";
    life.post(form, "token=x&command=%2Fagent&text=hi").unwrap();
    assert!(String::from_utf8(life.reply.clone().unwrap().body).unwrap().contains("ephemeral"));
    for body in ["payload=%7B%22type%22%3A%22block_actions%22%7D", "ssl_check=1&token=x", ""] {
        life.post(form, body).unwrap();
        assert!(life.reply.is_none() && life.messages.is_empty(), "{body}");
    }
}

#[test]
fn what_is_no_event_is_refused() {
    let mut life = by_webhook();
    for body in ["", "{", "[]", r#"{"type": "url_verification"}"#, r#"{"type": "event_callback"}"#] {
        let refused = life.post("application/json", body);
        assert!(matches!(refused, Err(Error::InvalidInput(_))), "{body}: {refused:?}");
    }
}
