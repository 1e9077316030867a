//! Channels, as clients are told of them.

use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::channel::webhook::{Endpoint, WebhookReading, Webhooks};
use crate::channel::{ChannelHealth, ChannelStatus, Received, ReplayError, Sent, WebhookStatus};
use crate::store::{
    ChannelCommit, EventId, Incoming, NewPairing, NewSetAside, SetAside, SetAsideId, Writer, WriterKind,
};

/// Two channels, of which the first puts up with what is replayed to it the second time.
#[derive(Default)]
struct Two {
    replayed: Mutex<Vec<SetAsideId>>,
}

impl Webhooks for Two {
    fn endpoint(&self, _: &str) -> Option<Endpoint> {
        None
    }
}

impl ChannelDirectory for Two {
    fn channels(&self) -> Vec<ChannelStatus> {
        let status = |name: &str, health, webhook| ChannelStatus {
            name: name.to_owned(),
            platform: "test".to_owned(),
            health,
            since: Timestamp(1_000),
            webhook,
            received: Received { events: 7, messages: 3, noted: 2, repeats: 1, set_aside: 1 },
            sent: Sent { delivered: 5, dead: 1, unknown: 0 },
        };
        let calls = WebhookReading { taken: 7, refused: 9, ..WebhookReading::default() };
        let webhook = WebhookStatus { url: Some("https://bot.example/webhook/slack".to_owned()), calls };
        vec![
            status("slack", ChannelHealth::Ready, Some(webhook)),
            status("irc", ChannelHealth::Failed { detail: "the password is wrong".to_owned() }, None),
        ]
    }

    fn replay(&self, event: SetAside) -> BoxFuture<'static, std::result::Result<(), ReplayError>> {
        let outcome = match event.channel.as_str() {
            "slack" => {
                let mut replayed = self.replayed.lock().unwrap();
                replayed.push(event.id);
                if replayed.len() > 1 { Ok(()) } else { Err(ReplayError::Stays("a trap: unreachable".to_owned())) }
            }
            other => Err(ReplayError::NoChannel(other.to_owned())),
        };
        future::ready(outcome).boxed()
    }
}

/// Sets events aside, and has someone ask to be let in.
async fn fill(gateway: &Running) -> Result {
    let store = gateway.dispatcher.store();
    let commit = |channel: &str, event: &[u8], incoming| ChannelCommit {
        channel: channel.to_owned(),
        epoch: Epoch(0),
        state: None,
        incoming,
        receipts: Vec::new(),
        set_aside: Some(NewSetAside { event: Bytes::copy_from_slice(event), reason: "a trap".to_owned() }),
        replays: None,
        now: Timestamp::now(),
    };
    for (n, kind) in [(1, WriterKind::Direct), (2, WriterKind::Group)] {
        let writer = Writer { channel: "slack".into(), account: "bot".into(), kind, id: "U1".into() };
        let code = format!("K7QM2XP{n}");
        let pairing = NewPairing { writer, name: Some("Ann".into()), code, now: Timestamp::now() };
        let event = EventId { account: "bot".into(), id: n.to_string() };
        let incoming = Incoming { event, accept: None, replies: Vec::new(), pairing: Some(pairing) };
        store.channel_commit(commit("slack", "{\"text\":\"\u{202e}hi\n\"}".as_bytes(), vec![incoming])).await?;
    }
    store.channel_commit(commit("gone", &[0xff; 1000], Vec::new())).await?;
    Ok(())
}

#[tokio::test]
async fn a_channel_that_failed_is_told_and_takes_nobody_elses_gateway_away() -> Result {
    let gateway = start_with(&config(), None, Arc::new(Two::default()))?;
    let ready = gateway.get("/readyz").await?;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("\r\n\r\nready\nchannel irc: failed"), "{ready}");
    let mut client = gateway.client().await?;
    let status = client.result("status", json!({})).await?;
    assert_eq!(
        status["channels"],
        json!([
            { "name": "irc", "platform": "test", "state": "failed", "detail": "the password is wrong", "since": 1000 },
            { "name": "slack", "platform": "test", "state": "ready", "since": 1000 },
        ])
    );
    let first = client.result("channel.list", json!({ "limit": 1 })).await?;
    assert_eq!((&first["channels"][0]["name"], &first["next"]), (&json!("irc"), &json!("irc")));
    let second = client.result("channel.list", json!({ "after": "irc" })).await?;
    let slack = &second["channels"][0];
    assert_eq!((&slack["received"]["messages"], &slack["sent"]["dead"]), (&json!(3), &json!(1)), "{slack}");
    assert_eq!((&slack["webhook"]["refused"], &second["next"]), (&json!(9), &json!(null)), "{second}");
    let metrics = gateway.get("/metrics").await?;
    for line in [
        "exoclaw_channel_ready{channel=\"irc\"} 0\n",
        "exoclaw_channel_ready{channel=\"slack\"} 1\n",
        "exoclaw_channel_messages_total{channel=\"slack\",outcome=\"repeat\"} 1\n",
        "exoclaw_channel_deliveries_total{channel=\"irc\",outcome=\"delivered\"} 5\n",
        "exoclaw_webhook_calls_total{channel=\"slack\",outcome=\"refused\"} 9\n",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert!(!metrics.contains("exoclaw_webhook_calls_total{channel=\"irc\""));
    gateway.stop().await
}

#[tokio::test]
async fn events_that_were_set_aside_are_listed_replayed_and_dropped() -> Result {
    let gateway = start_with(&config(), None, Arc::new(Two::default()))?;
    fill(&gateway).await?;
    let mut client = gateway.client().await?;
    let first = client.result("channel.events", json!({ "limit": 2 })).await?;
    let events = first["events"].as_array().ok_or("no events")?;
    assert_eq!((events.len(), &events[0]["channel"], &events[0]["reason"]), (2, &json!("slack"), &json!("a trap")));
    let excerpt = events[0]["excerpt"].as_str().ok_or("no excerpt")?;
    assert!(!excerpt.contains(['\n', '\u{202e}']), "{excerpt}");
    let rest = client.result("channel.events", json!({ "after": first["next"] })).await?;
    assert_eq!((&rest["events"][0]["size"], &rest["next"]), (&json!(1000), &json!(null)), "{rest}");
    let of_gone = client.result("channel.events", json!({ "channel": "gone" })).await?;
    assert_eq!(of_gone["events"].as_array().map(Vec::len), Some(1));

    let id = events[1]["id"].clone();
    let stays = client.result("channel.replay", json!({ "id": id })).await?;
    assert_eq!(stays, json!({ "replayed": false, "reason": "a trap: unreachable" }));
    let past = client.result("channel.replay", json!({ "id": id })).await?;
    assert_eq!(past, json!({ "replayed": true, "reason": null }));
    for (id, why) in [(rest["events"][0]["id"].clone(), "no channel `gone`"), (json!(9999), "no event 9999")] {
        let error = client.call("channel.replay", json!({ "id": id })).await?.err().ok_or("replayed")?;
        assert_eq!(error["code"], -32007);
        assert!(error["message"].as_str().is_some_and(|message| message.contains(why)), "{error}");
    }
    assert_eq!(client.result("channel.drop", json!({ "id": id })).await?, json!({ "dropped": true }));
    let again = client.call("channel.drop", json!({ "id": id })).await?;
    assert_eq!(again.map_err(|error| error["code"].clone()), Err(json!(-32007)));
    gateway.stop().await
}

#[tokio::test]
async fn someone_is_let_in_by_their_code_in_either_case_and_taken_out_again() -> Result {
    let gateway = start_with(&config(), None, Arc::new(Two::default()))?;
    fill(&gateway).await?;
    let mut client = gateway.client().await?;
    let listed = client.result("pairing.list", json!({ "channel": "slack", "limit": 1 })).await?;
    assert_eq!(
        (&listed["pairings"][0]["state"], &listed["pairings"][0]["name"]),
        (&json!("pending"), &json!("Ann")),
        "{listed}"
    );
    let rest = client.result("pairing.list", json!({ "after": listed["next"] })).await?;
    assert_eq!((rest["pairings"].as_array().map(Vec::len), &rest["next"]), (Some(1), &json!(null)), "{rest}");

    let wrong = client.call("pairing.approve", json!({ "code": "K7QM2XP9" })).await?;
    assert_eq!(wrong.map_err(|error| error["code"].clone()), Err(json!(-32007)));
    let approved = client.result("pairing.approve", json!({ "code": " k7qm2xp1 " })).await?;
    assert_eq!((&approved["kind"], &approved["state"]), (&json!("direct"), &json!("approved")), "{approved}");
    let twice = client.call("pairing.approve", json!({ "code": "K7QM2XP1" })).await?;
    assert_eq!(twice.map_err(|error| error["code"].clone()), Err(json!(-32007)));

    // Of the same id, the person and the group are two.
    let removed = client.result("pairing.remove", json!({ "channel": "slack", "id": "U1" })).await?;
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(1));
    assert_eq!(removed["removed"][0]["kind"], "direct");
    let again = client.call("pairing.remove", json!({ "channel": "slack", "id": "U1" })).await?;
    assert_eq!(again.map_err(|error| error["code"].clone()), Err(json!(-32007)));
    let group = json!({ "channel": "slack", "id": "U1", "kind": "group", "account": "bot" });
    assert_eq!(client.result("pairing.remove", group).await?["removed"][0]["kind"], "group");
    gateway.stop().await
}
