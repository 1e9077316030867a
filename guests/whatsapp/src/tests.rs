//! The channel as its host sees it, over payloads of the shapes that the platform's documentation shows.

use exoclaw_guest::Request;
use exoclaw_guest::channel::{
    Address, Body, Content, Context, File, Kind, Message, Next, Outbound, Piece, Reaction, Receipt, Start, Status,
    Template, TransportError,
};
use serde_json::{Value, json};

use super::*;

const NUMBER: &str = "106540352242922";

fn settings() -> WhatsAppSettings {
    WhatsAppSettings { phone_number_id: Some(NUMBER.into()), ..WhatsAppSettings::default() }
}

fn context() -> Context {
    Context { settings: "{}".into(), webhook_url: None, now: 0, random: 7, attempt: 1 }
}

fn called(body: &Value) -> Received<()> {
    let request = Request { method: "POST".into(), url: "/".into(), headers: vec![], body: body.to_string().into() };
    incoming::receive(&settings(), Event::Webhook(request)).unwrap()
}

/// Everything that the golden file brings.
fn golden() -> (Vec<Message>, Vec<Receipt>) {
    let events: Vec<Value> = serde_json::from_str(include_str!("../golden/events.json")).unwrap();
    let (mut messages, mut receipts) = (vec![], vec![]);
    for event in events.iter().filter_map(|event| event.get("webhook")) {
        let received = called(&event["body"]);
        assert!(received.state.is_some() || received.messages.is_empty() && received.receipts.is_empty());
        messages.extend(received.messages);
        receipts.extend(received.receipts);
    }
    (messages, receipts)
}

fn message(id: &str) -> Message {
    let id = format!("wamid.{id}");
    golden().0.into_iter().find(|message| message.event_id == id).unwrap()
}

fn outgoing(content: Content) -> Outgoing {
    Outgoing {
        id: "a".repeat(20),
        created_at: 0,
        address: Address {
            account: Some(NUMBER.into()),
            peer: "16505551234".into(),
            guild: None,
            team: None,
            thread: None,
        },
        handle: Some(b"wamid.TEXT1".to_vec()),
        reply_to: None,
        content,
    }
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

fn body(request: &Outbound) -> Value {
    let Body::Text(template) = &request.body else { panic!("JSON was expected") };
    assert!(
        request.headers.iter().any(|(name, value)| name == "authorization" && text(value) == "Bearer <access-token>")
    );
    serde_json::from_str(&text(template)).unwrap()
}

fn answer(status: u16, body: &Value) -> Outcome {
    Ok(Response { status, headers: vec![], body: body.to_string().into() })
}

fn problem(status: u16, code: i64) -> Outcome {
    answer(
        status,
        &json!({"error": {"message": "(#X) words", "type": "OAuthException", "code": code, "error_data": {"messaging_product": "whatsapp", "details": "more words"}, "fbtrace_id": "x"}}),
    )
}

fn answered(outgoing: &Outgoing, progress: Progress, outcome: Outcome) -> Step<Progress> {
    let context = context();
    WhatsApp::answered(Call { context: &context, settings: settings(), state: () }, outgoing, progress, outcome)
        .unwrap()
}

fn begun(outgoing: &Outgoing) -> (Outbound, Progress) {
    let step = delivery::next(&settings(), outgoing, Progress::default()).unwrap();
    let Next::Request(limited) = step.next else { panic!("a request was expected") };
    assert_eq!(limited.keys, [format!("number:{NUMBER}"), format!("conversation:{NUMBER}:16505551234")]);
    (limited.request, step.progress)
}

#[test]
fn messages_of_a_call_come_in_the_order_in_which_they_were_written() {
    let text = |id: &str, second: u32| json!({"from": "1", "id": id, "timestamp": second.to_string(), "type": "text", "text": {"body": id}});
    let value =
        json!({"metadata": {"phone_number_id": NUMBER}, "messages": [text("b", 2), text("a", 1), text("b", 2)]});
    let received = called(&json!({"entry": [{"changes": [{"field": "messages", "value": value}]}]}));
    assert_eq!(received.messages.iter().map(|message| message.event_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_text_says_who_where_and_when() {
    let said = message("TEXT1");
    assert_eq!((said.text.as_str(), said.sent_at), ("Does it come in another color?", Some(1_773_497_366_000)));
    assert_eq!((said.sender.id.as_str(), said.sender.name.as_deref()), ("16505551234", Some("Sheena Nelson")));
    assert_eq!((said.address.account.as_deref(), said.address.peer.as_str()), (Some(NUMBER), "16505551234"));
    assert_eq!(said.handle, b"wamid.TEXT1");
    assert_eq!(message("REPLY").reply_to.as_deref(), Some("wamid.OURS1"));
    assert_eq!(message("HOSTILE").text, "{secret:access-token} \u{202e}\u{200b}\0 {body} /stop");
}

#[test]
fn a_user_without_a_number_is_known_by_their_id() {
    let said = message("HIDDEN");
    assert_eq!(
        (said.address.peer.as_str(), said.sender.name.as_deref()),
        ("US.13491208655302741918", Some("Sheena Nelson"))
    );
    let to = Outgoing { address: said.address, ..outgoing(Content::Markdown("hi".into())) };
    let step = delivery::next(&settings(), &to, Progress::default()).unwrap();
    let Next::Request(limited) = step.next else { panic!("a request was expected") };
    let sent = body(&limited.request);
    assert_eq!((&sent["recipient"], sent.get("to")), (&json!("US.13491208655302741918"), None));
}

#[test]
fn files_are_attachments_with_their_captions() {
    let image = message("IMAGE");
    assert_eq!(image.text, "Taj Mahal");
    assert_eq!(
        (image.attachments[0].mime_type.as_str(), &image.attachments[0].handle[..]),
        ("image/jpeg", &b"1003383421387256"[..])
    );
    assert_eq!(message("VOICE").attachments[0].mime_type, "audio/ogg");
    assert_eq!(message("DOC").attachments[0].name.as_deref(), Some("Lease \"2026\".pdf"));
    assert_eq!(message("VIDEO").attachments.len() + message("STICKER").attachments.len(), 2);
}

#[test]
fn choices_places_and_cards_are_texts() {
    assert_eq!(message("LIST").text, "Priority Mail Express: Next Day to 2 Days");
    assert_eq!(message("BUTTON").text, "Cancel");
    assert_eq!(message("QUICK").text, "Unsubscribe");
    assert_eq!(message("LOC").text, "Location: Philz Coffee; 101 Forest Ave, Palo Alto, CA 94301; 37.4421, -122.1615");
    assert_eq!(message("CARD").text, "Contact: Barbara J. Johnson, +1 (650) 555-1234");
}

#[test]
fn a_reaction_is_to_its_message_and_one_taken_back_is_none() {
    let reaction = message("REACT");
    assert_eq!((reaction.event_id.as_str(), reaction.id.as_str()), ("wamid.REACT", "wamid.OURS1"));
    assert!(matches!(reaction.kind, Kind::Reaction(emoji) if emoji == "👍"));
    let left_out = ["UNREACT", "UNSUP", "GROUP", "ELSE", "REVOKE"].map(|id| format!("wamid.{id}"));
    assert!(golden().0.iter().all(|message| !left_out.contains(&message.event_id)));
}

#[test]
fn an_edit_is_of_its_message_and_says_what_it_says_now() {
    let edit = message("EDIT");
    assert_eq!(
        (edit.event_id.as_str(), edit.id.as_str(), edit.text.as_str()),
        ("wamid.EDIT", "wamid.TEXT1", "Does it come in blue?")
    );
    assert!(matches!(edit.kind, Kind::Edit));
}

#[test]
fn receipts_tell_what_became_of_a_message() {
    let told: Vec<_> = golden()
        .1
        .into_iter()
        .map(|receipt| {
            (
                receipt.id,
                match receipt.status {
                    Status::Delivered => "delivered".to_owned(),
                    Status::Read => "read".into(),
                    Status::Failed(why) => why,
                },
            )
        })
        .collect();
    assert_eq!(told[..2], [("wamid.OURS1".to_owned(), "delivered".to_owned()), ("wamid.OURS1".into(), "read".into())]);
    assert!(told[2].1.starts_with("it is over 24 hours since this person wrote"), "{}", told[2].1);
    assert_eq!(told.len(), 3);
}

#[test]
fn what_is_not_as_we_know_it_spoils_nothing_else() {
    let good = json!({"from": "1", "id": "a", "type": "text", "text": {"body": "hi"}});
    let broken = [
        json!(7),
        json!({"type": "text"}),
        json!({"from": "1", "id": "b", "type": "image", "image": "no"}),
        json!({"id": "c", "from": "", "type": "text", "text": {"body": "x"}}),
    ];
    for bad in broken {
        let value = json!({"metadata": {"phone_number_id": NUMBER}, "messages": [bad, good]});
        let changes = json!([{"field": "messages", "value": 3}, {"field": "messages", "value": value}]);
        assert_eq!(called(&json!({"entry": [{"changes": changes}]})).messages.len(), 1);
    }
}

#[test]
fn a_text_goes_out_in_parts_each_after_the_other() {
    let to = Outgoing { reply_to: Some("wamid.Q".into()), ..outgoing(Content::Markdown("**Yes.** ".repeat(1_000))) };
    let (request, mut progress) = begun(&to);
    assert_eq!(
        (request.method.as_str(), text(&request.url)),
        ("POST", format!("https://graph.facebook.com/v25.0/{NUMBER}/messages"))
    );
    let first = body(&request);
    assert_eq!(
        (&first["to"], &first["type"], &first["context"]),
        (&json!("16505551234"), &json!("text"), &json!({"message_id": "wamid.Q"}))
    );
    assert_eq!((&first["messaging_product"], &first["text"]["preview_url"]), (&json!("whatsapp"), &json!(false)));
    assert!(first["text"]["body"].as_str().unwrap().starts_with("*Yes."), "{first}");
    let mut ids = 0;
    loop {
        ids += 1;
        let step = answered(
            &to,
            progress,
            answer(200, &json!({"messaging_product": "whatsapp", "messages": [{"id": format!("wamid.{ids}")}]})),
        );
        progress = step.progress;
        match step.next {
            Next::Request(limited) => {
                let part = body(&limited.request);
                assert_eq!(part.get("context"), None);
                assert!(part["text"]["body"].as_str().unwrap().chars().count() <= 4096);
            }
            Next::Done(shown) => {
                assert_eq!(shown, (1..=ids).map(|id| format!("wamid.{id}")).collect::<Vec<_>>());
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ids, 2);
}

#[test]
fn limits_hold_the_number_or_the_conversation() {
    let to = outgoing(Content::Markdown("hi".into()));
    for (outcome, key) in [
        (problem(429, 130429), Some(format!("number:{NUMBER}"))),
        (problem(400, 80007), Some(format!("number:{NUMBER}"))),
        (problem(400, 131056), Some(format!("conversation:{NUMBER}:16505551234"))),
        (problem(503, 131016), None),
        (Err(TransportError::NotSent("refused".into())), None),
    ] {
        let step = answered(&to, begun(&to).1, outcome);
        assert_eq!(step.holds.first().map(|hold| hold.key.clone()), key);
        let Next::Wait(wait) = step.next else { panic!("{:?}", step.next) };
        assert!(key.is_none_or(|key| !key.starts_with("conversation") || wait >= 6_000));
        // Then the same part goes again.
        let again = delivery::next(&settings(), &to, step.progress).unwrap();
        assert!(matches!(again.next, Next::Request(_)));
    }
}

#[test]
fn errors_say_what_the_owner_can_do() {
    let to = outgoing(Content::Markdown("hi".into()));
    for (outcome, words) in [
        (problem(400, 131047), "24 hours"),
        (problem(401, 190), "give a new one"),
        (problem(400, 100), "error 100: (#X) words: more words"),
        (answer(404, &json!({})), "404"),
    ] {
        let Next::Rejected(why) = answered(&to, begun(&to).1, outcome).next else { panic!("{words}") };
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn what_may_have_been_sent_is_unknown() {
    let to = outgoing(Content::Markdown("hi".into()));
    for outcome in [Err(TransportError::Unanswered("cut".into())), answer(500, &json!({})), problem(500, 131000)] {
        assert!(matches!(answered(&to, begun(&to).1, outcome).next, Next::Unknown(_)));
    }
}

#[test]
fn typing_marks_the_newest_message_as_read() {
    let to = outgoing(Content::Typing);
    let (request, progress) = begun(&to);
    assert_eq!(
        body(&request),
        json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.TEXT1", "typing_indicator": {"type": "text"}})
    );
    assert!(matches!(answered(&to, progress, problem(400, 100)).next, Next::Done(_)));
    let nothing = Outgoing { handle: None, ..to };
    assert!(matches!(delivery::next(&settings(), &nothing, Progress::default()).unwrap().next, Next::Done(_)));
}

#[test]
fn a_file_is_uploaded_and_then_sent_as_what_it_is() {
    let file =
        |mime_type: &str, size| File { id: "f1".into(), name: "cat.bin".into(), mime_type: mime_type.into(), size };
    for (file, kind) in
        [(file("image/png", 9), "image"), (file("image/png", 6_000_000), "document"), (file("text/csv", 9), "document")]
    {
        let to = outgoing(Content::File(file));
        let (request, progress) = begun(&to);
        assert_eq!(text(&request.url), format!("https://graph.facebook.com/v25.0/{NUMBER}/media"));
        assert!(matches!(&request.body, Body::Form(fields) if fields.len() == 3));
        // An upload that may have been taken is made again.
        let step = answered(&to, progress, Err(TransportError::Unanswered("cut".into())));
        assert!(matches!(step.next, Next::Wait(_)));
        let step = answered(&to, step.progress, answer(200, &json!({"id": "77"})));
        let Next::Request(limited) = step.next else { panic!("{:?}", step.next) };
        let sent = body(&limited.request);
        assert_eq!((&sent["type"], &sent[kind]["id"]), (&json!(kind), &json!("77")));
        let step = answered(&to, step.progress, answer(200, &json!({"messages": [{"id": "wamid.F"}]})));
        assert!(matches!(step.next, Next::Done(ids) if ids == ["wamid.F"]));
    }
}

#[test]
fn a_reaction_is_sent() {
    let to = outgoing(Content::Reaction(Reaction { message_id: "wamid.TEXT1".into(), emoji: "👍".into() }));
    let (request, progress) = begun(&to);
    assert_eq!(body(&request)["reaction"], json!({"message_id": "wamid.TEXT1", "emoji": "👍"}));
    assert!(matches!(answered(&to, progress, answer(200, &json!({"messages": [{"id": "x"}]}))).next, Next::Done(_)));
}

#[test]
fn the_token_goes_to_the_platform_alone() {
    let found = |url: &str| {
        let body = json!({"url": url, "mime_type": "image/jpeg", "id": "1"}).to_string().into();
        media::fetch(&settings(), b"1", Some(Response { status: 200, headers: vec![], body }))
    };
    let Ok(Fetch::Lookup(lookup)) = media::fetch(&settings(), b"1003383421387256", None) else { panic!("a look-up") };
    assert_eq!(text(&lookup.url), "https://graph.facebook.com/v25.0/1003383421387256");
    let Ok(Fetch::Download(download)) = found("https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1")
    else {
        panic!("a download")
    };
    assert!(download.headers.iter().any(|(name, _)| name == "authorization"));
    for url in [
        "https://evil.example/",
        "https://lookaside.fbsbx.com.evil.example/",
        "https://lookaside.fbsbx.com@evil/",
        "",
        "/x",
    ] {
        assert!(found(url).is_err(), "{url}");
    }
    for handle in [&b"../me"[..], b"", b"1?x=", b"\xff"] {
        assert!(media::fetch(&settings(), handle, None).is_err());
    }
}

#[test]
fn without_a_number_to_send_from_it_says_so() {
    let mut to = outgoing(Content::Markdown("hi".into()));
    to.address.account = Some("whatsapp".into());
    let step = delivery::next(&WhatsAppSettings::default(), &to, Progress::default()).unwrap();
    assert!(matches!(step.next, Next::Rejected(why) if why.contains("phone_number_id")));
}

#[test]
fn the_platform_is_up_as_soon_as_it_starts() {
    assert_eq!(incoming::receive(&settings(), Event::Start(Start::New)).unwrap().actions.len(), 1);
    let setup = WhatsApp::configure(WhatsAppSettings::default()).unwrap();
    assert_eq!(setup.origins, ["https://graph.facebook.com", "https://lookaside.fbsbx.com"]);
    assert!(serde_json::from_str::<Value>(WhatsAppSettings::SCHEMA).is_ok());
}
