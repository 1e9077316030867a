//! The channel, held against what Telegram really sends and answers.

use exoclaw_guest::channel::{
    Action, Address, Body, Call, Channel, Content, Context, Conversation, Event, Fetch, FieldValue, File, Frame,
    Health, Kind, Message, Next, Outbound, Outcome, Outgoing, Piece, Reaction, Received, Start, Step, TaggedResponse,
    TransportError,
};
use exoclaw_guest::{Error, Header, Request, Response};
use serde_json::{Value, json};

use crate::delivery::Progress;
use crate::{State, Telegram, TelegramSettings};

const POLL: &str = include_str!("../golden/poll.json");
const GROUP: &str = "-1001234567890";

fn context() -> Context {
    Context {
        settings: "{}".into(),
        webhook_url: Some("https://bot.example/webhook/telegram".into()),
        now: 1_763_800_000_000,
        random: 7,
        attempt: 1,
    }
}

fn settings(json: &Value) -> TelegramSettings {
    serde_json::from_value(json.clone()).unwrap()
}

fn receive(state: &mut State, settings_json: &Value, attempt: u32, event: Event) -> Received<State> {
    let context = Context { attempt, ..context() };
    let call = Call { context: &context, settings: settings(settings_json), state: state.clone() };
    let received = Telegram::receive(call, event).unwrap();
    if let Some(new) = &received.state {
        *state = new.clone();
    }
    received
}

fn response(tag: &str, status: u16, body: &Value) -> Event {
    let response = Response { status, headers: vec![], body: body.to_string().into_bytes() };
    Event::Response(TaggedResponse { tag: tag.into(), outcome: Ok(response) })
}

/// The responses of the recording, as events.
fn recorded() -> Vec<Event> {
    let events: Vec<Value> = serde_json::from_str(POLL).unwrap();
    let responses =
        events.iter().filter_map(|event| event.get("response")).filter(|event| event.get("status").is_some());
    responses
        .map(|event| {
            let status = u16::try_from(event["status"].as_u64().unwrap()).unwrap();
            response(event["tag"].as_str().unwrap(), status, &event["body"])
        })
        .collect()
}

/// All messages of the recording.
fn messages() -> Vec<Message> {
    let mut state = State::default();
    recorded().into_iter().flat_map(|event| receive(&mut state, &json!({}), 1, event).messages).collect()
}

fn of<'a>(messages: &'a [Message], peer: &str, id: &str) -> &'a Message {
    messages.iter().find(|message| message.address.peer == peer && message.id == id).unwrap()
}

fn written(template: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(name) => format!("{{{name}}}"),
    };
    template.iter().map(piece).collect()
}

fn json_body(request: &Outbound) -> Value {
    let Body::Text(body) = &request.body else { panic!("{request:?}") };
    serde_json::from_str(&written(body)).unwrap()
}

/// The method and the body of the one request among the actions.
fn asked(received: &Received<State>) -> Option<(String, Value)> {
    let mut requests = received.actions.iter().filter_map(|action| match action {
        Action::Request(tagged) => Some(&tagged.request),
        _ => None,
    });
    let request = requests.next()?;
    assert!(requests.next().is_none());
    let url = written(&request.url);
    let method = url.strip_prefix("https://api.telegram.org/bot{bot-token}/").unwrap().to_owned();
    Some((method, json_body(request)))
}

fn health(received: &Received<State>) -> Option<&Health> {
    received.actions.iter().find_map(|action| match action {
        Action::Report(health) => Some(health),
        _ => None,
    })
}

fn is_timer(received: &Received<State>, wanted: &str) -> bool {
    received.actions.iter().any(|action| matches!(action, Action::SetTimer(timer) if timer.tag == wanted))
}

#[test]
fn it_learns_who_it_is_and_then_polls_with_the_offset_of_what_it_stored() {
    let (mut state, none) = (State::default(), json!({}));
    let started = receive(&mut state, &none, 1, Event::Start(Start::New));
    assert_eq!(asked(&started).unwrap().0, "getMe");
    let mut events = recorded().into_iter();
    let known = receive(&mut state, &none, 1, events.next().unwrap());
    assert_eq!(asked(&known).unwrap(), ("deleteWebhook".into(), json!({})));
    let ready = receive(&mut state, &none, 1, events.next().unwrap());
    assert!(matches!(health(&ready), Some(Health::Ready)));
    let (method, body) = asked(&ready).unwrap();
    assert_eq!((method.as_str(), &body["offset"], &body["timeout"]), ("getUpdates", &json!(0), &json!(50)));
    assert!(body["allowed_updates"].as_array().unwrap().contains(&json!("message_reaction")));
    let polled = receive(&mut state, &none, 1, events.next().unwrap());
    assert!(!polled.messages.is_empty());
    assert_eq!(polled.state.as_ref().unwrap().offset, Some(500_000_009));
    assert_eq!(asked(&polled).unwrap().1["offset"], json!(500_000_009));
    let quiet = receive(&mut state, &none, 1, events.next().unwrap());
    assert!(quiet.state.is_none(), "nothing new is nothing to store");
}

#[test]
fn updates_are_read_as_what_people_did() {
    let messages = messages();
    let question = of(&messages, "111111", "2");
    assert_eq!(question.text, "What is 2 < 3 & why? 👋🏽");
    assert!(matches!((&question.kind, question.conversation), (Kind::New, Conversation::Direct)));
    assert_eq!((question.sender.id.as_str(), question.sender.name.as_deref()), ("111111", Some("Ada Lovelace")));
    assert_eq!(question.sent_at, Some(1_763_800_002_000));
    let edited = messages.iter().find(|message| matches!(message.kind, Kind::Edit)).unwrap();
    assert_eq!((edited.id.as_str(), edited.text.as_str()), ("2", "What is 3 < 4 & why? 👋🏽"));
    assert_ne!(edited.event_id, question.event_id);

    let cat = of(&messages, "111111", "3");
    assert_eq!((cat.text.as_str(), cat.attachments[0].handle.as_slice()), ("my cat", &b"AgACAgIAAxkBAAMDlarge"[..]));
    assert_eq!(of(&messages, "111111", "4").attachments[0].mime_type, "audio/ogg");
    assert_eq!(of(&messages, "111111", "5").attachments[0].name.as_deref(), Some("notes.pdf"));
    assert_eq!(of(&messages, "111111", "6").text, "😀");
    assert_eq!(of(&messages, "111111", "7").text, "📍 52.52, 13.405 (Café, Alexanderplatz 1)");
}

#[test]
fn in_a_group_it_knows_when_it_is_meant() {
    let messages = messages();
    // The smiley before the name counts two units.
    assert!(of(&messages, GROUP, "40").mentions_agent);
    assert!(!of(&messages, GROUP, "41").mentions_agent);
    let reply = of(&messages, GROUP, "42");
    assert!(reply.mentions_agent);
    assert_eq!(reply.reply_to.as_deref(), Some("39"));
    let command = of(&messages, GROUP, "43");
    assert_eq!((command.text.as_str(), command.mentions_agent), ("/stop now", true));
    assert!(!messages.iter().any(|message| message.id == "44"), "a command for another bot is not for this one");
    assert!(!messages.iter().any(|message| message.id == "47"), "that someone joined is no message");
}

#[test]
fn senders_are_who_they_speak_as() {
    let messages = messages();
    let anonymous = &of(&messages, GROUP, "45").sender;
    assert_eq!((anonymous.id.as_str(), anonymous.name.as_deref(), anonymous.bot), (GROUP, Some("boss"), false));
    assert!(of(&messages, GROUP, "46").sender.bot);
    assert_eq!(of(&messages, GROUP, "48").conversation, Conversation::Broadcast);
    let post = of(&messages, "-1003333333333", "5");
    assert_eq!((post.conversation, post.sender.name.as_deref()), (Conversation::Broadcast, Some("Ed")));
}

#[test]
fn reactions_name_the_message_and_those_taken_back_are_nothing() {
    let messages = messages();
    let reactions: Vec<_> = messages.iter().filter(|message| matches!(message.kind, Kind::Reaction(_))).collect();
    let [one] = &reactions[..] else { panic!("{reactions:?}") };
    assert!(matches!(&one.kind, Kind::Reaction(emoji) if emoji == "👍"));
    assert_eq!((one.id.as_str(), one.sender.id.as_str()), ("39", "111111"));
}

#[test]
fn a_topic_is_a_thread_and_so_is_the_general_one() {
    let messages = messages();
    let topic = of(&messages, "-1002222222222", "11");
    assert_eq!((topic.address.thread.as_deref(), topic.reply_to.as_deref()), (Some("10"), None));
    assert_eq!(of(&messages, "-1002222222222", "12").address.thread.as_deref(), Some("1"));
    assert_eq!(of(&messages, GROUP, "42").address.thread, None);
}

#[test]
fn an_update_that_is_too_much_is_got_past_and_costs_no_other() {
    let mut state = State { offset: Some(1), ..State::default() };
    let updates = |from: i64| {
        let update = |id| {
            json!({"update_id": id, "message": {"message_id": id, "date": 1, "text": "hi",
            "chat": {"id": 5, "type": "private"}, "from": {"id": 5, "first_name": "A"}}})
        };
        response("updates", 200, &json!({"ok": true, "result": (from..from + 3).map(update).collect::<Vec<_>>()}))
    };
    let second = receive(&mut state.clone(), &json!({}), 2, updates(10));
    assert_eq!((second.messages.len(), second.state.unwrap().offset), (1, Some(11)));
    let third = receive(&mut state, &json!({}), 3, updates(10));
    assert!(third.messages.is_empty());
    assert_eq!(asked(&third).unwrap().1["offset"], json!(11));
}

#[test]
fn trouble_is_told_and_tried_again() {
    let mut state = State::default();
    let none = json!({});
    let refusal = |status, description: &str| {
        response("updates", status, &json!({"ok": false, "error_code": status, "description": description}))
    };
    for _ in 0..4 {
        let conflict = receive(&mut state, &none, 1, refusal(409, "Conflict: terminated by other getUpdates request"));
        assert!(matches!(health(&conflict), Some(Health::Degraded(_))) && is_timer(&conflict, "updates"));
    }
    let conflict = receive(&mut state, &none, 1, refusal(409, "Conflict: terminated by other getUpdates request"));
    assert!(matches!(health(&conflict), Some(Health::Failed(why)) if why.contains("another program")));
    let back = receive(&mut state, &none, 1, response("updates", 200, &json!({"ok": true, "result": []})));
    assert!(matches!(health(&back), Some(Health::Ready)) && state.failures == 0);

    let hook =
        receive(&mut state, &none, 1, refusal(409, "Conflict: can't use getUpdates method while webhook is active"));
    assert!(is_timer(&hook, "hook"));
    let token = receive(&mut state, &none, 1, refusal(401, "Unauthorized"));
    assert!(matches!(health(&token), Some(Health::Failed(why)) if why.contains("BotFather")));
    let page = Event::Response(TaggedResponse {
        tag: "updates".into(),
        outcome: Err(TransportError::Unanswered("cut".into())),
    });
    assert!(is_timer(&receive(&mut state, &none, 1, page), "updates"));
}

#[test]
fn a_webhook_is_set_with_the_secret_that_comes_back_in_a_header() {
    let webhook = json!({"mode": "webhook"});
    let setup = Telegram::configure(settings(&webhook)).unwrap();
    assert_eq!(setup.secrets, ["bot-token", "webhook-secret"]);
    assert!(setup.webhook.is_some() && Telegram::configure(settings(&json!({}))).unwrap().webhook.is_none());

    let mut state = State::default();
    let known = receive(&mut state, &webhook, 1, recorded().remove(0));
    let (method, body) = asked(&known).unwrap();
    assert_eq!(method, "setWebhook");
    assert_eq!(body["url"], "https://bot.example/webhook/telegram");
    assert_eq!(body["secret_token"], "{webhook-secret}");
    let ready = receive(&mut state, &webhook, 1, response("hook", 200, &json!({"ok": true, "result": true})));
    assert!(matches!(health(&ready), Some(Health::Ready)) && asked(&ready).is_none());

    let update = json!({"update_id": 9, "message": {"message_id": 3, "date": 1, "text": "hi",
        "chat": {"id": 5, "type": "private"}, "from": {"id": 5, "first_name": "A"}}});
    let call =
        |body: Vec<u8>| Event::Webhook(Request { method: "POST".into(), url: "/".into(), headers: vec![], body });
    let received = receive(&mut state, &webhook, 1, call(update.to_string().into_bytes()));
    assert_eq!((received.messages[0].event_id.as_str(), received.messages[0].text.as_str()), ("9", "hi"));
    let context = context();
    let spoilt = Call { context: &context, settings: settings(&webhook), state };
    assert!(matches!(Telegram::receive(spoilt, call(b"{".to_vec())), Err(Error::InvalidInput(_))));
}

#[test]
fn what_it_does_not_know_changes_nothing() {
    let mut state = State::default();
    for event in [
        Event::Timer("other".into()),
        Event::Connected("x".into()),
        Event::Frame(exoclaw_guest::channel::TaggedFrame { tag: "x".into(), frame: Frame::Text("{}".into()) }),
        response("other", 200, &json!({})),
    ] {
        let received = receive(&mut state, &json!({}), 1, event);
        assert!(received.state.is_none() && received.actions.is_empty() && received.messages.is_empty());
    }
}

// Deliveries.

fn outgoing(content: Content) -> Outgoing {
    let address = Address { account: None, peer: "42".into(), guild: None, team: None, thread: None };
    Outgoing {
        id: "01jq0000000000000000".into(),
        created_at: 0,
        address,
        handle: None,
        reply_to: Some("7".into()),
        content,
    }
}

fn deliver(outgoing: &Outgoing, progress: Progress, outcome: Option<Outcome>) -> Step<Progress> {
    let context = context();
    let call = Call::<Telegram> { context: &context, settings: settings(&json!({})), state: State::default() };
    match outcome {
        None => Telegram::deliver(call, outgoing, progress).unwrap(),
        Some(outcome) => Telegram::answered(call, outgoing, progress, outcome).unwrap(),
    }
}

fn answer(status: u16, body: &Value) -> Option<Outcome> {
    let header = Header { name: "content-type".into(), value: "application/json".into() };
    Some(Ok(Response { status, headers: vec![header], body: body.to_string().into_bytes() }))
}

fn sent(id: i64) -> Option<Outcome> {
    answer(200, &json!({"ok": true, "result": {"message_id": id, "date": 1, "chat": {"id": 42, "type": "private"}}}))
}

fn refused(status: u16, description: &str, parameters: &Value) -> Option<Outcome> {
    answer(status, &json!({"ok": false, "error_code": status, "description": description, "parameters": parameters}))
}

fn request(step: &Step<Progress>) -> (String, Value) {
    let Next::Request(limited) = &step.next else { panic!("{:?}", step.next) };
    let url = written(&limited.request.url);
    (url.rsplit('/').next().unwrap().to_owned(), json_body(&limited.request))
}

#[test]
fn an_answer_is_sent_as_html_in_reply_and_its_parts_in_order() {
    let long = format!("**a** & b\n\n{}", "word ".repeat(1_000));
    let outgoing = outgoing(Content::Markdown(long));
    let first = deliver(&outgoing, Progress::default(), None);
    let (method, body) = request(&first);
    assert_eq!((method.as_str(), &body["chat_id"], &body["parse_mode"]), ("sendMessage", &json!(42), &json!("HTML")));
    assert_eq!(body["reply_parameters"], json!({"message_id": 7, "allow_sending_without_reply": true}));
    assert!(body["text"].as_str().unwrap().starts_with("<b>a</b> &amp; b"));
    let Next::Request(limited) = &first.next else { panic!() };
    assert_eq!(limited.keys, ["bot", "chat:42"]);
    let second = deliver(&outgoing, first.progress, sent(100));
    let (_, body) = request(&second);
    assert!(body.get("reply_parameters").is_none(), "only the first part replies");
    let end = deliver(&outgoing, second.progress, sent(101));
    assert!(matches!(&end.next, Next::Done(ids) if ids == &["100", "101"]));
}

#[test]
fn a_draft_is_edited_until_the_answer_stands() {
    let drafted = outgoing(Content::Draft("Hel".into()));
    let first = deliver(&drafted, Progress::default(), None);
    let shown = deliver(&drafted, first.progress, sent(100));
    assert!(matches!(&shown.next, Next::Done(ids) if ids == &["100"]));
    let answer_ = outgoing(Content::Markdown("Hello".into()));
    let edit = deliver(&answer_, shown.progress, None);
    let (method, body) = request(&edit);
    assert_eq!(
        (method.as_str(), &body["message_id"], &body["text"]),
        ("editMessageText", &json!(100), &json!("Hello"))
    );
    let same = "Bad Request: message is not modified: specified new message content is exactly the same";
    let end = deliver(&answer_, edit.progress, refused(400, same, &json!({})));
    assert!(matches!(&end.next, Next::Done(ids) if ids == &["100"]));
}

#[test]
fn a_draft_that_was_taken_back_loses_its_last_message() {
    let long = outgoing(Content::Draft("word ".repeat(1_000)));
    let first = deliver(&long, Progress::default(), None);
    let second = deliver(&long, first.progress, sent(100));
    let shown = deliver(&long, second.progress, sent(101));
    // While it grows anew, nothing vanishes.
    let short = outgoing(Content::Draft("word".into()));
    let edit = deliver(&short, shown.progress, None);
    assert_eq!(request(&edit).0, "editMessageText");
    let shown = deliver(&short, edit.progress, sent(100));
    assert!(matches!(shown.next, Next::Done(_)));
    let settled = outgoing(Content::Markdown("word".into()));
    let delete = deliver(&settled, shown.progress, None);
    let (method, body) = request(&delete);
    assert_eq!((method.as_str(), &body["message_id"]), ("deleteMessage", &json!(101)));
    let end = deliver(&settled, delete.progress, answer(200, &json!({"ok": true, "result": true})));
    assert!(matches!(&end.next, Next::Done(ids) if ids == &["100"]));
}

#[test]
fn markup_that_telegram_refuses_goes_as_plain_text() {
    let outgoing = outgoing(Content::Markdown("**a** <b>".into()));
    let first = deliver(&outgoing, Progress::default(), None);
    let why = "Bad Request: can't parse entities: Unsupported start tag";
    let again = deliver(&outgoing, first.progress, refused(400, why, &json!({})));
    let (_, body) = request(&again);
    assert_eq!((&body["text"], body.get("parse_mode")), (&json!("a <b>"), None));
    let twice = deliver(&outgoing, again.progress, refused(400, why, &json!({})));
    assert!(matches!(twice.next, Next::Rejected(_)));
}

#[test]
fn a_limit_is_held_and_waited_for() {
    let outgoing = outgoing(Content::Markdown("a".into()));
    let first = deliver(&outgoing, Progress::default(), None);
    let why = "Too Many Requests: retry after 17";
    let step = deliver(&outgoing, first.progress, refused(429, why, &json!({"retry_after": 17})));
    assert!(matches!(step.next, Next::Wait(17_000)));
    let holds: Vec<_> = step.holds.iter().map(|hold| (hold.key.as_str(), hold.for_ms)).collect();
    assert_eq!(holds, [("chat:42", 17_000), ("bot", 1_000)]);
    assert_eq!(request(&deliver(&outgoing, step.progress, None)).0, "sendMessage");
}

#[test]
fn a_group_that_moved_is_followed_for_the_rest_of_the_answer() {
    let outgoing = outgoing(Content::Markdown("word ".repeat(1_000)));
    let first = deliver(&outgoing, Progress::default(), None);
    let why = "Bad Request: group chat was upgraded to a supergroup chat";
    let parameters = json!({"migrate_to_chat_id": -1_009_876_543_210_i64});
    let moved = deliver(&outgoing, first.progress, refused(400, why, &parameters));
    assert_eq!(request(&moved).1["chat_id"], json!(-1_009_876_543_210_i64));
    let second = deliver(&outgoing, moved.progress, sent(1));
    assert_eq!(request(&second).1["chat_id"], json!(-1_009_876_543_210_i64));
}

#[test]
fn what_was_sent_and_not_answered_is_unknown_and_sent_once_more_only_when_told_to() {
    let outgoing = outgoing(Content::Markdown("a".into()));
    for outcome in [
        Some(Err(TransportError::Unanswered("cut".into()))),
        answer(502, &json!("bad gateway")),
        answer(200, &json!("<html>")),
    ] {
        let first = deliver(&outgoing, Progress::default(), None);
        let lost = deliver(&outgoing, first.progress, outcome);
        assert!(matches!(lost.next, Next::Unknown(_)));
        assert_eq!(request(&deliver(&outgoing, lost.progress, None)).0, "sendMessage");
    }
    // After a crash between the two.
    let first = deliver(&outgoing, Progress::default(), None);
    assert!(matches!(deliver(&outgoing, first.progress, None).next, Next::Unknown(_)));
    let first = deliver(&outgoing, Progress::default(), None);
    let unsent = deliver(&outgoing, first.progress, Some(Err(TransportError::NotSent("refused".into()))));
    assert!(matches!(unsent.next, Next::Wait(_)));
}

#[test]
fn edits_are_made_again_until_they_are_answered() {
    let drafted = outgoing(Content::Draft("a".into()));
    let first = deliver(&drafted, Progress::default(), None);
    let shown = deliver(&drafted, first.progress, sent(100));
    let full = outgoing(Content::Markdown("ab".into()));
    let mut step = deliver(&full, shown.progress, None);
    for _ in 0..3 {
        step = deliver(&full, step.progress, Some(Err(TransportError::Unanswered("cut".into()))));
        assert!(matches!(step.next, Next::Wait(_)));
        step = deliver(&full, step.progress, None);
        assert_eq!(request(&step).0, "editMessageText");
    }
    let gone = deliver(&full, step.progress, refused(400, "Bad Request: message to edit not found", &json!({})));
    assert_eq!(request(&gone).0, "sendMessage", "what a user deleted is said again");
}

#[test]
fn a_user_who_blocked_the_bot_is_told_to_the_operator() {
    let outgoing = outgoing(Content::Markdown("a".into()));
    let first = deliver(&outgoing, Progress::default(), None);
    let step = deliver(&outgoing, first.progress, refused(403, "Forbidden: bot was blocked by the user", &json!({})));
    assert!(matches!(step.next, Next::Rejected(why) if why.contains("blocked")));
}

#[test]
fn the_general_topic_is_named_for_typing_only() {
    let mut typing = outgoing(Content::Typing);
    typing.address.thread = Some("1".into());
    assert_eq!(request(&deliver(&typing, Progress::default(), None)).1["message_thread_id"], json!(1));
    let mut message = outgoing(Content::Markdown("a".into()));
    message.address.thread = Some("1".into());
    assert!(request(&deliver(&message, Progress::default(), None)).1.get("message_thread_id").is_none());
    message.address.thread = Some("10".into());
    assert_eq!(request(&deliver(&message, Progress::default(), None)).1["message_thread_id"], json!(10));
}

#[test]
fn a_picture_that_is_none_to_telegram_goes_as_a_document() {
    let file = File { id: "f1".into(), name: "cat.png".into(), mime_type: "image/png".into(), size: 9 };
    let outgoing = outgoing(Content::File(file));
    let form = |step: &Step<Progress>| {
        let Next::Request(limited) = &step.next else { panic!("{:?}", step.next) };
        let Body::Form(fields) = &limited.request.body else { panic!() };
        let file = fields.iter().find(|field| matches!(&field.value, FieldValue::File(id) if id == "f1")).unwrap();
        (written(&limited.request.url), file.name.clone())
    };
    let first = deliver(&outgoing, Progress::default(), None);
    let (url, name) = form(&first);
    assert!(url.ends_with("/sendPhoto") && name == "photo");
    let second = deliver(&outgoing, first.progress, refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS", &json!({})));
    let (url, name) = form(&second);
    assert!(url.ends_with("/sendDocument") && name == "document");
    let end = deliver(&outgoing, second.progress, sent(5));
    assert!(matches!(&end.next, Next::Done(ids) if ids == &["5"]));
    assert!(matches!(deliver(&outgoing, end.progress, None).next, Next::Done(_)), "it is not sent again");
}

#[test]
fn a_reaction_is_set_without_the_selector_that_telegram_does_not_know() {
    let outgoing = outgoing(Content::Reaction(Reaction { message_id: "9".into(), emoji: "❤\u{fe0f}".into() }));
    let (method, body) = request(&deliver(&outgoing, Progress::default(), None));
    assert_eq!((method.as_str(), &body["reaction"]), ("setMessageReaction", &json!([{"type": "emoji", "emoji": "❤"}])));
}

#[test]
fn an_attachment_is_looked_up_and_downloaded_from_where_the_bot_may_read() {
    let fetch = |previous| {
        let context = context();
        let call = Call::<Telegram> { context: &context, settings: settings(&json!({})), state: State::default() };
        Telegram::fetch(call, b"AgAC", previous)
    };
    let Ok(Fetch::Lookup(lookup)) = fetch(None) else { panic!() };
    assert_eq!(json_body(&lookup), json!({"file_id": "AgAC"}));
    let found = |path: &str| answer(200, &json!({"ok": true, "result": {"file_path": path}})).unwrap().ok();
    let Ok(Fetch::Download(download)) = fetch(found("photos/file_0.jpg")) else { panic!() };
    assert_eq!(written(&download.url), "https://api.telegram.org/file/bot{bot-token}/photos/file_0.jpg");
    for outside in ["/etc/passwd", "../x", "a/../b", "a?b", "a b", "a//b", "%2e%2e/x"] {
        assert!(fetch(found(outside)).is_err(), "{outside}");
    }
    let big = refused(400, "Bad Request: file is too big", &json!({})).unwrap().ok();
    assert!(matches!(fetch(big), Err(Error::Failed(why)) if why.contains("too big")));
}
