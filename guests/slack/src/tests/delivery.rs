//! What the agent says.

use exoclaw_guest::channel::{
    Address, Body, Content, Context, File, LimitedRequest, Next, Outcome, Outgoing, Reaction, TransportError, glue,
};
use exoclaw_guest::{Header, Response};

use super::{joined, request};
use crate::Slack;

const POST: &str = "POST https://slack.com/api/chat.postMessage Bearer {bot-token}";
const UPDATE: &str = "POST https://slack.com/api/chat.update Bearer {bot-token}";
const DELETE: &str = "POST https://slack.com/api/chat.delete Bearer {bot-token}";

/// A delivery between its steps.
struct Life {
    outgoing: Outgoing,
    progress: Vec<u8>,
    held: Vec<(String, u32)>,
    keys: Vec<String>,
    /// The body of the last request.
    body: String,
}

impl Life {
    fn new(content: Content) -> Self {
        let thread = Some("1773497300.000200".to_owned());
        let address = Address { account: None, peer: "C1".into(), guild: None, team: Some("T1".into()), thread };
        let outgoing = Outgoing {
            id: "01jq0000000000000000".into(),
            created_at: 0,
            address,
            handle: None,
            reply_to: None,
            content,
        };
        Self { outgoing, progress: vec![], held: vec![], keys: vec![], body: String::new() }
    }

    fn text(text: &str) -> Self {
        Self::new(Content::Markdown(text.into()))
    }

    /// What comes next, in words: `POST https://…`, `wait 500`.
    fn step(&mut self, outcome: Option<Outcome>) -> String {
        let context = Context { settings: "{}".into(), webhook_url: None, now: 0, random: 0, attempt: 1 };
        let step = match outcome {
            None => glue::deliver::<Slack>(&context, b"", &self.outgoing, &self.progress),
            Some(outcome) => glue::answered::<Slack>(&context, b"", &self.outgoing, &self.progress, outcome),
        };
        let step = step.unwrap();
        self.progress = step.progress;
        self.held = step.holds.into_iter().map(|hold| (hold.key, hold.for_ms)).collect();
        match step.next {
            Next::Request(LimitedRequest { request: asked, keys }) => {
                self.keys = keys;
                self.body = match &asked.body {
                    Body::Text(template) => joined(template),
                    Body::File(id) => format!("file {id}"),
                    Body::Bytes(_) | Body::Form(_) => String::new(),
                };
                request(&asked)
            }
            Next::Wait(ms) => format!("wait {ms}"),
            Next::Done(ids) => format!("done {}", ids.join(" ")),
            Next::Rejected(why) => format!("rejected: {why}"),
            Next::Unknown(why) => format!("unknown: {why}"),
            Next::Frame(_) => "a frame".into(),
        }
    }

    fn next(&mut self) -> String {
        self.step(None)
    }

    fn answer(&mut self, body: &str) -> String {
        self.step(Some(Ok(Response { status: 200, headers: vec![], body: body.into() })))
    }

    fn lost(&mut self) -> String {
        self.step(Some(Err(TransportError::Unanswered("the connection was lost".into()))))
    }
}

#[test]
fn a_text_is_posted_into_its_thread() {
    let mut life = Life::text("**Hello** <@U7> & all");
    assert_eq!(life.next(), POST);
    assert_eq!(
        life.body,
        r#"{"channel":"C1","text":"*Hello* &lt;@U7&gt; &amp; all","thread_ts":"1773497300.000200","unfurl_links":false,"unfurl_media":false}"#
    );
    assert_eq!(life.keys, ["chat.postMessage"]);
    assert_eq!(life.answer(r#"{"ok": true, "channel": "C1", "ts": "1773497400.000100"}"#), "done 1773497400.000100");
}

#[test]
fn a_long_text_is_posted_in_parts_of_at_most_4000_characters() {
    let mut life = Life::text(&"a < b ".repeat(1_000));
    let mut posts = 0;
    let mut said = life.next();
    while said == POST {
        posts += 1;
        let body: serde_json::Value = serde_json::from_str(&life.body).unwrap();
        assert!(body["text"].as_str().unwrap().chars().count() <= 4_000);
        said = life.answer(&format!(r#"{{"ok": true, "ts": "{posts}.0"}}"#));
    }
    assert_eq!(said, "done 1.0 2.0 3.0");
}

#[test]
fn a_draft_grows_in_its_message_and_becomes_the_answer() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    life.next();
    assert_eq!(life.answer(r#"{"ok": true, "ts": "1.0"}"#), "done 1.0");
    assert_eq!(life.next(), "done 1.0", "nothing new");
    life.outgoing.content = Content::Markdown("Hello".into());
    assert_eq!(life.next(), UPDATE);
    assert_eq!(life.body, r#"{"channel":"C1","text":"Hello","ts":"1.0"}"#);
    assert_eq!(life.answer(r#"{"ok": true, "ts": "1.0"}"#), "done 1.0");
}

#[test]
fn an_answer_that_became_shorter_takes_back_what_is_too_much() {
    let mut life = Life::new(Content::Draft("word ".repeat(1_000)));
    life.next();
    life.answer(r#"{"ok": true, "ts": "1.0"}"#);
    assert_eq!(life.answer(r#"{"ok": true, "ts": "2.0"}"#), "done 1.0 2.0");
    life.outgoing.content = Content::Markdown("short".into());
    assert_eq!(life.next(), UPDATE);
    assert_eq!(life.answer(r#"{"ok": true}"#), DELETE);
    assert_eq!(life.answer(r#"{"ok": true}"#), "done 1.0");
}

#[test]
fn a_draft_that_grew_before_its_answer_came_is_edited() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    life.next();
    life.outgoing.content = Content::Draft("Hello".into());
    assert_eq!(life.answer(r#"{"ok": true, "ts": "1.0"}"#), UPDATE);
}

#[test]
fn what_may_have_been_posted_is_unknown_and_sent_again_on_order_only() {
    for lose in [
        |life: &mut Life| life.lost(),
        |life: &mut Life| life.next(),
        |life: &mut Life| life.answer("<html>"),
        |life: &mut Life| life.answer(r#"{"ok": false, "error": "internal_error"}"#),
    ] {
        let mut life = Life::text("Hello");
        life.next();
        let end = lose(&mut life);
        assert!(end.starts_with("unknown: "), "{end}");
        assert_eq!(life.next(), POST);
    }
}

#[test]
fn what_never_left_and_what_may_be_repeated_is_tried_again() {
    let mut life = Life::text("Hello");
    life.next();
    assert_eq!(life.step(Some(Err(TransportError::NotSent("refused".into())))), "wait 500");
    assert_eq!(life.next(), POST);
    assert_eq!(life.answer(r#"{"ok": false, "error": "service_unavailable"}"#), "wait 1000");
    life.next();
    life.answer(r#"{"ok": true, "ts": "1.0"}"#);
    life.outgoing.content = Content::Markdown("Hello all".into());
    assert_eq!(life.next(), UPDATE);
    assert_eq!(life.lost(), "wait 500");
    assert_eq!(life.next(), UPDATE);
}

#[test]
fn a_rate_limit_is_obeyed_for_its_method() {
    let mut life = Life::text("Hello");
    life.next();
    let headers = vec![Header { name: "Retry-After".into(), value: "30".into() }];
    let limited = Response { status: 429, headers, body: br#"{"ok":false,"error":"ratelimited"}"#.to_vec() };
    assert_eq!(life.step(Some(Ok(limited))), "wait 30000");
    assert_eq!(life.held, [("chat.postMessage".to_owned(), 30_000)]);
    assert_eq!(life.next(), POST);
}

#[test]
fn a_refusal_says_what_the_operator_can_do() {
    for (code, word) in [
        ("channel_not_found", "no such channel"),
        ("not_in_channel", "/invite"),
        ("is_archived", "archived"),
        ("msg_too_long", "longer"),
        ("invalid_auth", "token"),
        ("something_new", "something_new"),
    ] {
        let mut life = Life::text("Hello");
        life.next();
        let end = life.answer(&format!(r#"{{"ok": false, "error": "{code}"}}"#));
        assert!(end.starts_with("rejected: ") && end.contains(word) && end.contains(code), "{end}");
    }
}

#[test]
fn what_somebody_removed_is_not_put_there_again() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    life.next();
    life.answer(r#"{"ok": true, "ts": "1.0"}"#);
    life.outgoing.content = Content::Markdown("Hello".into());
    life.next();
    assert_eq!(life.answer(r#"{"ok": false, "error": "message_not_found"}"#), "done 1.0");
}

#[test]
fn a_reaction_is_added_by_its_name() {
    let react = |emoji: &str| Life::new(Content::Reaction(Reaction { message_id: "1.0".into(), emoji: emoji.into() }));
    let mut life = react("✅");
    assert_eq!(life.next(), "POST https://slack.com/api/reactions.add Bearer {bot-token}");
    assert_eq!(life.body, r#"{"channel":"C1","name":"white_check_mark","timestamp":"1.0"}"#);
    assert_eq!(life.lost(), "wait 500");
    life.next();
    assert_eq!(life.answer(r#"{"ok": false, "error": "already_reacted"}"#), "done ");
    assert!(react("🦖").next().starts_with("rejected: "));
}

#[test]
fn a_file_is_uploaded_in_three_steps() {
    let file = File { id: "f1".into(), name: "cat & dog.png".into(), mime_type: "image/png".into(), size: 9 };
    let mut life = Life::new(Content::File(file));
    let ask = "POST https://slack.com/api/files.getUploadURLExternal Bearer {bot-token}";
    let upload = "POST https://files.slack.com/upload/v1/ABC";
    let finish = "POST https://slack.com/api/files.completeUploadExternal Bearer {bot-token}";
    let told = r#"{"ok": true, "file_id": "F9", "upload_url": "https://files.slack.com/upload/v1/ABC"}"#;
    assert_eq!(life.next(), ask);
    assert_eq!(life.body, "filename=cat%20%26%20dog%2Epng&length=9");
    assert_eq!(life.answer(told), upload);
    assert_eq!(life.body, "file f1");
    // Until the last step nobody sees anything, so that it is begun anew.
    assert_eq!(life.lost(), "wait 500");
    assert_eq!(life.next(), ask);
    assert_eq!(life.answer(told), upload);
    assert_eq!(life.answer("OK - 9"), finish);
    assert_eq!(
        life.body,
        r#"{"channel_id":"C1","files":[{"id":"F9","title":"cat & dog.png"}],"thread_ts":"1773497300.000200"}"#
    );
    assert_eq!(life.answer(r#"{"ok": true, "files": [{"id": "F9"}]}"#), "done F9");
}

#[test]
fn a_file_whose_last_step_is_not_answered_is_unknown() {
    let file = File { id: "f1".into(), name: "a".into(), mime_type: "image/png".into(), size: 9 };
    let mut life = Life::new(Content::File(file));
    life.next();
    life.answer(r#"{"ok": true, "file_id": "F9", "upload_url": "https://files.slack.com/upload/v1/ABC"}"#);
    life.answer("OK - 9");
    assert!(life.lost().starts_with("unknown: "));
}

#[test]
fn a_file_goes_nowhere_but_to_slack() {
    let file = File { id: "f1".into(), name: "a".into(), mime_type: "image/png".into(), size: 9 };
    let mut life = Life::new(Content::File(file));
    life.next();
    let end = life.answer(r#"{"ok": true, "file_id": "F9", "upload_url": "https://evil.example/upload"}"#);
    assert!(end.starts_with("rejected: "), "{end}");
}

#[test]
fn slack_shows_no_typing() {
    assert_eq!(Life::new(Content::Typing).next(), "done ");
}
