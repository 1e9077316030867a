//! Discord's refusals.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answered, Bot, ask, form};
use crate::platform::Scheme;
use crate::platform::discord::{Discord, Hangup, Intents, TOKEN};

async fn call(discord: &Discord, method: &str, path: &str, body: Value) -> Answered {
    let (authorization, url) = (format!("Bot {TOKEN}"), format!("{}/api/v10{path}", discord.origin()));
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("user-agent", "DiscordBot (https://example.org, 1)"),
    ];
    ask(method, &url, &headers, body.to_string()).await.expect("an answer")
}

#[tokio::test]
async fn what_the_rest_api_does_not_take_is_refused_and_fails_the_test() {
    let discord = Discord::start(Scheme::Tls).await;
    let channel = discord.text_channel("1").id;
    let messages = format!("/channels/{channel}/messages");
    let quiet = json!({"parse": []});
    for (method, path, body, status) in [
        ("POST", messages.as_str(), json!({"content": ""}), 400),
        ("POST", &messages, json!({"content": "x".repeat(2_001), "allowed_mentions": quiet}), 400),
        ("POST", &messages, json!({"content": "@everyone"}), 400),
        ("POST", &messages, json!({"content": "x", "allowed_mentions": quiet, "nonce": "n".repeat(26)}), 400),
        ("POST", &messages, json!({"content": "x", "allowed_mentions": quiet, "reply": 1}), 400),
        ("POST", &messages, json!({"content": 1, "allowed_mentions": quiet}), 400),
        ("POST", "/channels/404/messages", json!({"content": "x", "allowed_mentions": quiet}), 404),
        ("PATCH", &format!("{messages}/404"), json!({"content": "x"}), 404),
        ("PUT", &format!("{messages}/404/reactions/%F0%9F%91%8D/@me"), json!({}), 404),
        ("GET", "/nowhere", json!({}), 404),
    ] {
        let answered = call(&discord, method, path, body.clone()).await;
        assert_eq!(answered.status, status, "{method} {path} {body}");
        assert_eq!(discord.desk().forgive().len(), 1, "{method} {path} {body}");
    }
    let url = format!("{}/api/v10/users/@me", discord.origin());
    assert_eq!(ask("GET", &url, &[("authorization", "Bot wrong")], "").await.expect("an answer").status, 401);
    let nameless = [("authorization", &*format!("Bot {TOKEN}"))];
    assert_eq!(ask("GET", &url, &nameless, "").await.expect("an answer").status, 403);
    assert_eq!((discord.desk().forgive().len(), discord.messages().all().len()), (2, 0));
}

#[tokio::test]
async fn a_nonce_that_is_enforced_makes_one_message_of_two_sends() {
    let discord = Discord::start(Scheme::Tls).await;
    let channel = discord.direct();
    let path = format!("/channels/{}/messages", channel.id);
    let body = json!({"content": "once", "nonce": "n1", "enforce_nonce": true, "allowed_mentions": {"parse": []}});
    let first = call(&discord, "POST", &path, body.clone()).await.json();
    let second = call(&discord, "POST", &path, body).await.json();
    assert_eq!(first["id"], second["id"]);
    assert_eq!((discord.contents(&channel), discord.repeats()), (vec!["once".to_owned()], 1));
    let unenforced = json!({"content": "twice", "nonce": "n2", "allowed_mentions": {"parse": []}});
    for _ in 0..2 {
        call(&discord, "POST", &path, unenforced.clone()).await;
    }
    assert_eq!(discord.contents(&channel), ["once", "twice", "twice"]);
}

#[tokio::test]
async fn limits_are_told_and_kept_for_each_channel() {
    let discord = Discord::start(Scheme::Tls).await;
    discord.limit(2, Duration::from_secs(3_600));
    let (one, other) = (discord.direct(), discord.direct());
    let send = |channel: String| {
        let discord = &discord;
        async move {
            let body = json!({"content": "x", "allowed_mentions": {"parse": []}});
            call(discord, "POST", &format!("/channels/{channel}/messages"), body).await
        }
    };
    let remaining = |answered: &Answered| answered.header("x-ratelimit-remaining").to_owned();
    assert_eq!(remaining(&send(one.id.clone()).await), "1");
    assert_eq!(remaining(&send(one.id.clone()).await), "0");
    let limited = send(one.id.clone()).await;
    assert_eq!((limited.status, limited.header("x-ratelimit-scope"), discord.limited()), (429, "user", 1));
    assert!(limited.json()["retry_after"].as_f64().is_some_and(|seconds| seconds > 3_000.0));
    assert_eq!(send(other.id).await.status, 200);
}

#[tokio::test]
async fn files_stand_beside_their_message() {
    let discord = Discord::start(Scheme::Tls).await;
    let channel = discord.direct();
    let url = format!("{}/api/v10/channels/{}/messages", discord.origin(), channel.id);
    let authorization = format!("Bot {TOKEN}");
    let message = r#"{"content":"see","allowed_mentions":{"parse":[]},"attachments":[{"id":0,"filename":"a.txt"}]}"#;
    for (name, status) in [("files[0]", 200), ("files[1]", 400), ("file", 400)] {
        let (kind, body) = form(&[("payload_json", None, message), (name, Some("a.txt"), "content")]);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", kind.as_str()),
            ("user-agent", "DiscordBot (https://example.org, 1)"),
        ];
        assert_eq!(ask("POST", &url, &headers, body).await.expect("an answer").status, status, "{name}");
    }
    assert_eq!(discord.shown(&channel, "see").await.files, [("a.txt".to_owned(), b"content".to_vec())]);
    assert_eq!(discord.desk().forgive().len(), 2);
}

fn identify(intents: u64) -> Value {
    json!({"op": 2, "d": {
        "token": TOKEN, "intents": intents, "properties": {"os": "linux", "browser": "exo", "device": "exo"},
    }})
}

async fn connect(discord: &Discord) -> Bot {
    let mut bot = Bot::connect(&format!("{}/?v=10&encoding=json", discord.socket_origin())).await.expect("a gateway");
    assert_eq!(bot.read().await["op"], 10);
    bot
}

const INTENTS: u64 = Intents::GUILDS | Intents::GUILD_MESSAGES | Intents::DIRECT_MESSAGES | Intents::MESSAGE_CONTENT;

#[tokio::test]
async fn the_gateway_closes_on_who_breaks_its_rules() {
    let discord = Discord::start(Scheme::Plain).await;
    discord.gateway().grants(INTENTS);
    let mut wrong_token = identify(INTENTS);
    wrong_token["d"]["token"] = format!("Bot {TOKEN}").into();
    let mut unknown_field = identify(INTENTS);
    unknown_field["d"]["v"] = 10.into();
    let resume = json!({"op": 6, "d": {"token": TOKEN, "session_id": "session-1", "seq": "1"}});
    for (payload, code, violations) in [
        (wrong_token, 4004, 0),
        (unknown_field, 4002, 1),
        (identify(1 << 30), 4013, 1),
        (identify(INTENTS | 1 << 8), 4014, 0),
        (json!({"op": 99, "d": null}), 4001, 1),
        (json!({"op": 3, "d": {}}), 4003, 1),
        (json!({"op": 1, "d": 5}), 4002, 1),
        (resume, 4002, 1),
        (json!({"op": 1, "d": null, "t": "x".repeat(4_096)}), 4002, 1),
    ] {
        let mut bot = connect(&discord).await;
        bot.send(&payload).await;
        assert_eq!(bot.closed().await, Some(code), "{payload}");
        assert_eq!(discord.desk().forgive().len(), violations, "{payload}");
    }
    assert_eq!(Bot::connect(&format!("{}/?v=9", discord.socket_origin())).await.err(), Some(400));
    assert_eq!(discord.desk().forgive().len(), 1);
}

#[tokio::test]
async fn what_was_missed_comes_when_a_bot_resumes() {
    let discord = Discord::start(Scheme::Plain).await;
    let (channel, ada) = (discord.direct(), discord.user("Ada"));
    let mut bot = connect(&discord).await;
    bot.send(&identify(INTENTS)).await;
    let ready = bot.read().await;
    let session = ready["d"]["session_id"].as_str().expect("a session").to_owned();
    discord.says(&channel, &ada, "one");
    let one = bot.read().await;
    assert_eq!((one["d"]["content"].as_str(), one["s"].as_u64()), (Some("one"), Some(2)));
    bot.send(&json!({"op": 1, "d": 2})).await;
    assert_eq!(bot.read().await["op"], 11);

    discord.gateway().cuts();
    assert_eq!(bot.closed().await, None);
    discord.says(&channel, &ada, "two");
    let resume = |seq: u64| json!({"op": 6, "d": {"token": TOKEN, "session_id": session, "seq": seq}});
    let mut bot = connect(&discord).await;
    bot.send(&resume(2)).await;
    let (two, resumed) = (bot.read().await, bot.read().await);
    assert_eq!((two["d"]["content"].as_str(), resumed["t"].as_str()), (Some("two"), Some("RESUMED")));

    // A session that its bot has closed by 1000 is gone.
    bot.0
        .close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "".into() }))
        .await
        .expect("an open connection");
    bot.closed().await;
    discord.gateway().hangups().until("both ended", |hangups| hangups.len() == 2).await;
    assert_eq!(discord.gateway().hangups().all(), [Hangup::Discord, Hangup::Bot(1000)]);
    let mut bot = connect(&discord).await;
    bot.send(&resume(4)).await;
    assert_eq!(bot.read().await, json!({"op": 9, "d": false}));
}
