//! What tools show and make, on its way to clients and models.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, Transcript, WIRES, Wire};

/// The keeper's table in the config, with all that it imports and these further grants.
pub(crate) fn keeper(folder: &Path, grants: &str) -> String {
    let path = folder.join("keeper.wasm");
    std::fs::write(&path, exoclaw_bundle_test::find("keeper").expect("a guest").bytes).expect("a writable folder");
    format!(
        "[[plugins]]\nname = \"keeper\"\npath = {path:?}\n[plugins.grants]\n\
         store = true\nfiles = \"write\"\nprogress = true\nmemory = \"read\"\n{grants}\n"
    )
}

/// A gateway with the keeper as its only plugin.
async fn with_keeper(provider: &FakeProvider) -> Gateway {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    Gateway::builder().provider(provider).plugins(&keeper(folder.path(), "")).start().await
}

/// A model that makes the calls that the user writes, one a line: a tool and its arguments.
pub(crate) async fn obedient(wire: Wire) -> FakeProvider {
    FakeProvider::start(wire, |request: &Request| {
        if !request.results().is_empty() {
            return Reply::text("Done.");
        }
        request.question().lines().enumerate().fold(Reply::new(), |reply, (index, line)| {
            let (tool, arguments) = line.split_once(' ').expect("a tool and its arguments");
            let arguments: Value = serde_json::from_str(arguments).expect("JSON");
            reply.call(&format!("call_{}_{index}", request.messages().len()), tool, &arguments)
        })
    })
    .await
}

/// The reports that were shown: message, done, total.
fn reports(shown: &Transcript) -> Vec<(&str, u64, Option<u64>)> {
    let mut reports = Vec::new();
    for event in shown.of("progress") {
        let (message, done) = (event["message"].as_str(), event["done"].as_u64());
        reports.push((message.expect("a text"), done.expect("a number"), event["total"].as_u64()));
    }
    reports
}

#[tokio::test]
async fn progress_is_shown_while_a_tool_runs_and_never_again() {
    for wire in WIRES {
        let provider = obedient(wire).await;
        let gateway = with_keeper(&provider).await;
        let mut client = Client::connect(&gateway).await;
        let calls = "report {\"n\": 3, \"total\": 3, \"value\": \"reads\"}\nreport {\"n\": 2, \"value\": \"writes\"}";
        let turn = client.send_chat(calls).await;
        let shown = client.finish(&turn).await;
        let right = [
            ("reads", 1, Some(3)),
            ("reads", 2, Some(3)),
            ("reads", 3, Some(3)),
            ("writes", 1, None),
            ("writes", 2, None),
        ];
        assert_eq!(reports(&shown), right, "{wire:?}");
        // Each between its call and its result.
        let types: Vec<_> =
            shown.types().into_iter().filter(|kind| ["tool_use", "progress", "tool_result"].contains(kind)).collect();
        assert_eq!(types, ["tool_use", "progress", "tool_result", "tool_use", "progress", "tool_result"]);
        assert_eq!(shown.of("progress")[0]["tool_use_id"], shown.of("tool_use")[0]["id"]);
        assert_eq!(shown.of("progress")[4]["total"], Value::Null);

        // A client that saw part of it resumes with what is kept: no gap, and no report.
        let seen = shown.of("progress")[1]["seq"].as_u64().expect("a seq");
        for after in [0, seen] {
            let mut late = Client::connect(&gateway).await;
            late.subscribe(&turn.session, Some(after)).await;
            let replayed = late.finish(&turn).await;
            assert!(reports(&replayed).is_empty());
            assert_eq!(replayed.results().len(), 2);
            assert!(replayed.seqs()[0] > after && replayed.seqs().last() == shown.seqs().last());
        }
    }
}

#[tokio::test]
async fn a_long_call_that_reports_without_end_holds_up_nobody() {
    let provider = obedient(Wire::Anthropic).await;
    let gateway = with_keeper(&provider).await;
    let mut client = Client::connect(&gateway).await;
    let shown = client.ask("report {\"n\": 20000, \"value\": \"busy\"}").await;
    assert_eq!(shown.results()[0].1, "reported");
    // Ten a second, of a call of five at most.
    assert!((10..60).contains(&reports(&shown).len()), "{}", reports(&shown).len());
}

#[tokio::test]
async fn a_file_that_a_tool_made_is_named_to_clients_and_model_and_read_later() {
    for wire in WIRES {
        let provider = obedient(wire).await;
        let gateway = with_keeper(&provider).await;
        let mut client = Client::connect(&gateway).await;
        let turn = client
            .send_chat("make_file {\"name\": \"sales.csv\", \"mime\": \"text/csv\", \"value\": \"a,b\", \"n\": 2}")
            .await;
        let shown = client.finish(&turn).await;
        let content = shown.one("tool_result")["content"].as_array().expect("content");
        let id = content[0]["text"].as_str().expect("an id");
        let file = json!({"type": "file", "id": id, "name": "sales.csv", "mime_type": "text/csv", "size": 6});
        assert_eq!(content[1], file, "{wire:?}");

        let told = &provider.exchange(1).await.request.results()[0].1;
        assert!(told.contains(&format!("[file sales.csv, text/csv, 6 bytes, id {id}]")), "{told}");
        let history = client.call("chat.history", json!({"session": turn.session})).await.expect("a history");
        assert!(history.to_string().contains(&file["id"].to_string()), "{history}");

        let read = format!("read {{\"id\": {id:?}, \"n\": 100}}");
        assert_eq!(client.ask(&read).await.results()[0].1, "a,ba,b");
        let elsewhere = client.send_to("other", &read).await;
        let shown = client.finish(&elsewhere).await;
        let [(_, refused, true)] = &shown.results()[..] else { panic!("{:?}", shown.results()) };
        assert_eq!(refused, "not found");
    }
}

#[tokio::test]
async fn what_a_tool_keeps_for_a_session_stays_from_turn_to_turn() {
    let provider = obedient(Wire::OpenAi).await;
    let gateway = with_keeper(&provider).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("set {\"scope\": \"session\", \"key\": \"colour\", \"value\": \"green\"}").await;
    let get = "get {\"scope\": \"session\", \"key\": \"colour\"}";
    assert_eq!(client.ask(get).await.results()[0].1, "green");
    let elsewhere = client.send_to("other", get).await;
    assert_eq!(client.finish(&elsewhere).await.results()[0].1, "nothing");
}

#[tokio::test]
async fn a_tool_reads_and_writes_the_folders_that_its_owner_names_and_no_other() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let (notes, books) = (folder.path().join("notes"), folder.path().join("books"));
    for folder in [&notes, &books] {
        std::fs::create_dir(folder).expect("a writable folder");
        std::fs::write(folder.join("one.txt"), "one").expect("a writable folder");
    }
    let grants = format!(
        "dirs = [{{ host = {notes:?}, guest = \"/notes\", writable = true }}, {{ host = {books:?}, guest = \"/books\" }}]"
    );
    let provider = obedient(Wire::Anthropic).await;
    let plugin = keeper(folder.path(), &grants);
    let gateway = Gateway::builder().provider(&provider).plugins(&plugin).start().await;
    let mut client = Client::connect(&gateway).await;
    for (call, right) in [
        (r#"read_path {"path": "/books/one.txt"}"#, Some("one")),
        (r#"write_path {"path": "/books/two.txt", "value": "two"}"#, None),
        (r#"write_path {"path": "/notes/two.txt", "value": "two"}"#, Some("written")),
        (r#"read_path {"path": "/notes/../books/one.txt"}"#, None),
        (r#"read_path {"path": "/etc/passwd"}"#, None),
        (r#"list_path {"path": "/notes"}"#, Some("one.txt two.txt")),
    ] {
        let shown = client.ask(call).await;
        let (_, text, failed) = shown.results().remove(0);
        assert_eq!((right.map_or(text.as_str(), |right| right), failed), (text.as_str(), right.is_none()), "{call}");
    }
    assert_eq!(std::fs::read_to_string(notes.join("two.txt")).expect("a file"), "two");
    assert_eq!(std::fs::read_dir(&books).expect("a folder").count(), 1);

    std::fs::remove_dir_all(&books).expect("our folder");
    let refused = Gateway::builder().plugins(&plugin).refuses_to_start().await;
    for word in ["keeper", "books", "dirs"] {
        assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
    }
}
