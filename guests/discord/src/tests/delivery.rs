//! What the agent says.

use exoclaw_guest::channel::{
    Address, Body, Content, Context, File, Hold, LimitedRequest, Next, Outcome, Outgoing, Reaction, TransportError,
    glue,
};
use exoclaw_guest::{Header, Response};

use crate::Discord;
use crate::rest::tests::{joined, url};

const NOW: u64 = 1_773_497_366_000;
const MESSAGES: &str = "POST https://discord.com/api/v10/channels/5/messages";

/// A delivery between its steps.
struct Life {
    outgoing: Outgoing,
    progress: Vec<u8>,
    now: u64,
    holds: Vec<Hold>,
    keys: Vec<String>,
    /// The body of the last request.
    body: String,
}

impl Life {
    fn new(content: Content) -> Self {
        let address = Address { account: None, peer: "5".into(), guild: None, team: None, thread: None };
        let outgoing = Outgoing {
            id: "01jq0000000000000000".into(),
            created_at: NOW,
            address,
            handle: None,
            reply_to: None,
            content,
        };
        Self { outgoing, progress: vec![], now: NOW, holds: vec![], keys: vec![], body: String::new() }
    }

    fn text(text: &str) -> Self {
        Self::new(Content::Markdown(text.into()))
    }

    /// What comes next, in words: `POST https://…`, `wait 500`.
    fn step(&mut self, outcome: Option<Outcome>) -> String {
        let context = Context { settings: "{}".into(), webhook_url: None, now: self.now, random: 0, attempt: 1 };
        let step = match outcome {
            None => glue::deliver::<Discord>(&context, b"", &self.outgoing, &self.progress),
            Some(outcome) => glue::answered::<Discord>(&context, b"", &self.outgoing, &self.progress, outcome),
        };
        let step = step.unwrap();
        (self.progress, self.holds) = (step.progress, step.holds);
        match step.next {
            Next::Request(LimitedRequest { request, keys }) => {
                self.keys = keys;
                self.body = match &request.body {
                    Body::Text(template) => joined(template),
                    Body::Form(fields) => fields.iter().map(|field| format!("{}\n", field.name)).collect(),
                    Body::Bytes(_) | Body::File(_) => String::new(),
                };
                format!("{} {}", request.method, url(&request))
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

    fn answer(&mut self, status: u16, body: &str) -> String {
        self.answer_with(status, &[], body)
    }

    fn answer_with(&mut self, status: u16, headers: &[(&str, &str)], body: &str) -> String {
        let headers = headers.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() });
        self.step(Some(Ok(Response { status, headers: headers.collect(), body: body.into() })))
    }

    fn lost(&mut self) -> String {
        self.step(Some(Err(TransportError::Unanswered("the connection was lost".into()))))
    }

    fn held(&self) -> Vec<(&str, u32)> {
        self.holds.iter().map(|hold| (hold.key.as_str(), hold.for_ms)).collect()
    }
}

#[test]
fn a_text_is_sent_with_a_nonce_and_notifies_nobody() {
    let mut life = Life::text("Hello @everyone");
    life.outgoing.reply_to = Some("9".into());
    assert_eq!(life.next(), MESSAGES);
    assert_eq!(
        life.body,
        r#"{"allowed_mentions":{"parse":[]},"content":"Hello @everyone","enforce_nonce":true,"message_reference":{"fail_if_not_exists":false,"message_id":"9"},"nonce":"01jq0000000000000000-0"}"#
    );
    assert_eq!(life.keys, ["global", "send:5"]);
    assert_eq!(life.answer(200, r#"{"id": "100", "content": "Hello @everyone"}"#), "done 100");
}

#[test]
fn a_long_text_is_sent_in_parts_of_which_only_the_first_replies() {
    let mut life = Life::text(&"word ".repeat(700));
    life.outgoing.reply_to = Some("9".into());
    life.next();
    assert!(life.body.contains("message_reference"));
    assert_eq!(life.answer(200, r#"{"id": "100"}"#), MESSAGES);
    assert!(life.body.contains(r#""nonce":"01jq0000000000000000-1""#) && !life.body.contains("message_reference"));
    assert_eq!(life.answer(200, r#"{"id": "101"}"#), "done 100 101");
}

#[test]
fn a_draft_grows_in_its_message_and_becomes_the_answer() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    assert_eq!(life.next(), MESSAGES);
    assert_eq!(life.answer(200, r#"{"id": "100"}"#), "done 100");
    assert_eq!(life.next(), "done 100", "nothing new");
    life.outgoing.content = Content::Markdown("Hello".into());
    assert_eq!(life.next(), "PATCH https://discord.com/api/v10/channels/5/messages/100");
    assert_eq!(life.body, r#"{"allowed_mentions":{"parse":[]},"content":"Hello"}"#);
    assert_eq!(life.keys, ["global", "edit:5"]);
    assert_eq!(life.answer(200, r#"{"id": "100"}"#), "done 100");
}

#[test]
fn a_draft_that_grew_before_its_answer_came_is_edited() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    life.next();
    life.outgoing.content = Content::Draft("Hello".into());
    assert!(life.answer(200, r#"{"id": "100"}"#).starts_with("PATCH "));
}

#[test]
fn what_was_sent_and_not_answered_is_sent_again_under_its_nonce() {
    let mut life = Life::text("Hello");
    life.next();
    let body = life.body.clone();
    assert_eq!(life.lost(), "wait 500");
    assert_eq!(life.next(), MESSAGES);
    assert_eq!(life.body, body);
    // Discord may have given back what an earlier try left there.
    assert!(life.answer(200, r#"{"id": "100"}"#).starts_with("PATCH "));
    assert_eq!(life.answer(200, r#"{"id": "100"}"#), "done 100");
}

#[test]
fn a_restart_sends_again_while_the_nonce_is_known() {
    let mut life = Life::text("Hello");
    life.next();
    life.now += 60_000;
    assert_eq!(life.next(), MESSAGES);
    life.now += 61_000;
    assert!(life.next().starts_with("unknown: "));
    // Who orders it to be sent again gets it sent.
    assert_eq!(life.next(), MESSAGES);
}

#[test]
fn a_platform_that_does_not_answer_for_minutes_leaves_it_unknown() {
    let mut life = Life::text("Hello");
    let mut waits = 0;
    let end = loop {
        let next = life.next();
        if !next.starts_with("POST") {
            break next;
        }
        let wait = life.lost();
        let Some(ms) = wait.strip_prefix("wait ") else { break wait };
        life.now += ms.parse::<u64>().unwrap() + 10_000;
        waits += 1;
    };
    assert!(end.starts_with("unknown: "), "{end}");
    assert!((4..10).contains(&waits), "{waits}");
}

#[test]
fn what_never_left_may_be_sent_at_any_time() {
    let mut life = Life::text("Hello");
    life.next();
    assert_eq!(life.step(Some(Err(TransportError::NotSent("refused".into())))), "wait 500");
    life.now += 3_600_000;
    assert_eq!(life.next(), MESSAGES);
    assert_eq!(life.answer(200, r#"{"id": "100"}"#), "done 100");
}

#[test]
fn rate_limits_are_obeyed_and_told() {
    let mut life = Life::text("Hello");
    life.next();
    let limited = r#"{"message": "You are being rate limited.", "retry_after": 1.337, "global": false}"#;
    assert_eq!(life.answer(429, limited), "wait 1337");
    assert_eq!(life.held(), [("send:5", 1_337)]);
    assert_eq!(life.next(), MESSAGES);
    let global = r#"{"message": "You are being rate limited.", "retry_after": 2, "global": true}"#;
    assert_eq!(life.answer(429, global), "wait 2000");
    assert_eq!(life.held(), [("global", 2_000)]);
    life.next();
    let empty = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "4.5")];
    assert_eq!(life.answer_with(200, &empty, r#"{"id": "100"}"#), "done 100");
    assert_eq!(life.held(), [("send:5", 4_500)]);
}

#[test]
fn a_refusal_says_what_the_operator_can_do() {
    for (status, word) in [(401, "token"), (403, "permissions"), (404, "no such channel"), (400, "Cannot send")] {
        let mut life = Life::text("Hello");
        life.next();
        let end = life.answer(status, r#"{"message": "Cannot send", "code": 50006}"#);
        assert!(end.starts_with("rejected: ") && end.contains(word) && end.contains("50006"), "{end}");
    }
}

#[test]
fn what_a_moderator_removed_is_not_put_there_again() {
    let mut life = Life::new(Content::Draft("Hel".into()));
    life.next();
    life.answer(200, r#"{"id": "100"}"#);
    life.outgoing.content = Content::Markdown("Hello".into());
    life.next();
    assert_eq!(life.answer(404, r#"{"message": "Unknown Message", "code": 10008}"#), "done 100");
}

#[test]
fn an_answer_that_became_shorter_takes_back_what_is_too_much() {
    let mut life = Life::new(Content::Draft("word ".repeat(700)));
    life.next();
    life.answer(200, r#"{"id": "100"}"#);
    assert_eq!(life.answer(200, r#"{"id": "101"}"#), "done 100 101");
    life.outgoing.content = Content::Draft("short".into());
    assert_eq!(life.next(), "PATCH https://discord.com/api/v10/channels/5/messages/100");
    assert_eq!(life.answer(200, "{}"), "done 100 101", "a draft takes nothing back");
    life.outgoing.content = Content::Markdown("short".into());
    assert_eq!(life.next(), "DELETE https://discord.com/api/v10/channels/5/messages/101");
    assert_eq!(life.answer(204, ""), "done 100");
}

const ORIGINAL: &str = "https://discord.com/api/v10/webhooks/42/aW50/messages/@original";

fn to_a_command(text: &str) -> Life {
    let mut life = Life::text(text);
    let handle = format!(r#"{{"application": "42", "token": "aW50", "ends_at": {}}}"#, NOW + 840_000);
    life.outgoing.handle = Some(handle.into_bytes());
    life
}

#[test]
fn a_command_is_answered_in_its_own_message() {
    let mut life = to_a_command("Hello");
    assert_eq!(life.next(), format!("GET {ORIGINAL}"));
    assert_eq!(life.answer(200, r#"{"id": "200", "flags": 128}"#), format!("PATCH {ORIGINAL}"));
    // It comes to the same when it is done twice, at whatever time.
    assert_eq!(life.lost(), "wait 500");
    life.now += 600_000;
    assert_eq!(life.next(), format!("PATCH {ORIGINAL}"));
    life.answer(200, r#"{"id": "200"}"#);
    assert_eq!(life.answer(200, r#"{"id": "200"}"#), "done 200");
}

#[test]
fn what_was_said_to_a_command_is_not_overwritten_by_the_next_message() {
    let mut life = to_a_command("One thing more");
    life.next();
    assert_eq!(life.answer(200, r#"{"id": "200", "flags": 0}"#), MESSAGES);
}

#[test]
fn a_command_that_can_no_longer_be_answered_gets_a_message() {
    let mut late = to_a_command("Hello");
    late.now += 840_000;
    assert_eq!(late.next(), MESSAGES);
    let mut gone = to_a_command("Hello");
    gone.next();
    assert_eq!(gone.answer(404, r#"{"message": "Unknown Webhook", "code": 10015}"#), MESSAGES);
    let mut between = to_a_command("Hello");
    between.next();
    between.answer(200, r#"{"id": "200", "flags": 128}"#);
    assert_eq!(between.answer(401, r#"{"message": "Invalid Webhook Token", "code": 50027}"#), MESSAGES);
    assert_eq!(between.answer(200, r#"{"id": "100"}"#), "done 100");
}

#[test]
fn typing_is_tried_once() {
    for status in [204, 403, 500] {
        let mut life = Life::new(Content::Typing);
        assert_eq!(life.next(), "POST https://discord.com/api/v10/channels/5/typing");
        assert_eq!(life.answer(status, ""), "done ");
    }
    let mut life = Life::new(Content::Typing);
    life.next();
    assert_eq!(life.answer(429, r#"{"retry_after": 3.0}"#), "done ");
    assert_eq!(life.held(), [("typing:5", 3_000)]);
}

#[test]
fn a_reaction_names_its_emoji_in_the_path() {
    let mut life = Life::new(Content::Reaction(Reaction { message_id: "9".into(), emoji: "👍".into() }));
    let put = "PUT https://discord.com/api/v10/channels/5/messages/9/reactions/%F0%9F%91%8D/@me";
    assert_eq!(life.next(), put);
    assert_eq!(life.lost(), "wait 500");
    assert_eq!(life.next(), put);
    assert_eq!(life.answer(204, ""), "done ");
}

#[test]
fn a_file_goes_as_a_form() {
    let file = File { id: "f1".into(), name: "cat.png".into(), mime_type: "image/png".into(), size: 9 };
    let mut life = Life::new(Content::File(file));
    assert_eq!(life.next(), MESSAGES);
    assert_eq!(life.body, "payload_json\nfiles[0]\n");
    assert_eq!(life.answer(200, r#"{"id": "100", "attachments": []}"#), "done 100");
}

#[test]
fn a_thread_is_where_the_answer_goes() {
    let mut life = Life::text("Hello");
    life.outgoing.address.thread = Some("77".into());
    assert_eq!(life.next(), "POST https://discord.com/api/v10/channels/77/messages");
}
