//! The channel as its host sees it: GitHub's events, answers to them, and what must not get in or out.

use exoclaw_guest::channel::Next;
use exoclaw_guest::channel::{
    Address, Body, Content, Context, Conversation, Message, Outbound, Piece, Template, TransportError, Verification,
};
use exoclaw_guest::{Header, Request, Response, Settings};
use serde_json::{Value, json};

use super::*;

fn settings(value: Value) -> WebhookSettings {
    serde_json::from_value(value).unwrap()
}

fn github() -> Value {
    serde_json::from_str(include_str!("../golden/github.settings.json")).unwrap()
}

fn called(with: &Value, headers: &Value, body: &[u8]) -> Result<Received<()>, Error> {
    let header =
        |(name, value): (&String, &Value)| Header { name: name.clone(), value: value.as_str().unwrap().into() };
    let headers = headers.as_object().into_iter().flatten().map(header).collect();
    let request = Request { method: "POST".into(), url: "/".into(), headers, body: body.to_vec() };
    incoming::receive(&settings(with.clone()), Event::Webhook(request))
}

fn golden() -> Vec<Message> {
    let events: Vec<Value> = serde_json::from_str(include_str!("../golden/github.json")).unwrap();
    let calls = events.iter().filter_map(|event| event.get("webhook"));
    calls
        .flat_map(|call| called(&github(), &call["headers"], call["body"].to_string().as_bytes()).unwrap().messages)
        .collect()
}

fn to(message: &Message, content: Content) -> Outgoing {
    Outgoing {
        id: "a".repeat(20),
        created_at: 0,
        address: message.address.clone(),
        handle: Some(message.handle.clone()),
        reply_to: None,
        content,
    }
}

fn begun(with: &Value, outgoing: &Outgoing) -> Result<(Outbound, Progress), String> {
    let step = reply::next(settings(with.clone()).reply.as_ref(), outgoing, Progress::default()).unwrap();
    match step.next {
        Next::Request(limited) => Ok((limited.request, step.progress)),
        Next::Rejected(why) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn answered(with: &Value, outgoing: &Outgoing, progress: Progress, outcome: Outcome) -> Step<Progress> {
    let context = Context { settings: "{}".into(), webhook_url: None, now: 0, random: 7, attempt: 1 };
    let call = Call { context: &context, settings: settings(with.clone()), state: () };
    AnyWebhook::answered(call, outgoing, progress, outcome).unwrap()
}

fn text(template: &Template) -> String {
    template
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Secret(name) => format!("<{name}>"),
        })
        .collect()
}

fn body(request: &Outbound) -> String {
    let Body::Text(template) = &request.body else { panic!("a text was expected") };
    text(template)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
    let header = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: (*value).into() };
    Ok(Response { status, headers: headers.iter().map(header).collect(), body: body.into() })
}

#[test]
fn githubs_comments_and_issues_are_messages_and_nothing_else_is() {
    let messages = golden();
    let short: Vec<_> = messages
        .iter()
        .map(|message| {
            (message.event_id.as_str(), message.id.as_str(), message.sender.id.as_str(), message.mentions_agent)
        })
        .collect();
    assert_eq!(
        short,
        [
            ("72d3162e-cc78-11e3-81ab-4c9367dc0958", "444500041", "Codertocat", true),
            ("4ce8c9a0-2430-11e5-9a6a-0ad0e3b8c9f1", "492700400", "Codertocat", true),
            ("4ce8c9a0-2430-11e5-9a6a-0ad0e3b8c9f1", "492700400", "Codertocat", true),
            ("5f0c1e7e-2430-11e5-8d1c-6c1d3a2f0005", "492700403", "mallory", false),
        ]
    );
    assert!(messages[0].text.starts_with("Spelling error in the README file\n\nIt looks like"));
    for message in &messages {
        assert_eq!(
            (message.address.peer.as_str(), message.conversation),
            ("Codertocat/Hello-World#1", Conversation::Group)
        );
    }
}

#[test]
fn an_answer_is_a_comment_on_the_issue() {
    let to = to(&golden()[1], Content::Markdown("Fixed **it**: \"commit\"\n".into()));
    let (request, progress) = begun(&github(), &to).unwrap();
    assert_eq!(
        (request.method.as_str(), text(&request.url)),
        ("POST", "https://api.github.com/repos/Codertocat/Hello-World/issues/1/comments".into())
    );
    let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| text(value));
    assert_eq!(header("authorization").as_deref(), Some("Bearer <github-token>"));
    assert_eq!(header("content-type").as_deref(), Some("application/json"));
    assert_eq!(body(&request), r#"{"body":"Fixed **it**: \"commit\"\n"}"#);
    let step = answered(&github(), &to, progress, answer(201, &[], r#"{"id": 492700500, "body": "x"}"#));
    assert!(matches!(step.next, Next::Done(ids) if ids == ["492700500"]));
}

#[test]
fn a_long_answer_becomes_several_comments() {
    let mut with = github();
    with["reply"]["max_length"] = json!(200);
    let to = to(&golden()[1], Content::Markdown(format!("```rust\n{}```\n", "let x = 1;\n".repeat(40))));
    let (request, mut progress) = begun(&with, &to).unwrap();
    let mut bodies = vec![body(&request)];
    loop {
        let step = answered(&with, &to, progress, answer(201, &[], "{}"));
        progress = step.progress;
        match step.next {
            Next::Request(limited) => bodies.push(body(&limited.request)),
            Next::Done(ids) => break assert_eq!(ids.len(), bodies.len()),
            other => panic!("{other:?}"),
        }
    }
    assert!(bodies.len() > 2);
    for body in &bodies {
        let text = serde_json::from_str::<Value>(body).unwrap()["body"].as_str().unwrap().to_owned();
        assert!(
            text.starts_with("```rust\n") && text.trim_end().ends_with("```") && text.chars().count() <= 200,
            "{text}"
        );
    }
}

#[test]
fn no_text_names_a_secret_or_ends_its_string() {
    let hostile = "{secret:github-token} \"}, \"x\": {/repository/id}\\ {{text}} \u{0}\n<github-token>";
    let message = golden().remove(3);
    let (request, _) = begun(&github(), &to(&message, Content::Markdown(hostile.into()))).unwrap();
    let Body::Text(pieces) = &request.body else { panic!() };
    assert!(pieces.iter().all(|piece| matches!(piece, Piece::Text(_))));
    assert_eq!(serde_json::from_str::<Value>(&body(&request)).unwrap(), json!({"body": hostile}));
}

#[test]
fn nothing_of_an_event_leaves_its_segment_of_the_path() {
    let with = json!({"reply": {"base_url": "https://api.example/v1/", "path": "/rooms/{/room}/x?to={peer}&k={secret:key}", "headers": [{"name": "x-name", "value": "{/room}"}]}});
    let request = |room: &str| {
        let body = json!({"id": "1", "sender": "ada", "peer": "a&b=c", "text": "hi", "room": room}).to_string();
        let message = called(&with, &json!({}), body.as_bytes()).unwrap().messages.remove(0);
        begun(&with, &to(&message, Content::Markdown("hi".into())))
    };
    assert_eq!(text(&request("a b").unwrap().0.url), "https://api.example/v1/rooms/a%20b/x?to=a%26b%3Dc&k=<key>");
    assert_eq!(
        text(&request("../..@evil/?#").unwrap().0.url),
        "https://api.example/v1/rooms/..%2F..%40evil%2F%3F%23/x?to=a%26b%3Dc&k=<key>"
    );
    let (split, _) = request("a\r\nhost: evil").unwrap();
    assert!(split.headers.iter().all(|(_, value)| !text(value).contains(['\r', '\n'])));
    for wrong in ["..", ".", ""] {
        assert!(request(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_part_of_the_event_alone_in_its_string_keeps_its_type() {
    let with = json!({"reply": {"base_url": "https://a.example", "path": "/", "body": {"chat_id": "{/chat/id}", "list": [1, null, "{/none}", "n{/chat/id}"], "auth": "k-{secret:key}", "{text}": true}}});
    let body_ = json!({"id": "1", "sender": "ada", "peer": "p", "text": "hi", "chat": {"id": 42}}).to_string();
    let message = called(&with, &json!({}), body_.as_bytes()).unwrap().messages.remove(0);
    assert_eq!(message.handle, br#"{"/chat/id":42}"#);
    let (request, _) = begun(&with, &to(&message, Content::Markdown("hi".into()))).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&body(&request)).unwrap(),
        json!({"chat_id": 42, "list": [1, null, null, "n42"], "auth": "k-<key>", "{text}": true})
    );
}

#[test]
fn limits_wait_and_what_may_have_been_sent_is_unknown() {
    let outgoing = to(&golden()[1], Content::Markdown("hi".into()));
    let step = |with: &Value, outcome| answered(with, &outgoing, begun(with, &outgoing).unwrap().1, outcome);
    for (outcome, wait) in [
        (answer(429, &[("retry-after", "7")], ""), 7_000),
        (answer(403, &[("Retry-After", "60")], ""), 60_000),
        (answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "90")], ""), 90_000),
    ] {
        let step = step(&github(), outcome);
        assert!(matches!(step.next, Next::Wait(ms) if ms == wait), "{:?}", step.next);
        assert_eq!(step.holds[0].for_ms, wait);
    }
    assert!(matches!(step(&github(), Err(TransportError::NotSent("refused".into()))).next, Next::Wait(_)));
    let Next::Rejected(why) = step(&github(), answer(403, &[], "{\"message\":\"Resource not accessible\"}")).next
    else {
        panic!()
    };
    assert!(why.contains("403") && why.contains("Resource not accessible"));
    let mut idempotent = github();
    idempotent["reply"]["idempotent"] = json!(true);
    for lost in [|| Err(TransportError::Unanswered("cut".into())), || answer(502, &[], "")] {
        assert!(matches!(step(&github(), lost()).next, Next::Unknown(_)));
        assert!(matches!(step(&idempotent, lost()).next, Next::Wait(_)));
    }
}

#[test]
fn without_an_event_or_a_reply_it_says_why_it_says_nothing() {
    let message = golden().remove(1);
    let mut outgoing = to(&message, Content::Markdown("hi".into()));
    outgoing.handle = None;
    assert!(begun(&github(), &outgoing).unwrap_err().contains("/repository/owner/login"));
    assert!(begun(&json!({}), &outgoing).unwrap_err().contains("reply"));
}

#[test]
fn calls_that_are_no_event_are_refused_and_those_that_fit_nothing_dropped() {
    for body in ["", "{", "\u{feff}{}"] {
        assert!(matches!(called(&json!({}), &json!({}), body.as_bytes()), Err(Error::InvalidInput(_))), "{body}");
    }
    for body in [
        json!({}),
        json!(3),
        json!({"id": "1", "sender": "", "peer": "p", "text": "t"}),
        json!({"id": "x".repeat(2_000), "sender": "s", "peer": "p", "text": "t"}),
    ] {
        assert!(
            matches!(called(&json!({}), &json!({}), body.to_string().as_bytes()), Err(Error::InvalidInput(_))),
            "{body}"
        );
    }
    let with = json!({"events": [{"when": {"/type": ["a", "b"]}, "bot": {"/bot": true}}]});
    let event = |kind: &str| {
        json!({"type": kind, "id": "1", "sender": "s", "peer": "p", "text": "t", "bot": kind == "b"}).to_string()
    };
    assert!(!called(&with, &json!({}), event("a").as_bytes()).unwrap().messages[0].sender.bot);
    assert!(called(&with, &json!({}), event("b").as_bytes()).unwrap().messages[0].sender.bot);
    assert!(called(&with, &json!({}), event("c").as_bytes()).unwrap().messages.is_empty());
}

#[test]
fn every_verification_can_be_set() {
    let setup = |verification: Value| AnyWebhook::configure(settings(json!({"verification": verification})));
    let hmac = setup(json!({"kind": "hmac", "hash": "sha1", "secret_name": "k", "header": "x-s", "prefix": "v0=", "encoding": "base64", "template": "v0:{header:x-t}:{body}", "timestamp": {"header": "x-t"}})).unwrap();
    let Verification::Hmac(signed) = hmac.webhook.unwrap().verification else { panic!() };
    assert_eq!((hmac.secrets, signed.timestamp.unwrap().tolerance_seconds), (vec!["k".to_owned()], 300));
    let shared = setup(json!({"kind": "shared-secret", "query": "token"})).unwrap();
    assert_eq!(shared.secrets, ["webhook-secret"]);
    assert!(setup(json!({"kind": "shared-secret", "query": "a", "header": "b"})).is_err());
    assert!(setup(json!({"kind": "shared-secret"})).is_err());
    assert!(setup(json!({"kind": "ed25519", "public_key": "0".repeat(64), "header": "x"})).unwrap().secrets.is_empty());
    assert!(
        setup(json!({"kind": "jwt", "jwks_url": "https://a.example/keys", "issuer": "i", "audience": "a"})).is_ok()
    );
    assert!(matches!(setup(json!({"kind": "none"})).unwrap().webhook.unwrap().verification, Verification::None));
    assert!(serde_json::from_value::<WebhookSettings>(json!({"verification": {"kind": "none", "x": 1}})).is_err());
}

#[test]
fn settings_that_would_go_wrong_later_are_refused_now() {
    let refused = |reply: Value| {
        let read = serde_json::from_value::<WebhookSettings>(json!({"reply": reply}));
        read.map_err(|_| ()).and_then(|settings| AnyWebhook::configure(settings).map_err(|_| ())).is_err()
    };
    for (path, wrong) in
        [("/ok/{/a}", false), ("{/a}/x", true), ("/a b", true), ("/a#b", true), ("/{", true), ("/{secrets:x}", true)]
    {
        assert_eq!(refused(json!({"base_url": "https://a.example", "path": path})), wrong, "{path}");
    }
    assert!(refused(json!({"base_url": "ftp://a.example", "path": "/"})));
    assert!(refused(json!({"base_url": "https://a.example", "path": "/", "body": {"x": "{body}"}})));
    let setup = AnyWebhook::configure(settings(github())).unwrap();
    assert_eq!(
        (setup.secrets, setup.origins),
        (vec!["webhook-secret".into(), "github-token".into()], vec!["https://api.github.com".into()])
    );
    assert!(serde_json::from_str::<Value>(WebhookSettings::SCHEMA).is_ok());
}

#[test]
fn an_address_without_an_event_can_be_written_to() {
    let with = json!({"reply": {"base_url": "https://a.example", "path": "/rooms/{peer}", "headers": [{"name": "idempotency-key", "value": "{id}"}]}});
    let address = Address { account: None, peer: "lab".into(), guild: None, team: None, thread: None };
    let outgoing = Outgoing {
        id: "b".repeat(20),
        created_at: 0,
        address,
        handle: None,
        reply_to: None,
        content: Content::Markdown("hi".into()),
    };
    let (request, _) = begun(&with, &outgoing).unwrap();
    assert_eq!(text(&request.url), "https://a.example/rooms/lab");
    assert_eq!(body(&request), format!(r#"{{"id":"{}-0","peer":"lab","text":"hi"}}"#, "b".repeat(20)));
}
