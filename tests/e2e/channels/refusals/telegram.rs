//! Telegram's refusals.

use serde_json::{Value, json};

use super::{Answered, ask, form};
use crate::harness::Gate;
use crate::platform::telegram::{TOKEN, Telegram};
use crate::platform::{Scheme, Trouble};

async fn call(telegram: &Telegram, method: &str, body: Value) -> Answered {
    let url = format!("{}/bot{TOKEN}/{method}", telegram.origin());
    ask("POST", &url, &[("content-type", "application/json")], body.to_string()).await.expect("an answer")
}

/// Calls what must be refused, and returns the description.
async fn refused(telegram: &Telegram, method: &str, body: Value) -> String {
    let answered = call(telegram, method, body).await;
    assert_eq!(answered.json()["ok"], false, "{answered:?}");
    assert_eq!(telegram.desk().forgive().len(), 1, "a refusal fails the test");
    answered.json()["description"].as_str().expect("a description").to_owned()
}

#[tokio::test]
async fn what_the_bot_api_does_not_take_is_refused_and_fails_the_test() {
    let telegram = Telegram::start(Scheme::Tls).await;
    let (chat, _) = telegram.private("Ada");
    let id = chat.id;
    for (method, body, why) in [
        ("sendMessage", json!({"chat_id": id}), "`text` is missing"),
        ("sendMessage", json!({"chat_id": id, "text": 5}), "`text` must be Text"),
        ("sendMessage", json!({"chat_id": id, "text": "x", "txet": "x"}), "`txet` is no field"),
        ("sendMessage", json!({"chat_id": 404, "text": "x"}), "chat not found"),
        ("sendMessage", json!({"chat_id": id, "text": " "}), "message text is empty"),
        ("sendMessage", json!({"chat_id": id, "text": "é".repeat(4097)}), "message is too long"),
        ("sendMessage", json!({"chat_id": id, "text": "𝄞".repeat(2049)}), "message is too long"),
        ("sendMessage", json!({"chat_id": id, "text": "<b>x", "parse_mode": "HTML"}), "Can't find end tag"),
        ("sendMessage", json!({"chat_id": id, "text": "<b><i>x</b></i>", "parse_mode": "HTML"}), "Unmatched end tag"),
        ("sendMessage", json!({"chat_id": id, "text": "a </b>", "parse_mode": "HTML"}), "Unexpected end tag"),
        ("sendMessage", json!({"chat_id": id, "text": "1 < 2", "parse_mode": "HTML"}), "Unclosed start tag"),
        ("sendMessage", json!({"chat_id": id, "text": "<h1>x</h1>", "parse_mode": "HTML"}), "Unsupported start tag"),
        ("sendMessage", json!({"chat_id": id, "text": "R&D", "parse_mode": "HTML"}), "an `&` stands for itself"),
        ("sendMessage", json!({"chat_id": id, "text": "x", "message_thread_id": 1}), "message thread not found"),
        (
            "sendMessage",
            json!({"chat_id": id, "text": "x", "reply_parameters": {"message_id": 9}}),
            "replied not found",
        ),
        ("editMessageText", json!({"chat_id": id, "message_id": 9, "text": "x"}), "message to edit not found"),
        ("sendChatAction", json!({"chat_id": id, "action": "dance"}), "`action` must be"),
        ("getUpdates", json!({"limit": 101}), "a limit of 101"),
        ("getUpdates", json!({"allowed_updates": ["messages"]}), "`allowed_updates` must be"),
        ("setWebhook", json!({"url": "http://bot.example/"}), "An HTTPS URL"),
        ("setWebhook", json!({"url": "https://bot.example/", "secret_token": "not so!"}), "unallowed characters"),
        ("sendMessages", json!({"chat_id": id, "text": "x"}), "Not Found"),
    ] {
        let said = refused(&telegram, method, body).await;
        assert!(said.contains(why), "{method}: {said:?} instead of {why:?}");
    }
    assert_eq!(telegram.messages().all(), [], "nothing of it was shown");

    let url = format!("{}/bot1:wrong/getMe", telegram.origin());
    assert_eq!(ask("GET", &url, &[], "").await.expect("an answer").status, 401);
    assert_eq!(telegram.desk().forgive().len(), 1);
}

#[tokio::test]
async fn a_message_is_shown_as_its_entities_say() {
    let telegram = Telegram::start(Scheme::Tls).await;
    let (chat, ada) = telegram.private("Ada");
    let number = telegram.says(&chat, &ada, "Hello");
    let text =
        "<b>1 &lt; 2</b> <a href=\"https://a.example\">there</a>\n<pre><code class=\"language-rust\">x</code></pre>";
    let body = json!({
        "chat_id": chat.id.to_string(), "text": text, "parse_mode": "HTML", "reply_parameters": {"message_id": number},
    });
    let sent = call(&telegram, "sendMessage", body).await.json();
    let shown = telegram.shown(&chat, "1 < 2 there\nx").await;
    assert_eq!((shown.reply_to, &sent["result"]["message_id"]), (Some(number), &shown.number.into()));

    let edit = json!({"chat_id": chat.id, "message_id": shown.number, "text": "Now so"});
    assert_eq!(call(&telegram, "editMessageText", edit.clone()).await.status, 200);
    assert_eq!(telegram.shown(&chat, "Now so").await.earlier, ["1 < 2 there\nx"]);
    // Who edits again after a crash is told so, and has done nothing wrong.
    let again = call(&telegram, "editMessageText", edit).await;
    assert!(again.json()["description"].as_str().is_some_and(|said| said.contains("message is not modified")));
}

#[tokio::test]
async fn updates_wait_until_they_are_confirmed_and_only_one_may_poll() {
    let telegram = Telegram::start(Scheme::Tls).await;
    let (chat, ada) = telegram.private("Ada");
    for text in ["one", "two", "three"] {
        telegram.says(&chat, &ada, text);
    }
    let texts = |answered: Answered| -> Vec<(i64, String)> {
        let updates = answered.json()["result"].as_array().expect("a list").clone();
        let text = |update: &Value| {
            (update["update_id"].as_i64().expect("an id"), update["message"]["text"].as_str().expect("a text").into())
        };
        updates.iter().map(text).collect()
    };
    let first = texts(call(&telegram, "getUpdates", json!({"limit": 2})).await);
    assert_eq!(first.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(texts(call(&telegram, "getUpdates", json!({"limit": 2})).await), first, "not confirmed, not gone");
    let rest = texts(call(&telegram, "getUpdates", json!({"offset": first[1].0 + 1})).await);
    assert_eq!(rest.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["three"]);

    let next = rest[0].0 + 1;
    let poll = call(&telegram, "getUpdates", json!({"offset": next, "timeout": 50}));
    let other = async {
        // The first is under way once it has confirmed what came before it.
        telegram.all_confirmed().await;
        call(&telegram, "getUpdates", json!({"offset": next})).await
    };
    let (poll, other) = tokio::join!(poll, other);
    assert_eq!((poll.status, other.status, telegram.conflicts()), (409, 200, 1));

    telegram.reacts(&chat, &ada, 1, "👍");
    assert_eq!(telegram.unconfirmed(), 0, "reactions are told to those who ask for them");
    call(&telegram, "getUpdates", json!({"allowed_updates": ["message", "message_reaction"]})).await;
    telegram.reacts(&chat, &ada, 1, "👍");
    assert_eq!(telegram.unconfirmed(), 1);
}

#[tokio::test]
async fn a_file_comes_in_a_whole_form_or_not_at_all() {
    let telegram = Telegram::start(Scheme::Tls).await;
    let (chat, _) = telegram.private("Ada");
    let id = chat.id.to_string();
    let url = format!("{}/bot{TOKEN}/sendDocument", telegram.origin());
    let (kind, whole) =
        form(&[("chat_id", None, &id), ("caption", None, "42"), ("document", Some("a.txt"), "the content")]);
    let answered = ask("POST", &url, &[("content-type", &kind)], whole.clone()).await.expect("an answer");
    assert_eq!(answered.status, 200, "{answered:?}");
    let file = telegram.shown(&chat, "42").await.file.expect("a file");
    assert_eq!((file.name.as_str(), file.bytes.as_slice()), ("a.txt", &b"the content"[..]));

    let (_, twice) = form(&[("chat_id", None, &id), ("chat_id", None, &id), ("document", Some("a.txt"), "x")]);
    let (_, other) = form(&[("chat_id", None, &id), ("file", Some("a.txt"), "x")]);
    let (_, none) = form(&[("chat_id", None, &id)]);
    for broken in [&whole[..whole.len() - 6], &whole.replace("\r\n", "\n"), &twice, &other, &none] {
        let answered = ask("POST", &url, &[("content-type", &kind)], broken.to_owned()).await.expect("an answer");
        assert_eq!((answered.status, telegram.desk().forgive().len()), (400, 1), "{broken}");
    }
    let uploaded = telegram.upload("documents/file_0.txt", b"of a user");
    let file = call(&telegram, "getFile", json!({"file_id": uploaded})).await.json();
    let path = file["result"]["file_path"].as_str().expect("a path").to_owned();
    let url = format!("{}/file/bot{TOKEN}/{path}", telegram.origin());
    assert_eq!(ask("GET", &url, &[], "").await.expect("an answer").body, "of a user");
}

#[tokio::test]
async fn troubles_come_as_they_are_planned() {
    let telegram = Telegram::start(Scheme::Tls).await;
    let (chat, _) = telegram.private("Ada");
    let url = format!("{}/bot{TOKEN}/sendMessage", telegram.origin());
    let send = |text: &str| {
        let body = json!({"chat_id": chat.id, "text": text}).to_string();
        ask("POST", &url, &[("content-type", "application/json")], body)
    };
    telegram.desk().plan("sendMessage", Trouble::DropBefore);
    telegram.desk().plan("sendMessage", Trouble::DropAfter);
    assert!(send("lost").await.is_err(), "nothing is answered");
    assert!(send("kept").await.is_err(), "nothing is answered");
    assert_eq!(telegram.texts(&chat), ["kept"]);
    assert!(!telegram.desk().was_answered(telegram.messages().all()[0].request));

    let gate = Gate::new();
    telegram.desk().plan("sendMessage", Trouble::AnswerLate(gate.clone()));
    let shown = async {
        telegram.shown(&chat, "late").await;
        gate.open();
    };
    let (answered, ()) = tokio::join!(send("late"), shown);
    assert_eq!(answered.expect("an answer").status, 200);

    telegram.floods(&chat, "sendMessage", 3_600);
    let flood = send("much").await.expect("an answer");
    assert_eq!((flood.status, &flood.json()["parameters"]["retry_after"]), (429, &json!(3_600)));
    assert_eq!(telegram.desk().forgive(), Vec::<String>::new(), "to be refused once is no fault");
    assert_eq!(send("at once again").await.expect("an answer").status, 429);
    assert_eq!(telegram.desk().forgive().len(), 1, "not to wait is one");
    assert!(telegram.desk().is_calm());
}
