//! The connections' life.

use exoclaw_guest::channel::{Event, Start};

use super::{HELLO, Life, OPENED};

const AUTH: &str = "POST https://slack.com/api/auth.test Bearer {bot-token}";
const OPEN: &str = "POST https://slack.com/api/apps.connections.open Bearer {app-token}";
const ADDRESS: &str = "wss://wss-primary.slack.com/link/?ticket=1&app_id=2";
const REFRESH: &str = r#"{"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "wss-1"}}"#;

#[test]
fn a_new_channel_learns_who_it_is_and_connects() {
    let mut life = Life::new();
    assert_eq!(life.event(Event::Start(Start::New)), ["connecting", AUTH]);
    assert_eq!(life.answer("auth", r#"{"ok": true, "user_id": "U0AGENT"}"#), ["connecting", OPEN]);
    assert_eq!(life.answer("open", OPENED), [format!("connect socket-odd {ADDRESS}")]);
    assert_eq!(life.event(Event::Connected("socket-odd".into())), ["timer hello 30000"]);
    assert_eq!(life.frame("socket-odd", HELLO), ["no timer hello", "ready"]);
}

#[test]
fn the_next_connection_stands_before_the_last_one_goes() {
    let mut life = Life::up();
    assert_eq!(life.frame("socket-odd", REFRESH), ["connecting", OPEN]);
    assert_eq!(life.answer("open", OPENED), [format!("connect socket-even {ADDRESS}")]);
    life.event(Event::Connected("socket-even".into()));
    // Meanwhile the old one still brings events, which are acknowledged there.
    let acknowledged = life.frame("socket-odd", r#"{"type": "interactive", "envelope_id": "e1", "payload": {}}"#);
    assert_eq!(acknowledged, [r#"send socket-odd {"envelope_id":"e1"}"#]);
    assert_eq!(life.frame("socket-even", HELLO), ["disconnect socket-odd", "no timer hello", "ready"]);
}

#[test]
fn an_old_connection_that_ends_by_itself_is_of_no_account() {
    let mut life = Life::up();
    life.frame("socket-odd", REFRESH);
    life.answer("open", OPENED);
    assert!(life.closed("socket-odd").is_empty());
    life.event(Event::Connected("socket-even".into()));
    assert_eq!(life.frame("socket-even", HELLO), ["no timer hello", "ready"]);
}

#[test]
fn a_lost_connection_is_made_again_after_longer_and_longer_pauses() {
    let mut life = Life::up();
    let mut pauses = vec![];
    for tag in ["socket-odd", "socket-even", "socket-odd", "socket-even"] {
        let said = life.closed(tag);
        pauses.push(said.last().unwrap().clone());
        assert_eq!(life.event(Event::Timer("again".into())), ["connecting", OPEN]);
        life.answer("open", OPENED);
    }
    assert_eq!(pauses, ["timer again 500", "timer again 1000", "timer again 2000", "timer again 4000"]);
}

#[test]
fn a_connection_without_a_hello_is_given_up() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    life.answer("auth", r#"{"ok": true, "user_id": "U0AGENT"}"#);
    life.answer("open", OPENED);
    life.event(Event::Connected("socket-odd".into()));
    let said = life.event(Event::Timer("hello".into()));
    assert_eq!(said[0], "disconnect socket-odd");
    assert_eq!(said[2], "timer again 500");
}

#[test]
fn connections_that_end_at_once_are_no_busy_loop() {
    let mut life = Life::up();
    life.frame("socket-odd", REFRESH);
    life.answer("open", OPENED);
    let said = life.frame("socket-even", REFRESH);
    assert_eq!(said.last().unwrap(), "timer again 1000");
}

#[test]
fn a_refused_token_is_told_with_its_secret_and_not_tried_again() {
    for (tag, secret) in [("auth", "bot-token"), ("open", "app-token")] {
        let mut life = Life::new();
        life.event(Event::Start(Start::New));
        let said = life.answer(tag, r#"{"ok": false, "error": "invalid_auth"}"#);
        let [only] = &said[..] else { panic!("{said:?}") };
        assert!(only.starts_with("failed: ") && only.contains(secret), "{only}");
    }
}

#[test]
fn socket_mode_that_is_turned_off_is_told() {
    let mut life = Life::up();
    let said = life.frame("socket-odd", r#"{"type": "disconnect", "reason": "link_disabled"}"#);
    let [only] = &said[..] else { panic!("{said:?}") };
    assert!(only.starts_with("failed: Socket Mode is turned off"), "{only}");
}

#[test]
fn an_answer_that_is_no_answer_is_asked_for_again() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    for body in ["<html>", r#"{"ok": false, "error": "internal_error"}"#, "{}"] {
        assert!(life.answer("auth", body).last().unwrap().starts_with("timer again"), "{body}");
        assert_eq!(life.event(Event::Timer("again".into())), ["connecting", AUTH]);
    }
}

#[test]
fn nothing_is_connected_but_slack() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    life.answer("auth", r#"{"ok": true, "user_id": "U0AGENT"}"#);
    let said = life.answer("open", r#"{"ok": true, "url": "wss://evil.example/link"}"#);
    assert!(!said.iter().any(|action| action.starts_with("connect ")), "{said:?}");
}

#[test]
fn with_events_by_webhook_nothing_is_connected() {
    let mut life = Life { settings: r#"{"mode": "events"}"#, ..Life::new() };
    assert_eq!(life.event(Event::Start(Start::New)), ["connecting", AUTH]);
    assert_eq!(life.answer("auth", r#"{"ok": true, "user_id": "U0AGENT"}"#), ["ready"]);
}

#[test]
fn garbage_on_a_connection_changes_nothing() {
    let mut life = Life::up();
    for text in ["", "{", "[]", "null", r#"{"type": "new"}"#, r#"{"type": 5}"#] {
        assert!(life.frame("socket-odd", text).is_empty(), "{text}");
    }
}
