//! WhatsApp's refusals.

use serde_json::{Value, json};

use super::{Answered, ask, form};
use crate::platform::Scheme;
use crate::platform::whatsapp::{PHONE_NUMBER_ID, TOKEN, WhatsApp};

async fn call(whatsapp: &WhatsApp, body: Value) -> Answered {
    let url = format!("{}/v23.0/{PHONE_NUMBER_ID}/messages", whatsapp.origin());
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    ask("POST", &url, &headers, body.to_string()).await.expect("an answer")
}

#[tokio::test]
async fn what_the_cloud_api_does_not_take_is_refused_and_fails_the_test() {
    let whatsapp = WhatsApp::start(Scheme::Tls).await;
    whatsapp.says("4915100000001", "Hello");
    let text =
        |text: Value| json!({"messaging_product": "whatsapp", "to": "4915100000001", "type": "text", "text": text});
    let mut productless = text(json!({"body": "x"}));
    productless.as_object_mut().expect("an object").remove("messaging_product");
    let mut named = text(json!({"body": "x"}));
    named["to"] = "Ada".into();
    let mut reply = text(json!({"body": "x"}));
    reply["context"] = json!({"message_id": "wamid.none"});
    for body in [
        productless,
        named,
        reply,
        text(json!({"body": ""})),
        text(json!({"body": "x".repeat(4_097)})),
        text(json!({"text": "x"})),
        json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.none"}),
        json!({"messaging_product": "whatsapp", "to": "4915100000001", "type": "image", "image": {"id": "404"}}),
    ] {
        let answered = call(&whatsapp, body.clone()).await;
        assert_eq!((answered.status, whatsapp.desk().forgive().len()), (400, 1), "{body}");
    }
    let url = format!("{}/v23.0/{PHONE_NUMBER_ID}/messages", whatsapp.origin());
    assert_eq!(ask("POST", &url, &[("authorization", "Bearer no")], "{}").await.expect("an answer").status, 401);
    assert_eq!((whatsapp.desk().forgive().len(), whatsapp.messages().all().len()), (1, 0));

    // To be too late is no fault of the sender's.
    whatsapp.window_closes("4915100000001");
    let late = call(&whatsapp, text(json!({"body": "x"}))).await;
    assert_eq!((late.status, &late.json()["error"]["code"]), (400, &json!(131_047)));
}

#[tokio::test]
async fn media_go_up_before_they_are_sent() {
    let whatsapp = WhatsApp::start(Scheme::Tls).await;
    let hello = whatsapp.says("4915100000001", "Hello");
    let url = format!("{}/v23.0/{PHONE_NUMBER_ID}/media", whatsapp.origin());
    let authorization = format!("Bearer {TOKEN}");
    let (kind, body) = form(&[("messaging_product", None, "whatsapp"), ("file", Some("a.txt"), "content")]);
    let headers = [("authorization", authorization.as_str()), ("content-type", kind.as_str())];
    let media = ask("POST", &url, &headers, body).await.expect("an answer").json();
    let document = json!({"id": media["id"], "filename": "a.txt", "caption": "see"});
    let sent = call(
        &whatsapp,
        json!({
            "messaging_product": "whatsapp", "recipient_type": "individual", "to": "4915100000001",
            "type": "document", "document": document, "context": {"message_id": hello},
        }),
    );
    assert_eq!(sent.await.status, 200);
    let shown = whatsapp.shown("4915100000001", "see").await;
    assert_eq!((shown.reply_to, shown.file), (Some(hello), Some(("text/plain".to_owned(), b"content".to_vec()))));
}
