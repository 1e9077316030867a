//! One gateway at a time, and none that is too old for what is there.

use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::{agreeable, keeping, said};
use crate::harness::Client;

#[tokio::test]
async fn a_second_gateway_on_the_same_files_is_told_of_the_first() {
    let provider = agreeable().await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let file = home.path().join("exoclaw.db");
    let builder = keeping(&provider, &file).home(&home);
    let mut first = builder.clone().start().await;
    let second = builder.clone().refuses_to_start().await;
    assert!(second.stderr.contains(&first.id().to_string()), "it names the other's process: {second:?}");
    Client::connect(&first).await.ask("Still there?").await.done();

    // What a process held that was killed, holds nobody up.
    first.kill();
    let third = builder.start().await;
    assert_eq!(said(&mut Client::connect(&third).await).await, ["Still there?"]);
}

#[tokio::test]
async fn files_of_a_newer_version_are_refused_and_left_as_they_are() {
    let provider = agreeable().await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let file = home.path().join("exoclaw.db");
    let builder = keeping(&provider, &file).home(&home);
    let mut gateway = builder.clone().start().await;
    Client::connect(&gateway).await.ask("Hello?").await.done();
    gateway.terminate();
    gateway.ended().await;

    let newer = |version: i64| {
        let connection = rusqlite::Connection::open(&file).expect("the store's file");
        let before: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version");
        connection.pragma_update(None, "user_version", version).expect("a write");
        before
    };
    let ours = newer(1_000_000);
    let before = fs::read(&file).expect("the store's file");
    let refused = builder.clone().refuses_to_start().await;
    for words in ["version 1000000", "a later one", &file.to_string_lossy()] {
        assert!(refused.stderr.contains(words), "{words:?} in {refused:?}");
    }
    assert!(fs::read(&file).expect("the store's file") == before, "the file was changed");
    newer(ours);
    let gateway = builder.start().await;
    assert_eq!(said(&mut Client::connect(&gateway).await).await, ["Hello?"]);
}
