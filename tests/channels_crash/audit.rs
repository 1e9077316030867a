//! What is left in the end: on the platform, in the history, and in the outbox.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, exoclaw};
use crate::life::Lives;
use crate::people::{Platform, number_in, whole_answer};

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

/// What the owner is told of an answer that may have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// How often nobody knew.
    pub(crate) times: usize,
    /// What it is now.
    pub(crate) state: String,
}

/// Those answers, by the numbers of their messages, as `exoclaw outbox list --unknown` has them.
pub(crate) async fn unknown(gateway: &Gateway) -> BTreeMap<usize, Listed> {
    let url = gateway.url();
    let arguments = ["outbox", "list", "--unknown", "--limit", "1000000", "--json", "--url", &url];
    let listed = exoclaw(gateway.home(), &arguments).await;
    let listed: Value = serde_json::from_str(listed.stdout()).expect("JSON");
    let mut unknown = BTreeMap::new();
    for entry in listed["deliveries"].as_array().expect("a list") {
        let message = entry["text"].as_str().and_then(number_in).unwrap_or_else(|| panic!("no answer: {entry}"));
        let times = entry["unknown"].as_u64().expect("a number") as usize;
        let listed = Listed { times, state: entry["state"].as_str().expect("a state").to_owned() };
        assert_eq!(unknown.insert(message, listed), None, "two deliveries of one answer: {entry}");
    }
    unknown
}

/// How often a message is answered, and what was under way of it when lives ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Answers that the platform shows.
    pub(crate) shown: usize,
    /// Requests that were under way at the end of a life.
    pub(crate) doubts: usize,
    /// Of them, those that the platform has carried out.
    pub(crate) arrived: usize,
}

/// The counts of each message.
pub(crate) fn counts<P: Platform>(platform: &P, lives: &Lives<P>, messages: usize) -> Vec<Count> {
    let mut counts = vec![Count::default(); messages];
    let mut lives_of: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (place, text) in platform.shown().iter().enumerate() {
        // What a cut draft has left is an answer, too, as far as it came.
        let Some(message) = number_in(text) else { continue };
        assert!(whole_answer(message).starts_with(text.as_str()), "no answer: {text}");
        counts[message].shown += 1;
        let once = lives_of.entry(message).or_default().insert(lives.life_of(place));
        assert!(once, "{text} was sent twice within one life");
    }
    for doubt in lives.doubts().all() {
        let count = &mut counts[doubt.message];
        count.doubts += 1;
        count.arrived += usize::from(lives_of.get(&doubt.message).is_some_and(|lives| lives.contains(&doubt.life)));
    }
    counts
}
