//! Files that were cut or spoiled: what opens is what was stored, up to some moment; or it says what is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use exoclaw::config::ByteSize;
use exoclaw::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use exoclaw::store::{Accept, Epoch, Message, Role, SessionKey, Step, Store, StoreError, Timestamp, TurnEnd, TurnId};
use tempfile::TempDir;

use super::{agreeable, keeping};
use crate::dice::{self, Dice};
use crate::harness::Client;
use crate::number;

/// Messages that are stored, each with its reply, in a transaction of its own for each.
const MESSAGES: u64 = 60;

/// Messages in all, with their replies.
const ALL: usize = 2 * MESSAGES as usize;

/// Files that are damaged, of each kind.
const CASES: usize = 60;

fn options(file: &Path) -> SqliteOptions {
    SqliteOptions {
        path: file.to_owned(),
        durability: Durability::Process,
        files: ByteSize::mib(1),
        session_files: ByteSize::mib(1),
    }
}

fn session() -> SessionKey {
    "default:websocket:local:main".parse().expect("a key")
}

/// One message and its reply, each with its number and something that takes room.
async fn exchange(store: &SqliteStore, epoch: Epoch, number: u64) -> Result<(), StoreError> {
    let (session, now) = (session(), Timestamp(number));
    let turn = TurnId::new(now, number);
    let text = |role, text: &str| Arc::new(Message::text(role, format!("{number} {text} {}", "x".repeat(600))));
    let message = text(Role::User, "question");
    store
        .accept(Accept {
            session: session.clone(),
            turn,
            message,
            destination: None,
            begin: None,
            idempotency: None,
            epoch,
            now,
        })
        .await?;
    let messages = vec![text(Role::Assistant, "answer")];
    let step = Step { messages, ..Step::of(session, turn, epoch, now) };
    store.finish(TurnEnd { step, deliveries: Vec::new() }).await
}

/// Files of a store, as they stand in the middle of its work.
struct Original {
    _folder: TempDir,
    main: Vec<u8>,
    wal: Vec<u8>,
}

impl Original {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("exoclaw.db");
        let store = SqliteStore::open(options(&file)).expect("a new store");
        let epoch = store.take_over().await.expect("an epoch");
        for number in 0..MESSAGES {
            exchange(&store, epoch, number).await.expect("stored");
        }
        let read = |path: PathBuf| fs::read(path).unwrap_or_default();
        let (main, wal) = (read(file.clone()), read(file.with_extension("db-wal")));
        drop(store);
        Self { _folder: folder, main, wal }
    }

    /// The same with everything in the main file.
    async fn settled(self) -> Vec<u8> {
        let folder = TempDir::new().expect("a temporary folder");
        let file = self.copy(folder.path());
        let connection = rusqlite::Connection::open(&file).expect("the copy");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        drop(connection);
        fs::read(&file).expect("the copy")
    }

    fn copy(&self, folder: &Path) -> PathBuf {
        let file = folder.join("exoclaw.db");
        fs::write(&file, &self.main).expect("a copy");
        fs::write(file.with_extension("db-wal"), &self.wal).expect("a copy");
        file
    }
}

/// Opens what is left and reads all of it: how many messages there are, or what is wrong, in words.
async fn look(file: &Path) -> Result<usize, String> {
    let store = SqliteStore::open(options(file)).map_err(|error| error.to_string())?;
    let words = |error: StoreError| error.to_string();
    let key = session();
    let Some(record) = store.session(&key).await.map_err(words)? else { return Ok(0) };
    let (mut numbered, mut before) = (Vec::new(), None);
    loop {
        let page = store.history(&key, before, 50).await.map_err(words)?;
        numbered.splice(0..0, page.items);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    // Whatever is told is true: the messages from the first on, none left out, each as it was.
    for (index, stored) in numbered.iter().enumerate() {
        let (role, word) = [(Role::User, "question"), (Role::Assistant, "answer")][index % 2];
        let expected = Message::text(role, format!("{} {word} {}", index / 2, "x".repeat(600)));
        assert_eq!(format!("{:?}", stored.message), format!("{expected:?}"), "message {index}");
    }
    assert_eq!(record.messages, numbered.len() as u64);
    // And it goes on from there.
    let epoch = store.take_over().await.map_err(words)?;
    exchange(&store, epoch, MESSAGES).await.map_err(words)?;
    Ok(numbered.len())
}

/// What is said of a file that cannot be used has words, and says which it is.
fn is_clear(words: &str, file: &Path) {
    let folder = file.parent().expect("a folder").to_string_lossy();
    assert!(words.contains(&*folder) || words.contains("data verify"), "{words}");
}

fn seeded() -> Dice {
    let seed = number("EXOCLAW_CRASH_SEED").unwrap_or_else(dice::any_seed);
    eprintln!("again: EXOCLAW_CRASH_SEED={seed}");
    Dice::new(seed)
}

#[tokio::test]
async fn a_log_that_was_cut_anywhere_opens_with_what_was_whole() {
    let (original, mut dice) = (Original::new().await, seeded());
    let folder = TempDir::new().expect("a temporary folder");
    assert_eq!(look(&original.copy(folder.path())).await, Ok(ALL), "nothing was cut yet");

    let mut cuts: Vec<_> = (0..CASES).map(|_| dice.below(original.wal.len())).collect();
    cuts.sort_unstable();
    let mut least = 0;
    for cut in cuts {
        let folder = TempDir::new().expect("a temporary folder");
        let file = original.copy(folder.path());
        fs::write(file.with_extension("db-wal"), &original.wal[..cut]).expect("a copy");
        let found = look(&file).await.unwrap_or_else(|words| panic!("cut at {cut}: {words}"));
        assert!(found >= least, "less was cut, and less is there: {found} after {least}, at {cut}");
        least = found;
    }
}

#[tokio::test]
async fn a_log_that_was_spoiled_anywhere_opens_with_what_came_before() {
    let (original, mut dice) = (Original::new().await, seeded());
    for _ in 0..CASES {
        let folder = TempDir::new().expect("a temporary folder");
        let file = original.copy(folder.path());
        let mut wal = original.wal.clone();
        let at = dice.below(wal.len());
        wal[at] ^= 1 << dice.below(8);
        fs::write(file.with_extension("db-wal"), &wal).expect("a copy");
        if let Err(words) = look(&file).await {
            is_clear(&words, &file);
        }
    }
}

#[tokio::test]
async fn a_file_whose_end_is_missing_is_refused() {
    let main = Original::new().await.settled().await;
    let mut dice = seeded();
    for _ in 0..CASES {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("exoclaw.db");
        let cut = 1 + dice.below(main.len() - 1);
        fs::write(&file, &main[..cut]).expect("a copy");
        match look(&file).await {
            Ok(found) => panic!("{found} of {ALL} were found in {cut} of {} bytes", main.len()),
            Err(words) => is_clear(&words, &file),
        }
    }
}

#[tokio::test]
async fn a_gateway_does_not_start_on_half_a_file() {
    let provider = agreeable().await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let file = home.path().join("exoclaw.db");
    let builder = keeping(&provider, &file).home(&home);
    let mut gateway = builder.clone().start().await;
    let mut client = Client::connect(&gateway).await;
    for number in 0..20 {
        client.ask(&format!("{number} {}", "x".repeat(4096))).await.done();
    }
    gateway.terminate();
    gateway.ended().await;
    let whole = fs::read(&file).expect("the store's file");
    fs::write(&file, &whole[..whole.len() / 2]).expect("a writable file");
    let refused = builder.clone().refuses_to_start().await;
    assert!(refused.stderr.contains(&*file.to_string_lossy()), "{refused:?}");
    fs::write(&file, &whole).expect("a writable file");
    builder.start().await;
}
