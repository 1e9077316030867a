//! Calls that the gateway cannot take now are told to come again, and are not lost.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{answer_to, parrot, with};
use crate::harness::{Gate, Gateway, within};
use crate::platform::slack::SIGNING_SECRET;
use crate::platform::{Hook, Scheme, Slack, Trouble, WhatsApp, now};

const ADA: &str = "4915100000001";

#[tokio::test]
async fn a_gateway_that_goes_down_has_webhooks_come_again_to_its_end() {
    let (slack, provider, never) = (Slack::start(Scheme::Tls).await, parrot().await, Gate::new());
    let channel = slack.hooking();
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let mut gateway = with(&provider, &channel).home(&home).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    slack.pushes_to(hook.clone());
    let (direct, user) = (slack.direct(), slack.user());
    // What is being sent holds the channels up for a while.
    slack.desk().plan("chat.postMessage", Trouble::ActLate(never));
    slack.says(&direct, &user, "First");
    slack.desk().operations().find("it is being answered", |operation| operation == "chat.postMessage").await;

    gateway.terminate();
    within("/readyz says 503", async { while gateway.get("/readyz").await.status != 503 {} }).await;
    let late = slack.callback(serde_json::json!({
        "type": "message", "user": user.id, "ts": "1700000000.000100", "event_ts": "1700000000.000100",
        "channel": direct.id, "channel_type": "im", "text": "Late",
    }));
    let mut statuses = Vec::new();
    while let Ok(answer) = slack.push(&hook, &late, SIGNING_SECRET, now()).await {
        assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"), "{answer:?}");
        statuses.push(answer.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 503), "{statuses:?}");
    assert_eq!(gateway.ended().await.0, Some(0));

    let gateway = with(&provider, &channel).home(&home).start().await;
    slack.pushes_to(Hook::of(gateway.address(), channel.name()));
    slack.tells(late);
    slack.shown(&direct, &answer_to("Late")).await;
    assert_eq!(slack.texts(&direct), [answer_to("First"), answer_to("Late")]);
    assert_eq!(provider.count(), 2);
}

/// Lets the process's files grow so far, in bytes, or as far as they want.
fn limit_files(gateway: &Gateway, limit: &str) {
    let process = gateway.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={limit}:")]).status();
    assert!(status.expect("prlimit runs").success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_that_cannot_be_stored_come_again_until_they_can() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, parrot().await);
    let channel = whatsapp.channel_table();
    // Who ignores the signal is told that the file is too large: a disk that takes no more.
    let gateway = with(&provider, &channel).ignoring("XFSZ").start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    limit_files(&gateway, "1");
    whatsapp.pushes_to(hook);
    whatsapp.says(ADA, "Hello");
    whatsapp.pushes().until("it was tried", |pushes| pushes.len() >= 2).await;
    within("/readyz says 503", async { while gateway.get("/readyz").await.status != 503 {} }).await;
    limit_files(&gateway, "unlimited");
    whatsapp.shown(ADA, &answer_to("Hello")).await;
    let mut pushes = whatsapp.pushes().all();
    assert_eq!(pushes.pop(), Some(200));
    assert!(pushes.iter().all(|status| *status == 503), "{pushes:?}");
    assert_eq!((provider.count(), whatsapp.texts(ADA).len()), (1, 1));
}
