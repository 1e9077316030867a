//! What is left in the end: on the platform, in the history, and in the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, exoclaw};
use crate::life::Lives;

/// A reply on the platform: of which message, in which conversation, and when it was put there.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) message: String,
    pub(crate) conversation: String,
    pub(crate) at: Instant,
}

/// Every message of a user's is in the history once, and in one turn.
pub(crate) async fn one_turn_each(gateway: &Gateway, messages: &BTreeSet<String>) {
    let mut client = Client::connect(gateway).await;
    let mut turns: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for session in pages(&mut client, "session.list", "sessions", json!({}), "after").await {
        let params = json!({"session": session["session"]});
        for message in pages(&mut client, "chat.history", "messages", params, "before").await {
            let Some(blocks) = message["blocks"].as_array().filter(|_| message["role"] == "user") else { continue };
            let text: String = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            turns.entry(text).or_default().push(message["turn"].clone());
        }
    }
    let several: Vec<_> = turns.iter().filter(|(_, turns)| turns.len() > 1).collect();
    assert!(several.is_empty(), "messages with more than one turn: {several:#?}");
    let known: BTreeSet<_> = turns.into_keys().collect();
    assert_eq!(known, *messages, "the history has other messages than were written");
}

/// All that a method lists, page by page.
async fn pages(client: &mut Client, method: &str, list: &str, mut params: Value, cursor: &str) -> Vec<Value> {
    let mut all = Vec::new();
    params["limit"] = 500.into();
    loop {
        let mut page = client.call(method, params.clone()).await.expect("a page");
        let Value::Array(items) = page[list].take() else { panic!("a page is a list: {page}") };
        all.extend(items);
        params[cursor] = page["next"].take();
        if params[cursor].is_null() {
            return all;
        }
    }
}

/// The replies that may have been sent without the gateway's knowing, as its owner is told.
pub(crate) async fn unknown(gateway: &Gateway) -> Vec<Value> {
    let listed = exoclaw(gateway.home(), &["outbox", "list", "--json", "--url", &gateway.url()]).await;
    let mut page: Value = serde_json::from_str(listed.stdout()).expect("JSON");
    let deliveries = page["deliveries"].as_array_mut().map(std::mem::take).expect("a list of deliveries");
    deliveries.into_iter().filter(|delivery| delivery["state"] == "unknown").collect()
}

/// Of each message that was answered more than once, whether a kill can be the reason: each answer but the last was the
/// newest of its conversation when the gateway was killed, so that nobody had heard of it yet. Returns the messages.
pub(crate) fn doubles(sent: &[Sent], lives: &Lives) -> BTreeSet<String> {
    let mut by_message: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for reply in sent {
        by_message.entry(&reply.message).or_default().push(reply);
    }
    let mut doubles = BTreeSet::new();
    for (message, replies) in by_message.into_iter().filter(|(_, replies)| replies.len() > 1) {
        for pair in replies.windows(2) {
            let (life, next) = (lives.life_at(pair[0].at), lives.life_at(pair[1].at));
            assert!(life < next, "{message} was answered twice within one life: {replies:#?}");
            let conversation = &pair[0].conversation;
            let later = sent.iter().find(|other| {
                other.conversation == *conversation && other.at > pair[0].at && lives.life_at(other.at) == life
            });
            assert!(later.is_none(), "{message} was sent again though {later:?} had followed it: {replies:#?}");
        }
        doubles.insert(message.to_owned());
    }
    doubles
}
