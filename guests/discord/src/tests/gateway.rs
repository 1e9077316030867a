//! The connection's life.

use exoclaw_guest::channel::{Event, Start};

use super::{Life, Stored};

const ASKS: &str = "GET https://discord.com/api/v10/gateway/bot";
const RESUMES_AT: &str = "connect wss://gateway-us-east1-b.discord.gg/?v=10&encoding=json";
const HELLO: &str = r#"{"op": 10, "d": {"heartbeat_interval": 41250}}"#;
const ACK: &str = r#"{"op": 11}"#;
const RESUME: &str = r#"send {"op":6,"d":{"token":"{bot-token}","seq":1,"session_id":"abc"}}"#;

#[test]
fn a_new_channel_asks_for_a_gateway_and_identifies() {
    let mut life = Life::new();
    assert_eq!(life.event(Event::Start(Start::New)), ["connecting", ASKS]);
    let bot = r#"{"url": "wss://gateway.discord.gg", "session_start_limit": {"remaining": 1, "reset_after": 1}}"#;
    assert_eq!(life.asked(200, bot), ["connecting", "connect wss://gateway.discord.gg/?v=10&encoding=json"]);
    assert_eq!(life.event(Event::Connected("gateway".into())), ["timer heartbeat 30000"]);
    let said = life.frame(HELLO);
    // Half of the interval, as chance is half.
    assert_eq!(said[0], "timer heartbeat 20625");
    assert_eq!(
        said[1],
        r#"send {"op":2,"d":{"token":"{bot-token}","intents":46592,"properties":{"browser":"exoclaw","device":"exoclaw","os":"linux"}}}"#
    );
}

#[test]
fn heartbeats_carry_the_last_number_and_cost_no_commit() {
    let mut life = Life::ready();
    assert_eq!(life.timer("heartbeat"), [r#"send {"d":1,"op":1}"#, "timer heartbeat 41250"]);
    assert_eq!(life.stored, Stored::Lazily);
    assert!(life.frame(ACK).is_empty());
    assert!(life.frame(r#"{"op": 0, "t": "TYPING_START", "s": 2, "d": {}}"#).is_empty());
    assert_eq!(life.stored, Stored::Lazily);
    assert_eq!(life.timer("heartbeat"), [r#"send {"d":2,"op":1}"#, "timer heartbeat 41250"]);
}

#[test]
fn a_heartbeat_that_is_asked_for_is_sent_at_once() {
    let mut life = Life::ready();
    assert_eq!(life.frame(r#"{"op": 1, "d": null}"#), [r#"send {"d":1,"op":1}"#]);
}

#[test]
fn a_connection_that_does_not_acknowledge_is_replaced_and_its_session_resumed() {
    let mut life = Life::ready();
    life.timer("heartbeat");
    assert_eq!(life.timer("heartbeat"), ["no timer heartbeat", "disconnect 4000", "connecting", RESUMES_AT]);
    life.event(Event::Connected("gateway".into()));
    assert_eq!(life.frame(HELLO)[1], RESUME);
    assert_eq!(life.frame(r#"{"op": 0, "t": "RESUMED", "s": 2, "d": {}}"#), ["ready"]);
}

#[test]
fn a_gateway_without_a_hello_is_given_up() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    life.event(Event::Connected("gateway".into()));
    assert_eq!(life.timer("heartbeat"), ["no timer heartbeat", "disconnect 4000", "connecting", ASKS]);
}

#[test]
fn a_gateway_that_asks_for_a_new_connection_gets_one_and_never_in_a_busy_loop() {
    let mut life = Life::ready();
    let again = r#"{"op": 7, "d": null}"#;
    assert_eq!(life.frame(again), ["no timer heartbeat", "disconnect 4000", "connecting", RESUMES_AT]);
    life.event(Event::Connected("gateway".into()));
    life.frame(HELLO);
    let said = life.frame(again);
    assert_eq!(said.last().unwrap(), "timer reconnect 1500");
}

#[test]
fn an_invalid_session_is_begun_anew_after_a_pause_of_chance() {
    let mut life = Life::ready();
    let said = life.frame(r#"{"op": 9, "d": false}"#);
    assert_eq!(said[..2], ["no timer heartbeat", "disconnect 4000"]);
    assert_eq!(said.last().unwrap(), "timer reconnect 1500");
    assert_eq!(life.stored, Stored::Durably);
    assert_eq!(life.timer("reconnect"), ["connecting", ASKS]);
}

#[test]
fn an_invalid_session_that_is_resumable_is_resumed() {
    let mut life = Life::ready();
    life.random = 3_999;
    assert_eq!(life.frame(r#"{"op": 9, "d": true}"#).last().unwrap(), "timer reconnect 4999");
    assert_eq!(life.timer("reconnect"), ["connecting", RESUMES_AT]);
}

#[test]
fn a_lost_connection_is_resumed_after_longer_and_longer_pauses() {
    let mut life = Life::ready();
    life.random = 0;
    let mut pauses = vec![];
    for _ in 0..9 {
        let said = life.closed(None);
        pauses.push(said.last().unwrap().rsplit_once(' ').unwrap().1.parse::<u32>().unwrap());
    }
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 32_000]);
}

#[test]
fn a_session_whose_own_gateway_is_gone_is_resumed_at_another() {
    let mut life = Life::ready();
    for _ in 0..4 {
        assert!(life.closed(None).last().unwrap().starts_with("timer reconnect"));
    }
    assert_eq!(life.timer("reconnect"), ["connecting", ASKS]);
    // No new session is started, so that its limit is of no account.
    let bot = r#"{"url": "wss://gateway.discord.gg", "session_start_limit": {"remaining": 0, "reset_after": 60000}}"#;
    assert_eq!(life.asked(200, bot)[1], "connect wss://gateway.discord.gg/?v=10&encoding=json");
    life.event(Event::Connected("gateway".into()));
    assert_eq!(life.frame(HELLO)[1], RESUME);
}

#[test]
fn codes_that_need_the_owner_end_all_attempts() {
    for code in [4004, 4010, 4011, 4012, 4013, 4014] {
        let mut life = Life::ready();
        let said = life.closed(Some(code));
        assert_eq!(said[0], "no timer heartbeat");
        assert!(said[1].starts_with("failed: "), "{said:?}");
        assert_eq!(said.len(), 2, "{said:?}");
    }
}

#[test]
fn codes_that_end_the_session_lead_to_a_new_one() {
    for code in [4007, 4009] {
        let mut life = Life::ready();
        assert!(life.closed(Some(code)).last().unwrap().starts_with("timer reconnect"), "{code}");
        assert_eq!(life.timer("reconnect"), ["connecting", ASKS], "{code}");
    }
    for code in [4000, 4001, 4002, 4003, 4005, 4008, 1006] {
        let mut life = Life::ready();
        life.closed(Some(code));
        assert_eq!(life.timer("reconnect"), ["connecting", RESUMES_AT], "{code}");
    }
}

#[test]
fn no_session_is_started_that_would_cost_the_token() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    let bot = r#"{"url": "wss://gateway.discord.gg", "session_start_limit": {"remaining": 0, "reset_after": 3600000}}"#;
    let said = life.asked(200, bot);
    assert!(said[0].starts_with("degraded: "), "{said:?}");
    assert_eq!(said[1], "timer reconnect 3600000");
}

#[test]
fn a_refused_token_is_told_to_the_owner_and_not_tried_again() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    let said = life.asked(401, r#"{"message": "401: Unauthorized", "code": 0}"#);
    assert!(said[0].starts_with("failed: Discord refuses the bot token"), "{said:?}");
    assert_eq!(said.len(), 1);
}

#[test]
fn the_token_is_sent_to_no_gateway_but_discords() {
    let mut life = Life::new();
    life.event(Event::Start(Start::New));
    let said = life.asked(200, r#"{"url": "wss://gateway.evil.example"}"#);
    assert!(!said.iter().any(|action| action.starts_with("connect ")), "{said:?}");
    let mut life = Life::ready();
    life.frame(r#"{"op": 0, "t": "READY", "s": 1, "d": {"session_id": "x", "resume_gateway_url": "wss://evil.example", "user": {"id": "42"}}}"#);
    life.closed(None);
    assert_eq!(life.timer("reconnect"), ["connecting", ASKS]);
}

#[test]
fn a_restart_resumes() {
    let mut life = Life::ready();
    assert_eq!(life.event(Event::Start(Start::Restart)), ["connecting", RESUMES_AT]);
}

#[test]
fn garbage_on_the_connection_changes_nothing() {
    let mut life = Life::ready();
    for text in ["", "{", "[]", "null", r#"{"op": 300}"#, r#"{"op": 99, "d": {}}"#] {
        assert!(life.frame(text).is_empty(), "{text}");
        assert_eq!(life.stored, Stored::Nothing, "{text}");
    }
}
