//! A plugin that does not get past something is told so, and tried again; a better version takes its place.

use serde_json::{Value, json};

use super::{answer_to, parrot, with};
use crate::harness::{Client, Gateway, exoclaw, within};
use crate::platform::Plain;
use crate::reload::File;

async fn is_quarantined(gateway: &Gateway) -> bool {
    gateway.get("/readyz").await.body.contains("channel mine: quarantined")
}

/// How often the channel was left alone, as the log has it in the end.
fn rests(mut gateway: Gateway) -> usize {
    gateway.kill().iter().filter(|line| line.contains("the channel keeps failing and rests")).count()
}

#[tokio::test]
async fn a_channel_that_rests_goes_on_as_soon_as_its_plugin_is_mended() {
    let (plain, provider) = (Plain::start().await, parrot().await);
    // It fails to start, and on three events in a row.
    for fails in ["start", "timer"] {
        let file = File::of("stubborn");
        let channel = plain.channel_table(&file.path, &format!(", fails = {fails:?}"));
        let gateway = with(&provider, &channel).gateway("watch_plugins = false").start().await;
        let quarantined = async { while !is_quarantined(&gateway).await {} };
        within("/readyz says that the channel rests", quarantined).await;

        file.replace("sender");
        let mut client = Client::connect(&gateway).await;
        let report = client.call("plugin.reload", json!({"name": "mine"})).await.expect("a report");
        assert_eq!(report["plugins"][0]["outcome"], "reloaded", "{report}");
        let hello = format!("Hello after {fails}");
        plain.tells(&format!("say {fails} {hello}"));
        plain.shown(&answer_to(&hello)).await;
        assert!(!is_quarantined(&gateway).await);
        assert_eq!(rests(gateway), 1, "the old one was not tried again");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_the_channel_rests_is_found_by_itself() {
    let (plain, provider) = (Plain::start().await, parrot().await);
    let file = File::of("stubborn");
    let channel = plain.channel_table(&file.path, ", fails = \"start\"");
    let gateway = with(&provider, &channel).start().await;
    gateway.logged(&["mine", "the channel keeps failing and rests"]).await;
    file.replace("sender");
    gateway.logged(&["mine", "the channel goes on with its new version"]).await;
    plain.tells("say 1 Hello");
    plain.shown(&answer_to("Hello")).await;
}

#[tokio::test]
async fn what_a_channel_cannot_read_of_its_own_poll_is_set_aside_and_it_polls_on() {
    let (plain, provider) = (Plain::start().await, parrot().await);
    let file = File::of("sender");
    let gateway = with(&provider, &plain.channel_table(&file.path, "")).start().await;
    for (command, reason, number) in [("invalid", "as it was told", 1), ("trap", "crashed", 2)] {
        plain.tells(command);
        let text = format!("After {command}");
        plain.tells(&format!("say {command} {text}"));
        plain.shown(&answer_to(&text)).await;
        let listed = exoclaw(gateway.home(), &["channel", "events", "--json", "--url", &gateway.url()]).await;
        let listed: Value = serde_json::from_str(listed.stdout()).expect("JSON");
        let events = listed["events"].as_array().expect("a list");
        assert_eq!(events.len(), number, "{listed}");
        let found = events.iter().any(|event| event["reason"].as_str().is_some_and(|text| text.contains(reason)));
        assert!(found, "{listed}");
    }
    // It is put to the channel again, and stays as it is no better.
    let replayed = exoclaw(gateway.home(), &["channel", "replay", "1", "--url", &gateway.url()]).await;
    assert!(replayed.code == Some(1) && replayed.stdout.contains("as it was told"), "{replayed:?}");
    plain.tells("say last At last");
    plain.shown(&answer_to("At last")).await;
    assert_eq!(provider.count(), 3);
}
