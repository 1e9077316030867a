//! What is kept, and what its owner does with it.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, FakeProvider, Gateway, Reply, Request, Wire, exoclaw};

const MAIN: &str = "default:websocket:local:main";

/// A folder for a gateway, and for the one after it.
fn home() -> Arc<TempDir> {
    Arc::new(TempDir::new().expect("a temporary folder"))
}

/// A model that repeats what it is told.
async fn parrot() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |request: &Request| Reply::text(format!("You said: {}", request.question())))
        .await
}

async fn start(home: &Arc<TempDir>, provider: &FakeProvider) -> Gateway {
    Gateway::builder().home(home).provider(provider).start().await
}

/// Ends a gateway as its owner does.
async fn end(mut gateway: Gateway) {
    gateway.terminate();
    let (code, log) = gateway.ended().await;
    assert_eq!(code, Some(0), "{log:?}");
}

/// Has a gateway in this folder keep a message and its answer.
async fn keep(home: &Arc<TempDir>, provider: &FakeProvider, message: &str) {
    let gateway = start(home, provider).await;
    Client::connect(&gateway).await.ask(message).await.done();
    end(gateway).await;
}

/// The texts of the main session's history, oldest first.
async fn history(gateway: &Gateway) -> Vec<String> {
    let mut client = Client::connect(gateway).await;
    let mut page = client.call("chat.history", json!({"session": MAIN})).await.expect("a history");
    let Value::Array(messages) = page["messages"].take() else { panic!("no list: {page}") };
    messages.iter().map(|message| message["blocks"][0]["text"].as_str().expect("a text").to_owned()).collect()
}

/// Every file below a folder that holds these bytes.
fn files_with(folder: &Path, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, word));
        } else if fs::read(&path).expect("a file").windows(word.len()).any(|bytes| bytes == word.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_restart() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "One.").await;
    let gateway = start(&home, &provider).await;
    assert_eq!(history(&gateway).await, ["One.", "You said: One."]);
    let mut client = Client::connect(&gateway).await;
    client.ask("Two.").await.done();
    let spoken = provider.exchange(1).await.request.conversation();
    let texts: Vec<_> = spoken.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["One.", "You said: One.", "Two."], "the model sees what was said before");
    let status = client.call("status", json!({})).await.expect("a status");
    let url = format!("sqlite:{}", home.path().join(".exoclaw/exoclaw.db").display());
    assert_eq!(status["storage"], json!({"url": url, "health": "well", "reason": null}));
    assert!(gateway.get("/metrics").await.body.contains("\nexoclaw_store_healthy 1\n"));
    let shown = exoclaw(gateway.home(), &["status", "--url", &gateway.url()]).await;
    assert!(shown.stdout().contains(&url) && shown.stdout().contains("well"), "{shown:?}");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_is_refused() {
    let (home, provider) = (home(), parrot().await);
    let gateway = start(&home, &provider).await;
    let second = Gateway::builder().home(&home).provider(&provider).refuses_to_start().await;
    assert_eq!(second.code, Some(1), "{second:?}");
    let process = format!("is in use by process {}", gateway.id());
    assert!(second.stderr.contains(&process), "{second:?}");
    assert!(second.stderr.contains("exoclaw.db") && second.stderr.contains("stop that process"), "{second:?}");
    assert_eq!(second.stdout, "");
    Client::connect(&gateway).await.ask("Still there?").await.done();
}

#[tokio::test]
async fn an_export_imported_elsewhere_is_the_same_store() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "One.").await;
    let run = async |arguments: &[&str]| exoclaw(home.path(), &[&["data"], arguments].concat()).await;
    let said = run(&["export", "all.jsonl"]).await;
    assert!(said.stdout().ends_with("in all.jsonl\n"), "{said:?}");
    let text = fs::read_to_string(home.path().join("all.jsonl")).expect("an export");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0], json!({"exoclaw": env!("CARGO_PKG_VERSION"), "format": 3}));
    assert_eq!(lines[lines.len() - 1], json!({"records": lines.len() - 2}));
    assert!(text.contains("You said: One."));

    // To standard output it is the same, and into another store and out again, once or twice.
    assert_eq!(run(&["export"]).await.stdout(), text);
    let other = ["--store", "sqlite:other.db"];
    for _ in 0..2 {
        let said = run(&["import", "all.jsonl", other[0], other[1]]).await;
        assert!(said.stdout().contains(&format!("{} records", lines.len() - 2)), "{said:?}");
        assert_eq!(run(&["export", other[0], other[1]]).await.stdout(), text);
    }

    let storage = "[storage]\nurl = \"sqlite:other.db\"";
    let gateway = Gateway::builder().home(&home).provider(&provider).tables(storage).start().await;
    assert_eq!(history(&gateway).await, ["One.", "You said: One."]);
}

#[tokio::test]
async fn an_export_is_never_half_a_file_and_never_takes_anothers_place() {
    let (home, provider) = (home(), parrot().await);
    let run = async |arguments: &[&str]| exoclaw(home.path(), &[&["data"], arguments].concat()).await;
    let none = run(&["export", "all.jsonl"]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("there is no store at"), "{none:?}");
    assert!(!home.path().join(".exoclaw/exoclaw.db").exists(), "a look makes no store");

    keep(&home, &provider, "One.").await;
    run(&["export", "all.jsonl"]).await.stdout();
    for command in [["export", "all.jsonl"], ["backup", "all.jsonl"]] {
        let refused = run(&command).await;
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains("all.jsonl is there already"), "{refused:?}");
    }
    run(&["export", "all.jsonl", "--force"]).await.stdout();
    let store = home.path().join(".exoclaw/exoclaw.db");
    for command in ["export", "backup"] {
        let refused = run(&[command, &store.to_string_lossy(), "--force"]).await;
        assert!(refused.code == Some(2) && refused.stderr.contains("is the store itself"), "{refused:?}");
    }

    let path = home.path().join("all.jsonl");
    let text = fs::read_to_string(&path).expect("an export");
    let lines: Vec<_> = text.lines().collect();
    fs::write(&path, lines[..lines.len() - 1].join("\n")).expect("our file");
    let cut = run(&["import", "all.jsonl", "--store", "sqlite:other.db"]).await;
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.contains("nothing of all.jsonl was stored") && cut.stderr.contains("cut"), "{cut:?}");
    assert!(!home.path().join("other.db").exists());
    fs::write(&path, text.replacen("\"session\"", "\"sesion\"", 1)).expect("our file");
    let bad = run(&["import", "all.jsonl"]).await;
    assert!(bad.stderr.contains("line 2 is no record"), "{bad:?}");
}

#[tokio::test]
async fn a_backup_is_made_beside_a_gateway_and_restored_in_its_place() {
    let (home, provider) = (home(), parrot().await);
    let gateway = start(&home, &provider).await;
    let mut client = Client::connect(&gateway).await;
    client.ask("Before.").await.done();
    let run = async |arguments: &[&str]| exoclaw(home.path(), &[&["data"], arguments].concat()).await;
    assert!(run(&["backup", "monday.db"]).await.stdout().ends_with("in monday.db\n"));
    client.ask("After.").await.done();
    assert_eq!(history(&gateway).await.len(), 4);
    let busy = run(&["export"]).await;
    assert_eq!(busy.code, Some(1));
    assert!(busy.stderr.contains("in use by process") && busy.stderr.contains("data backup"), "{busy:?}");
    assert_eq!(run(&["compact"]).await.code, Some(1), "it needs the store for itself");
    // What can be done beside a gateway.
    assert!(run(&["verify"]).await.stdout().contains("is whole"));
    assert!(run(&["export", "--store", "sqlite:monday.db"]).await.stdout().contains("Before."));
    end(gateway).await;

    let compacted = run(&["compact"]).await;
    assert!(compacted.stdout().contains("before") && compacted.stdout().contains("now"), "{compacted:?}");
    let store = home.path().join(".exoclaw/exoclaw.db");
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", store.display()));
    }
    fs::rename(home.path().join("monday.db"), &store).expect("our files");
    let gateway = start(&home, &provider).await;
    assert_eq!(history(&gateway).await, ["Before.", "You said: Before."]);
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_whole_one() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "One.").await;
    let verify = async || exoclaw(home.path(), &["data", "verify"]).await;
    let whole = verify().await;
    assert!(whole.stdout().contains("exoclaw.db is whole"), "{whole:?}");

    let path = home.path().join(".exoclaw/exoclaw.db");
    let original = fs::read(&path).expect("the store's file");
    // All but the first page, which says what the file is.
    let mut damaged = original.clone();
    damaged[4096..].fill(0xa5);
    fs::write(&path, &damaged).expect("our file");
    let told = verify().await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("exoclaw.db") && told.stderr.contains("restore a backup"), "{told:?}");

    fs::write(&path, "This is a shopping list, and no database at all.").expect("our file");
    let told = verify().await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.stderr.contains("is not a database"), "{told:?}");
    let refused = Gateway::builder().home(&home).provider(&provider).refuses_to_start().await;
    assert!(refused.code == Some(1) && refused.stderr.contains("is not a database"), "{refused:?}");
    fs::write(&path, &original).expect("our file");
    assert_eq!(history(&start(&home, &provider).await).await, ["One.", "You said: One."]);
}

#[tokio::test]
async fn of_a_deleted_session_no_byte_is_left() {
    let (home, provider) = (home(), parrot().await);
    let gateway = start(&home, &provider).await;
    let mut client = Client::connect(&gateway).await;
    let gone = client.send_to("ada", "The word is xylophagous-7731.").await;
    client.finish(&gone).await.done();
    let stays = client.send_to("bob", "The word is quixotry-1177.").await;
    client.finish(&stays).await.done();
    let folder = home.path().join(".exoclaw");
    assert!(!files_with(&folder, "xylophagous-7731").is_empty(), "it was kept");
    client.call("session.delete", json!({"session": gone.session})).await.expect("it is there");
    let error = client.call("session.get", json!({"session": gone.session})).await.expect_err("it is gone");
    assert_eq!(error.code, -32007);
    end(gateway).await;
    assert_eq!(files_with(&folder, "xylophagous-7731"), [""; 0]);
    let export = exoclaw(home.path(), &["data", "export"]).await;
    assert!(export.stdout().contains("quixotry-1177"));
    // What was spent was spent: the ledger knows that there was a session, and nothing of what was said.
    let traces: Vec<_> = export.stdout().lines().filter(|line| line.contains(&gone.session)).collect();
    assert!(!traces.is_empty() && traces.iter().all(|line| line.starts_with("{\"ledger\"")), "{traces:?}");
}

#[tokio::test]
async fn a_demo_writes_nothing_among_what_its_owner_keeps() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "Mine.").await;
    let path = home.path().join(".exoclaw/exoclaw.db");
    let before = fs::read(&path).expect("the store's file");
    let gateway = Gateway::builder().home(&home).argument("--demo").start().await;
    let mut client = Client::connect(&gateway).await;
    client.ask("Hello!").await.done();
    let status = client.call("status", json!({})).await.expect("a status");
    assert_eq!(status["storage"]["url"], "memory");
    end(gateway).await;
    assert!(fs::read(&path).expect("the store's file") == before, "the demo wrote to the owner's store");

    let storage = "[storage]\nurl = \"sqlite:demo.db\"";
    let gateway = Gateway::builder().home(&home).argument("--demo").tables(storage).start().await;
    Client::connect(&gateway).await.ask("Hello!").await.done();
    end(gateway).await;
    assert!(home.path().join("demo.db").exists(), "a store of its own is used");
}

#[tokio::test]
async fn what_is_in_memory_is_forgotten_and_out_of_reach() {
    let (home, provider) = (home(), parrot().await);
    let builder = || Gateway::builder().home(&home).provider(&provider).tables("[storage]\nurl = \"memory\"");
    let gateway = builder().start().await;
    Client::connect(&gateway).await.ask("One.").await.done();
    for command in ["export", "verify", "compact"] {
        let refused = exoclaw(home.path(), &["data", command, "--store", "memory"]).await;
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains("a store in memory cannot be reached"), "{refused:?}");
    }
    end(gateway).await;
    let gateway = builder().start().await;
    let list = Client::connect(&gateway).await.call("session.list", json!({})).await.expect("a list");
    assert_eq!(list["sessions"], json!([]));
    assert!(!home.path().join(".exoclaw/exoclaw.db").exists());
}

#[tokio::test]
async fn what_is_older_than_its_agent_keeps_goes_at_the_next_start() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "Long ago.").await;
    let run = async |arguments: &[&str]| exoclaw(home.path(), &[&["data"], arguments].concat()).await;
    let text = run(&["export"]).await.stdout().to_owned();
    // The same, a hundred days ago.
    let now = Timestamps::of(&text);
    fs::write(home.path().join("old.jsonl"), now.moved(&text)).expect("our file");
    run(&["import", "old.jsonl", "--store", "sqlite:old.db"]).await.stdout();
    let tables = |age: &str| format!("[storage]\nurl = \"sqlite:old.db\"\n[agent.retention]\nmax_age = \"{age}\"");
    let count = async || run(&["export", "--store", "sqlite:old.db"]).await.stdout().matches("Long ago.").count();

    let keeps = Gateway::builder().home(&home).provider(&provider).tables(&tables("101d")).start().await;
    assert_eq!(history(&keeps).await, ["Long ago.", "You said: Long ago."]);
    end(keeps).await;
    assert!(count().await > 0);
    let forgets = Gateway::builder()
        .home(&home)
        .provider(&provider)
        .tables(&tables("99d"))
        .env("EXOCLAW_LOG", "exoclaw::cli::retention=debug,info")
        .start()
        .await;
    forgets.logged(&["what is too old or too much is gone"]).await;
    end(forgets).await;
    assert_eq!(count().await, 0);
}

/// The times in an export, all of one day.
struct Timestamps {
    day: String,
    hundred_days_before: String,
}

impl Timestamps {
    /// The first digits of times in milliseconds change every 100,000 s, and none stands elsewhere.
    fn of(text: &str) -> Self {
        let (_, rest) = text.split_once("\"created_at\":").expect("a session");
        let day = &rest[..5];
        let before = day.parse::<u32>().expect("digits") - 87;
        Self { day: day.to_owned(), hundred_days_before: before.to_string() }
    }

    fn moved(&self, text: &str) -> String {
        ["created_at", "updated_at", "accepted_at", "at"].iter().fold(text.to_owned(), |text, key| {
            text.replace(&format!("\"{key}\":{}", self.day), &format!("\"{key}\":{}", self.hundred_days_before))
        })
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_left_alone() {
    let (home, provider) = (home(), parrot().await);
    keep(&home, &provider, "One.").await;
    let path = home.path().join(".exoclaw/exoclaw.db");
    // The header's user version: https://www.sqlite.org/fileformat.html, section 1.3.
    let mut file = fs::File::options().read(true).write(true).open(&path).expect("the store's file");
    let mut version = [0; 4];
    file.seek(SeekFrom::Start(60)).and_then(|_| file.read_exact(&mut version)).expect("a header");
    file.seek(SeekFrom::Start(60)).and_then(|_| file.write_all(&9_999_u32.to_be_bytes())).expect("our file");
    drop(file);
    let before = fs::read(&path).expect("the store's file");
    let refused = Gateway::builder().home(&home).provider(&provider).refuses_to_start().await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("9999") && refused.stderr.contains("a later one"), "{refused:?}");
    assert!(fs::read(&path).expect("the store's file") == before, "it was changed");
}
