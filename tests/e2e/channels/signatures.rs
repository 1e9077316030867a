//! Of a call that the platform did not make, nothing happens.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{answer_to, parrot, with};
use crate::harness::Client;
use crate::platform::telegram::WEBHOOK_SECRET;
use crate::platform::{
    Answer, Discord, GitHub, Hook, Issuer, Scheme, SigningKey, Slack, Telegram, Trouble, WhatsApp, discord, github,
    now, slack, whatsapp,
};

#[tokio::test]
async fn telegrams_calls_need_its_secret() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let channel = telegram.hooking();
    let gateway = with(&provider, &channel).start().await;
    telegram.hooked().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let update = |number: i64, text: &str| {
        json!({"update_id": number, "message": {
            "message_id": number, "date": now(), "text": text, "from": ada.json(),
            "chat": {"id": chat.id, "type": "private", "first_name": "Ada"},
        }})
    };
    let cut = &WEBHOOK_SECRET[..WEBHOOK_SECRET.len() - 1];
    for secret in ["", "wrong", cut, &format!("{WEBHOOK_SECRET} ")[1..]] {
        let headers = [("content-type", "application/json"), ("x-telegram-bot-api-secret-token", secret)];
        let answer = hook.post(&headers, update(1, "Forged").to_string()).await.expect("an answer");
        assert_eq!(answer.status, 401, "{secret:?}");
    }
    let none = hook.post(&[("content-type", "application/json")], update(1, "Forged").to_string()).await;
    assert_eq!(none.expect("an answer").status, 401);
    let header = [("content-type", "application/json"), ("x-telegram-bot-api-secret-token", WEBHOOK_SECRET)];
    assert_eq!(hook.post(&header, update(1, "True").to_string()).await.expect("an answer").status, 200);
    telegram.shown(&chat, &answer_to("True")).await;
    assert_eq!((provider.count(), telegram.texts(&chat).len()), (1, 1));
}

#[tokio::test]
async fn discords_interactions_need_its_signature() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let channel = discord.channel_table();
    let gateway = with(&provider, &channel).start().await;
    discord.gateway().identified(1).await;
    let hook = Hook::of(gateway.address(), channel.name());
    let (place, ada) = (discord.text_channel("900"), discord.user("Ada"));
    let asks =
        |text: &str| discord.interaction(&place, &ada, "ask", json!([{"name": "text", "type": 3, "value": text}]));
    let (ours, theirs) = (SigningKey::from_seed(discord::SIGNING_SEED), SigningKey::from_seed(8));
    for (key, at) in [(&theirs, now()), (&ours, now() - 3_600), (&ours, now() + 3_600)] {
        let answer = discord.push(&hook, &asks("Forged"), key, at).await.expect("an answer");
        assert_eq!(answer.status, 401);
    }
    // A true signature, of another body.
    let (timestamp, body) = (now().to_string(), asks("Forged").to_string());
    let signature = ours.sign(format!("{timestamp}{}", asks("True")).as_bytes());
    for signature in [signature.as_str(), &signature[2..], "", "zz"] {
        let headers = [("x-signature-ed25519", signature), ("x-signature-timestamp", timestamp.as_str())];
        assert_eq!(hook.post(&headers, body.clone()).await.expect("an answer").status, 401, "{signature:?}");
    }
    assert_eq!(discord.push(&hook, &asks("True"), &ours, now()).await.expect("an answer").status, 200);
    discord.shown(&place, &answer_to("True")).await;
    assert_eq!((provider.count(), discord.contents(&place).len()), (1, 1));
}

#[tokio::test]
async fn slacks_events_need_its_signature_of_now() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let channel = slack.hooking();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let (direct, user) = (slack.direct(), slack.user());
    let event = |text: &str, ts: &str| -> Value {
        slack.callback(json!({
            "type": "message", "user": user.id, "ts": ts, "event_ts": ts, "channel": direct.id, "channel_type": "im",
            "text": text,
        }))
    };
    let forged = event("Forged", "1700000000.000100");
    for (secret, at) in [
        ("another-secret-of-32-characters-", now()),
        (slack::SIGNING_SECRET, now() - 301),
        (slack::SIGNING_SECRET, now() + 310),
    ] {
        assert_eq!(slack.push(&hook, &forged, secret, at).await.expect("an answer").status, 401);
    }
    let right = slack.push(&hook, &event("True", "1700000000.000200"), slack::SIGNING_SECRET, now()).await;
    assert_eq!(right.expect("an answer").status, 200);
    slack.shown(&direct, &answer_to("True")).await;
    assert_eq!((provider.count(), slack.texts(&direct).len()), (1, 1));
}

#[tokio::test]
async fn whatsapps_calls_need_the_apps_signature() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, parrot().await);
    let channel = whatsapp.channel_table();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let ada = "4915100000001";
    let forged = whatsapp.message(ada, json!({"type": "text", "text": {"body": "Forged"}}));
    let forged = whatsapp.callback(ada, vec![forged]);
    assert_eq!(whatsapp.push(&hook, &forged, "another secret").await.expect("an answer").status, 401);
    whatsapp.pushes_to(hook);
    whatsapp.says(ada, "True");
    whatsapp.shown(ada, &answer_to("True")).await;
    assert_eq!((provider.count(), whatsapp.texts(ada).len()), (1, 1));
}

#[tokio::test]
async fn githubs_deliveries_need_its_signature() {
    let (github, provider) = (GitHub::start(Scheme::Tls).await, parrot().await);
    let channel = github.channel_table();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let forged = github.comment(7, "octocat", "@exoclaw-bot forged");
    assert_eq!(github.push(&hook, &forged, "one", "another secret").await.expect("an answer").status, 401);
    assert_eq!(hook.post(&[("x-github-event", "issue_comment")], "{}").await.expect("an answer").status, 401);
    let right = github.comment(7, "octocat", "@exoclaw-bot true");
    assert_eq!(github.push(&hook, &right, "two", github::SECRET).await.expect("an answer").status, 200);
    github.comments().until("a comment", |comments| comments.len() == 1).await;
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn a_secret_that_was_rotated_lets_nobody_in_any_more() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, parrot().await);
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let keys = home.path().join(".exoclaw");
    let channel = whatsapp.channel_table().filed(&keys);
    channel.keep(&keys, "app-secret", "the secret before");
    let gateway = with(&provider, &channel).home(&home).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let ada = "4915100000001";
    let call = |text: &str| {
        let message = whatsapp.message(ada, json!({"type": "text", "text": {"body": text}}));
        whatsapp.callback(ada, vec![message])
    };
    let (old, new) = ("the secret before", whatsapp::APP_SECRET);
    assert_eq!(whatsapp.push(&hook, &call("Before"), old).await.expect("an answer").status, 200);
    whatsapp.shown(ada, &answer_to("Before")).await;

    channel.keep(&keys, "app-secret", new);
    let mut client = Client::connect(&gateway).await;
    let report = client.call("plugin.reload", json!({"name": channel.name()})).await.expect("a report");
    assert_eq!(report["plugins"][0]["outcome"], "reloaded", "{report}");
    assert_eq!(whatsapp.push(&hook, &call("Forged"), old).await.expect("an answer").status, 401);
    assert_eq!(whatsapp.push(&hook, &call("True"), new).await.expect("an answer").status, 200);
    whatsapp.shown(ada, &answer_to("True")).await;
    assert_eq!((provider.count(), whatsapp.texts(ada).len()), (2, 2));
}

#[tokio::test]
async fn tokens_are_checked_by_the_keys_that_their_issuer_publishes() {
    let (issuer, provider) = (Issuer::start().await, parrot().await);
    let channel = issuer.channel_table("exoclaw");
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let call = async |token: String, text: &str| {
        let body = json!({"id": text, "sender": "ada", "peer": "ada", "text": text}).to_string();
        let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {token}"))];
        hook.post(&headers, body).await.expect("an answer").status
    };
    assert_eq!(call(issuer.token("exoclaw", 300), "True").await, 200);
    assert_eq!(call(issuer.forged("exoclaw"), "Forged").await, 401);
    assert_eq!(call(issuer.token("another", 300), "For another").await, 401);
    assert_eq!(call(issuer.token("exoclaw", -300), "Of yesterday").await, 401);
    assert_eq!(call(issuer.token("exoclaw", 300), "Also true").await, 200);
    provider.exchange(1).await;
    assert_eq!(provider.count(), 2);
    assert_eq!(issuer.desk().operations().all(), ["keys"], "they are kept");
}

#[tokio::test]
async fn without_the_issuers_keys_nobody_is_let_in_and_all_are_to_come_again() {
    let (issuer, provider) = (Issuer::start().await, parrot().await);
    let channel = issuer.channel_table("exoclaw");
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    issuer.desk().plan("keys", Trouble::Refuse(Answer::empty(500)));
    for token in [issuer.token("exoclaw", 300), issuer.forged("exoclaw")] {
        let authorization = format!("Bearer {token}");
        let answer = hook.post(&[("authorization", &authorization)], "{}").await.expect("an answer");
        assert_eq!(answer.status, 503);
    }
    assert_eq!((issuer.desk().operations().all().len(), provider.count()), (1, 0), "it is not asked for every call");
}
