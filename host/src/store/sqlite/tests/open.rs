//! What stands in the way of opening a store, and what an upgrade does.

use std::fs;

use super::super::SqliteStore;
use super::super::connection::beside;
use super::super::migrate::{MIGRATIONS, backup_of};
use super::*;
use crate::store::{
    CallCause, CallOutcome, DeliveryFilter, DeliveryId, DeliveryState, Epoch, Ledger, LedgerFilter, MAX_CALL_TOKENS,
    ModelCallEnd, NanoDollars, NewDelivery, Outbox, Resume, SessionKey, Store, Timestamp, TokenUsage, TurnId,
    UsageFilter, UsageGroup, UsageKey, UsageQuery, UsageSums,
};

/// The store of [`ONE`], one version on.
const TWO: &[Migration] = &[
    ONE[0],
    Migration::new(2, &["ALTER TABLE item ADD COLUMN size INTEGER;", "UPDATE item SET size = length(text);"]),
];

/// As [`TWO`], but the last statement fails.
const BROKEN: &[Migration] =
    &[ONE[0], Migration::new(2, &["ALTER TABLE item ADD COLUMN size INTEGER;", "UPDATE no_such_table SET size = 1;"])];

fn pragma(connection: &Connection, name: &str) -> String {
    let value: rusqlite::types::Value = connection.pragma_query_value(None, name, |row| row.get(0)).unwrap();
    match value {
        rusqlite::types::Value::Integer(value) => value.to_string(),
        rusqlite::types::Value::Text(value) => value,
        value => panic!("{value:?}"),
    }
}

#[tokio::test]
async fn a_new_store_is_durable_overwrites_what_is_deleted_and_is_its_owners_alone() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    let writer = db.write(|connection| {
        let names = ["journal_mode", "synchronous", "foreign_keys", "secure_delete", "auto_vacuum", "temp_store"];
        Ok(names.map(|name| pragma(connection, name)))
    });
    assert_eq!(writer.await.unwrap(), ["wal", "2", "1", "1", "2", "2"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        put(&db, 1, "private").await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for file in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm"), beside(&path, ".lock")] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
    drop(db);
    let mut process = options(&path);
    process.durability = Durability::Process;
    let db = Db::open_with(&process, ONE).unwrap();
    assert_eq!(db.write(|connection| Ok(pragma(connection, "synchronous"))).await.unwrap(), "1");
}

#[tokio::test]
async fn a_deleted_text_is_in_no_file_once_the_store_is_closed() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    let text = "a secret that nobody is to find ".repeat(1_000);
    put(&db, 1, &text).await.unwrap();
    put(&db, 2, "something else").await.unwrap();
    db.write(|connection| Ok(connection.execute("DELETE FROM item WHERE key = 1", [])?)).await.unwrap();
    drop(db);
    for file in fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        let holds = fs::read(&file).unwrap().windows(15).any(|part| part == b"nobody is to fi");
        assert!(!holds, "{}", file.display());
    }
}

#[test]
fn a_second_opener_is_told_who_has_the_store_until_that_one_closes_it() {
    let (folder, path) = place();
    let db = open(&path).unwrap();
    let refused = open(&path).unwrap_err();
    let OpenError::InUse { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(holder.pid, Some(std::process::id()));
    #[cfg(unix)]
    {
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(open(&link), Err(OpenError::InUse { .. })), "a link leads to the same lock");
    }
    drop(db);
    open(&path).unwrap();
    let _ = folder;
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let garbage = b"This is a letter, and longer than a header. ".repeat(400);
    fs::write(&path, &garbage).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), garbage);

    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE recipe (text TEXT); PRAGMA user_version = 7;").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(!beside(&path, "-wal").exists());
}

#[tokio::test]
async fn a_store_that_lost_its_end_is_said_to_be_damaged() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    put(&db, 1, &"long ".repeat(20_000)).await.unwrap();
    drop(db);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("restore a backup"), "{refused}");
    file.set_len(60).unwrap();
    assert!(matches!(open(&path), Err(OpenError::NotADatabase { .. } | OpenError::Damaged { .. })));
}

#[tokio::test]
async fn an_older_store_is_copied_and_then_brought_up_to_date() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    put(&db, 1, "from before").await.unwrap();
    drop(db);
    let db = Db::open_with(&options(&path), TWO).unwrap();
    let size = db.read(|connection| {
        Ok(connection.query_row("SELECT size FROM item WHERE key = 1", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(size.await.unwrap(), 11);
    put(&db, 2, "wrong number of values").await.unwrap_err();
    drop(db);

    // The earlier program refuses it; with the copy in its place it goes on.
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
    fs::copy(backup_of(&path, 1), &path).unwrap();
    let db = open(&path).unwrap();
    assert_eq!(keys(&db).await, [1]);
    put(&db, 2, "after the way back").await.unwrap();
    drop(db);

    // And the way forth once more keeps what came since.
    drop(Db::open_with(&options(&path), TWO).unwrap());
    let kept = Connection::open(backup_of(&path, 1)).unwrap();
    assert_eq!(kept.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[tokio::test]
async fn an_upgrade_that_fails_changes_nothing() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    put(&db, 1, "from before").await.unwrap();
    drop(db);
    let refused = Db::open_with(&options(&path), BROKEN).unwrap_err();
    assert!(matches!(refused, OpenError::Migration { from: 1, to: 2, .. }), "{refused}");
    let db = open(&path).unwrap();
    put(&db, 2, "goes on").await.unwrap();
    assert_eq!(keys(&db).await, [1, 2]);
    drop(db);

    // No room for the copy: neither is there one.
    let backup = backup_of(&path, 1);
    fs::remove_file(&backup).unwrap();
    fs::create_dir(&backup).unwrap();
    let refused = Db::open_with(&options(&path), TWO).unwrap_err();
    assert!(matches!(refused, OpenError::Migration { from: 1, to: 2, .. }), "{refused}");
    assert_eq!(keys(&open(&path).unwrap()).await, [1, 2]);
}

#[test]
fn the_real_schema_opens_anew_and_again() {
    let (_folder, path) = place();
    drop(Db::open(&options(&path)).unwrap());
    drop(Db::open(&options(&path)).unwrap());
    assert!(!backup_of(&path, 1).exists());
}

/// A store as the first version left it: a session, an open turn, deliveries before and after one that is no more.
const FIRST: &str = "
    INSERT INTO sessions (id, key, agent, created_at, updated_at, turns) VALUES (3, 'main:telegram:1:ann', 'main', 1, 1, 1);
    INSERT INTO turns (id, turn, session, agent, accepted_at) VALUES (4, '01hzzzzzzzzzzzzzzzz4', 3, 'main', 1);
    INSERT INTO deliveries (id, delivery, session, agent, channel, conversation, draft, state, epoch, attempts, due,
        reason, created_at, content, progress, open)
    VALUES
        (7, '01hzzzzzzzzzzzzzzzz7', 3, 'main', 'telegram', 'c', 0, 'dead', 2, 5, 90, 'gone', 50, x'00ff', NULL, 0),
        (8, '01hzzzzzzzzzzzzzzzz1', 3, 'main', 'telegram', 'c', 1, 'sending', 2, 1, 91, NULL, 51, x'01', x'02', 1),
        (9, '01hzzzzzzzzzzzzzzzz9', 3, 'main', 'telegram', 'c', 0, 'pending', 2, 0, 92, NULL, 52, x'03', NULL, 1);
    DELETE FROM deliveries WHERE id = 9;";

#[tokio::test]
async fn a_store_of_the_first_version_keeps_all_it_holds_and_takes_what_channels_need() {
    let (_folder, path) = place();
    let db = Db::open_with(&options(&path), &MIGRATIONS[..1]).unwrap();
    db.write(|connection| Ok(connection.execute_batch(FIRST)?)).await.unwrap();
    drop(db);

    let store = SqliteStore::open(options(&path)).unwrap();
    let ann: SessionKey = "main:telegram:1:ann".parse().unwrap();
    let all = store.deliveries(&DeliveryFilter::default(), None, 9).await.unwrap().items;
    let [draft, dead] = &all[..] else { panic!("{all:?}") };
    assert_eq!((dead.state, dead.attempts, dead.due.0, dead.created_at.0), (DeliveryState::Dead, 5, 90, 50));
    assert_eq!((dead.reason.as_deref(), &dead.content[..]), (Some("gone"), &[0, 255][..]));
    assert_eq!((draft.state, draft.draft, draft.progress.as_deref()), (DeliveryState::Sending, true, Some(&[2][..])));
    assert_eq!((draft.session.as_ref(), draft.shown.len(), draft.receipt), (Some(&ann), 0, None));
    let due = store.deliveries_due("telegram", Timestamp(100), 9).await.unwrap();
    assert_eq!(due.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [draft.id]);
    let turn: TurnId = "01hzzzzzzzzzzzzzzzz4".parse().unwrap();
    let resumed = store.resume(Resume { session: ann.clone(), turn, epoch: Epoch(3) }).await.unwrap().unwrap();
    assert_eq!(resumed.destination, None);

    // What it could not take before; the one that an older owner may not advance stays so.
    let id = DeliveryId(turn);
    let stranger = NewDelivery {
        id,
        session: None,
        channel: "telegram".to_owned(),
        conversation: "d".to_owned(),
        content: vec![4].into(),
        draft: false,
        epoch: Epoch(3),
        now: Timestamp(60),
    };
    assert!(store.delivery_open(stranger.clone()).await.unwrap());
    let old = NewDelivery { id: draft.id, epoch: Epoch(1), ..stranger };
    assert!(matches!(store.delivery_open(old).await, Err(StoreError::Superseded { .. })));
    assert!(store.delete(&ann, Epoch(3)).await.unwrap());
    let left = store.deliveries(&DeliveryFilter::default(), None, 9).await.unwrap().items;
    assert_eq!(left.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [id]);
    drop(store);

    let problems = super::super::verify(&path, &mut |_| {}).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    drop(Db::open_with(&options(&path), MIGRATIONS).unwrap());
    fs::copy(backup_of(&path, 1), &path).unwrap();
    let before = Db::open_with(&options(&path), &MIGRATIONS[..1]).unwrap();
    let count = before.read(|connection| {
        Ok(connection.query_row("SELECT count(*) FROM deliveries", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(count.await.unwrap(), 2, "the copy is as it was, for the program that wrote it");
}

/// The ledger of a store of the second version: calls of two sessions, one that runs, and one with a count that
/// none can have.
const SECOND: &str = "
    INSERT INTO ledger (turn, call, session, provider, model, at, expected_input, expected_output, expected_cache_read,
        expected_cache_write, outcome, ended_at, estimated, input, output, cache_read, cache_write)
    VALUES
        ('01hzzzzzzzzzzzzzzzz1', 0, 'main:telegram:1:a%3Ann', 'p', 'm', 1700000000000, 9, 0, 0, 0,
            'finished', 1700000001000, 0, 10, 20, 30, 40),
        ('01hzzzzzzzzzzzzzzzz1', 1, 'main:telegram:1:a%3Ann', 'p', 'm', 1700000001000, 9, 0, 0, 0,
            'cut', 1700000001500, 1, 1, 2, 3, 4),
        ('01hzzzzzzzzzzzzzzzz2', 0, 'main:telegram:1:bob', 'p', 'n', 1700009000000, 9, 0, 0, 0,
            'failed', 1700009000100, 0, 0, 0, 0, 0),
        ('01hzzzzzzzzzzzzzzzz3', 0, 'main:telegram:1:bob', 'p', 'n', 1700009000000, 9, 0, 0, 0,
            NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        ('01hzzzzzzzzzzzzzzzz4', 0, 'main:telegram:1:bob', 'p', 'n', 1700009000000, 9, 0, 0, 0,
            'finished', 1700009000100, 0, 9223372036854775807, 0, 0, 0);";

#[tokio::test]
async fn a_store_of_the_second_version_keeps_its_ledger_and_adds_it_up() {
    let (_folder, path) = place();
    let db = Db::open_with(&options(&path), &MIGRATIONS[..2]).unwrap();
    db.write(|connection| Ok(connection.execute_batch(SECOND)?)).await.unwrap();
    drop(db);

    let store = SqliteStore::open(options(&path)).unwrap();
    let records = store.ledger(&LedgerFilter::default(), None, 9).await.unwrap().items;
    assert_eq!(records.len(), 5);
    let first = records[0].end.as_ref().unwrap();
    assert_eq!((first.tokens.input_tokens, first.tokens.cache_write_tokens), (10, 40));
    assert_eq!((first.cost, &first.price, first.tokens.reasoning_tokens), (None, &None, 0));
    assert!(records.iter().all(|record| record.call.cause == CallCause::Message));
    assert_eq!(records[4].end.as_ref().unwrap().tokens.input_tokens, MAX_CALL_TOKENS);
    let unsettled = store.unsettled(None, 9).await.unwrap().items;
    assert_eq!(unsettled.iter().map(|call| call.id).collect::<Vec<_>>(), [records[3].call.id]);

    let query = |group| UsageQuery {
        since: None,
        until: Some(Timestamp(1_700_009_000_000)),
        group,
        filter: UsageFilter::default(),
        after: None,
        limit: 9,
    };
    for group in [UsageGroup::Peer, UsageGroup::Model] {
        let rows = store.usage(query(group)).await.unwrap().items;
        let [row] = &rows[..] else { panic!("{rows:?}") };
        let UsageSums { calls, estimated, cut, unpriced, tokens, duration_ms, .. } = row.sums;
        assert_eq!((calls, estimated, cut, unpriced, tokens.total(), duration_ms), (2, 1, 1, 2, 110, 1_500));
        match &row.key {
            UsageKey::Peer(peer) => assert_eq!(peer.peer, "a:nn"),
            key => assert_eq!(*key, UsageKey::Model { provider: "p".into(), model: "m".into() }),
        }
    }
    // A call that ended is added to what is there.
    let (id, outcome) = (records[3].call.id, CallOutcome::Lost);
    let (tokens, cost) = (TokenUsage { output_tokens: 7, ..TokenUsage::default() }, Some(NanoDollars::from_nanos(3)));
    let at = Timestamp(1_700_009_000_400);
    let end = ModelCallEnd { id, tokens, estimated: true, cost, price: None, cache_saving: None, outcome, at };
    store.settle(vec![end]).await.unwrap();
    let filter = UsageFilter { model: Some("n".into()), ..UsageFilter::default() };
    let spent = store.spent(filter, Some(Timestamp(1_700_009_000_000)), None).await.unwrap();
    assert_eq!((spent.tokens, spent.cost.as_nanos(), spent.unpriced), (MAX_CALL_TOKENS + 7, 3, 1));
    drop(store);

    let problems = super::super::verify(&path, &mut |_| {}).unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    assert!(backup_of(&path, 2).exists());
}

#[tokio::test]
async fn sums_that_differ_from_the_ledger_are_found() {
    let (_folder, path) = place();
    let db = Db::open_with(&options(&path), &MIGRATIONS[..2]).unwrap();
    db.write(|connection| Ok(connection.execute_batch(SECOND)?)).await.unwrap();
    drop(db);
    let db = Db::open(&options(&path)).unwrap();
    let broken = "UPDATE usage_quarters SET cost = cost + 5 WHERE cut = 1; UPDATE usage_days SET cost = cost + 12;
        DELETE FROM usage_hours WHERE cut = 1;";
    db.write(|connection| Ok(connection.execute_batch(broken)?)).await.unwrap();
    drop(db);
    let problems = super::super::verify(&path, &mut |_| {}).unwrap().problems;
    let places: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let [quarter, day, next, session] = &places[..] else { panic!("{places:?}") };
    assert!(quarter.contains("2023-11-14 22:00:00: 0 calls, 0 tokens and 5 nano-dollars too many"), "{places:?}");
    assert!(day.contains("2023-11-14: 0 calls, 0 tokens and 7 nano-dollars too many"), "{places:?}");
    assert!(next.contains("2023-11-15: 0 calls, 0 tokens and 12 nano-dollars too many"), "{places:?}");
    assert!(session.contains("main:telegram:1:a%3Ann: -2 calls, -110 tokens and 0 nano-dollars"), "{places:?}");
}
