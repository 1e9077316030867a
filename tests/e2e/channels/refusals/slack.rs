//! Slack's refusals.

use serde_json::{Value, json};

use super::{Answered, Bot, ask};
use crate::platform::Scheme;
use crate::platform::slack::{APP_TOKEN, BOT_TOKEN, BOT_USER, Slack};

async fn call(slack: &Slack, method: &str, body: Value) -> Answered {
    let token = if method.starts_with("apps.") { APP_TOKEN } else { BOT_TOKEN };
    let (authorization, url) = (format!("Bearer {token}"), format!("{}/api/{method}", slack.origin()));
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json; charset=utf-8")];
    ask("POST", &url, &headers, body.to_string()).await.expect("an answer")
}

#[tokio::test]
async fn what_the_web_api_does_not_take_is_refused_and_fails_the_test() {
    let slack = Slack::start(Scheme::Tls).await;
    let channel = slack.direct().id;
    for (method, body, error) in [
        ("chat.postMessage", json!({"channel": channel, "text": ""}), "no_text"),
        ("chat.postMessage", json!({"channel": channel, "text": "x".repeat(40_001)}), "msg_too_long"),
        ("chat.postMessage", json!({"channel": channel, "text": "a < b"}), "invalid_text"),
        ("chat.postMessage", json!({"channel": channel, "text": "R&D"}), "invalid_text"),
        ("chat.postMessage", json!({"channel": channel, "text": "x", "thread": "1"}), "invalid_arguments"),
        ("chat.postMessage", json!({"channel": "C404", "text": "x"}), "channel_not_found"),
        ("chat.postMessage", json!({"channel": channel, "text": "x", "thread_ts": "1.2"}), "invalid_thread_ts"),
        ("chat.update", json!({"channel": channel, "ts": "1.2", "text": "x"}), "message_not_found"),
        ("reactions.add", json!({"channel": channel, "timestamp": "1.2", "name": "thumbsup"}), "message_not_found"),
        ("files.getUploadURLExternal", json!({"filename": "a", "length": 1}), "invalid_arguments"),
        ("chat.say", json!({}), "unknown_method"),
    ] {
        let answered = call(&slack, method, body.clone()).await;
        assert_eq!((answered.status, &answered.json()["error"]), (200, &json!(error)), "{method} {body}");
        assert_eq!(slack.desk().forgive().len(), 1, "{method} {body}");
    }
    assert_eq!(slack.messages().all(), []);
    let url = format!("{}/api/auth.test", slack.origin());
    let app = format!("Bearer {APP_TOKEN}");
    let answered = ask("POST", &url, &[("authorization", app.as_str())], "").await.expect("an answer");
    assert_eq!(answered.json()["error"], "invalid_auth");
    assert_eq!(ask("POST", &url, &[], "").await.expect("an answer").json()["error"], "not_authed");
    assert_eq!(slack.desk().forgive().len(), 2);
}

#[tokio::test]
async fn a_file_goes_up_in_three_steps_and_no_fewer() {
    let slack = Slack::start(Scheme::Tls).await;
    let channel = slack.public();
    let authorization = format!("Bearer {BOT_TOKEN}");
    let url = format!("{}/api/files.getUploadURLExternal", slack.origin());
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let place = ask("POST", &url, &headers, "filename=a.txt&length=7").await.expect("an answer").json();
    let (url, id) = (place["upload_url"].as_str().expect("a URL"), place["file_id"].as_str().expect("an id"));
    let complete = json!({"files": [{"id": id, "title": "a"}], "channel_id": channel.id, "initial_comment": "see"});
    assert_eq!(call(&slack, "files.completeUploadExternal", complete.clone()).await.json()["error"], "file_not_found");
    assert_eq!(ask("POST", url, &[], "content and more").await.expect("an answer").status, 400);
    assert_eq!(slack.desk().forgive().len(), 2);
    assert_eq!(ask("POST", url, &[], "content").await.expect("an answer").body, "OK - 7");
    assert_eq!(call(&slack, "files.completeUploadExternal", complete).await.json()["ok"], true);
    assert_eq!(slack.shown(&channel, "see").await.files, [("a.txt".to_owned(), b"content".to_vec())]);
}

#[tokio::test]
async fn envelopes_come_again_until_they_are_acknowledged() {
    let slack = Slack::start(Scheme::Plain).await;
    let (channel, user) = (slack.public(), slack.user());
    assert_eq!(Bot::connect(&format!("{}/link/?ticket=none", slack.socket_origin())).await.err(), Some(403));
    assert_eq!(slack.desk().forgive().len(), 1);
    let open = async || {
        let url = call(&slack, "apps.connections.open", json!({})).await.json();
        let url = url["url"].as_str().expect("a URL").to_owned();
        let mut bot = Bot::connect(&url).await.expect("a ticket");
        assert_eq!(bot.read().await["type"], "hello");
        (bot, url)
    };
    let (mut bot, url) = open().await;
    assert_eq!(Bot::connect(&url).await.err(), Some(403), "a ticket is good for one connection");
    assert_eq!(slack.desk().forgive().len(), 1);

    slack.says(&channel, &user, &format!("<@{BOT_USER}> hello"));
    let (message, mention) = (bot.read().await, bot.read().await);
    assert_eq!(message["payload"]["event"]["type"], "message");
    assert_eq!(mention["payload"]["event"]["type"], "app_mention");
    assert_eq!(message["payload"]["event"]["ts"], mention["payload"]["event"]["ts"]);
    bot.send(&json!({"envelope_id": message["envelope_id"]})).await;
    slack.socket_mode().acknowledged().until("one is", |acknowledged| acknowledged.len() == 1).await;
    slack.socket_mode().cuts();
    assert_eq!(bot.closed().await, None);

    let (mut bot, _) = open().await;
    let again = bot.read().await;
    assert_eq!((&again["envelope_id"], again["retry_attempt"].as_u64()), (&mention["envelope_id"], Some(1)));
    bot.send(&json!({"envelope_id": again["envelope_id"]})).await;
    slack.socket_mode().all_acknowledged().await;
    slack.socket_mode().refreshes();
    assert_eq!(bot.read().await["type"], "disconnect");
    bot.send(&json!({"envelope": "none"})).await;
    slack.socket_mode().acknowledged().until("two are", |acknowledged| acknowledged.len() == 2).await;
    bot.0.close(None).await.expect("an open connection");
    bot.closed().await;
    assert_eq!(slack.desk().forgive().len(), 1);
}
