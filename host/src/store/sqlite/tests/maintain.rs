//! Copying, checking and making small, beside a gateway or without one.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::connection::beside;
use super::super::maintain::backup::backup_with;
use super::super::maintain::compact::compact_with;
use super::super::maintain::verify::{Check, verify_with};
use super::super::{CopyError, MaintainError, Problem, Progress, Verified};
use super::*;

/// A store with a counter, references and a full-text index.
const RICH: &[Migration] = &[Migration::new(
    1,
    &[
        "CREATE TABLE item (key INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;",
        "CREATE TABLE part (item INTEGER NOT NULL REFERENCES item) STRICT; CREATE INDEX part_item ON part (item);",
        "CREATE TABLE total (items INTEGER NOT NULL) STRICT; INSERT INTO total VALUES (0);",
        "CREATE VIRTUAL TABLE word USING fts5(text); INSERT INTO word(word, rank) VALUES('secure-delete', 1);",
    ],
)];

const TOTALS: &[Check] = &[
    Check {
        what: "the total is wrong",
        tables: &["item", "total"],
        sql: "SELECT 'total ' || items FROM total WHERE items <> (SELECT count(*) FROM item)",
    },
    Check { what: "a later table is wrong", tables: &["no_such_table"], sql: "SELECT 'x' FROM no_such_table" },
];

fn look(path: &Path) -> Result<Verified, MaintainError> {
    verify_with(path, RICH, TOTALS, &mut |_| {})
}

async fn filled(path: &Path, items: i64) -> Db {
    let db = Db::open_with(&options(path), RICH).unwrap();
    let fill = db.write(move |connection| {
        for key in 0..items {
            insert(connection, key, &"a text of some length ".repeat(50))?;
            connection.execute("INSERT INTO part VALUES (?)", [key])?;
            connection.execute("INSERT INTO word VALUES (?)", [format!("word{key} and more")])?;
        }
        Ok(connection.execute("UPDATE total SET items = items + ?", [items])?)
    });
    fill.await.unwrap();
    db
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_busy_gateway_is_whole_and_of_one_moment() {
    let (folder, path) = place();
    let db = std::sync::Arc::new(filled(&path, 3_000).await);
    let to = folder.path().join("copy.db");
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (db, stop) = (std::sync::Arc::clone(&db), std::sync::Arc::clone(&stop));
        async move {
            let mut key = 10_000;
            while !stop.load(Ordering::Relaxed) {
                let write = db.write(move |connection| {
                    insert(connection, key, &"meanwhile ".repeat(100))?;
                    Ok(connection.execute("UPDATE total SET items = items + 1", [])?)
                });
                write.await.unwrap();
                key += 1;
            }
        }
    });
    let copied = tokio::task::spawn_blocking({
        let (path, to) = (path.clone(), to.clone());
        move || {
            let mut seen = Vec::new();
            backup_with(&path, &to, RICH, &mut |progress: Progress| seen.push(progress)).map(|()| seen)
        }
    });
    let seen = copied.await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.done), "it never began again: {seen:?}");
    assert!(seen.last().is_some_and(|last| last.done == last.total && last.total > 0), "{seen:?}");
    assert!(!beside(&to, ".partial").exists());
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&to).unwrap().permissions()) & 0o777, 0o600);
    let verified = look(&to).unwrap();
    assert_eq!(verified.problems, [], "also its total is right");
    assert_eq!(look(&path).unwrap().problems, []);
    let copy = Db::open_with(&options(&to), RICH).unwrap();
    assert!(keys(&copy).await.len() >= 3_000);
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_when_it_fails() {
    let (folder, path) = place();
    let db = filled(&path, 10).await;
    let to = folder.path().join("copy.db");
    fs::write(&to, "dear").unwrap();
    let refused = backup_with(&path, &to, RICH, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, MaintainError::Copy(CopyError::Exists { .. })), "{refused}");
    assert_eq!(fs::read(&to).unwrap(), b"dear");
    fs::remove_file(&to).unwrap();
    // What a copy that was cut left behind is in nobody's way.
    fs::write(beside(&to, ".partial"), "half").unwrap();
    backup_with(&path, &to, RICH, &mut |_| {}).unwrap();
    let nowhere = folder.path().join("no").join("folder.db");
    assert!(matches!(backup_with(&path, &nowhere, RICH, &mut |_| {}), Err(MaintainError::Copy(CopyError::Io { .. }))));
    let nothing = backup_with(&folder.path().join("none.db"), &nowhere, RICH, &mut |_| {});
    assert!(matches!(nothing, Err(MaintainError::Open(OpenError::Missing { .. }))));
    assert!(!folder.path().join("none.db").exists());
    drop(db);
}

#[tokio::test]
async fn what_is_wrong_in_a_store_is_named() {
    let (_folder, path) = place();
    drop(filled(&path, 200).await);
    let whole = look(&path).unwrap();
    assert_eq!((whole.version, whole.problems), (1, Vec::new()));

    let hand = Connection::open(&path).unwrap();
    hand.execute_batch("PRAGMA foreign_keys = OFF; UPDATE total SET items = 7; INSERT INTO part VALUES (12345);")
        .unwrap();
    drop(hand);
    let problems = look(&path).unwrap().problems;
    let expected = [
        Problem::Reference { table: "part".to_owned(), to: "item".to_owned() },
        Problem::Rule { what: "the total is wrong", place: "total 7".to_owned() },
    ];
    assert_eq!(problems, expected);

    // Zeros over some pages in the middle.
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 3 * 4_096].fill(0);
    fs::write(&path, &bytes).unwrap();
    let problems = look(&path).unwrap().problems;
    assert!(problems.iter().any(|problem| matches!(problem, Problem::Structure(_))), "{problems:?}");
}

#[tokio::test]
async fn a_store_without_what_was_deleted_gets_small() {
    let (folder, path) = place();
    let db = filled(&path, 3_000).await;
    let compact = |path: &Path| {
        let mut seen = Vec::new();
        compact_with(&options(path), RICH, &mut |progress| seen.push(progress)).map(|compacted| (compacted, seen))
    };
    assert!(matches!(compact(&path), Err(MaintainError::Open(OpenError::InUse { .. }))));
    let delete = db.write(|connection| {
        connection.execute("DELETE FROM part WHERE item >= 10", [])?;
        connection.execute("DELETE FROM word WHERE rowid > 10", [])?;
        connection.execute("UPDATE total SET items = 10", [])?;
        Ok(connection.execute("DELETE FROM item WHERE key >= 10", [])?)
    });
    delete.await.unwrap();
    drop(db);
    let (compacted, seen) = compact(&path).unwrap();
    assert!(compacted.after * 10 < compacted.before, "{compacted:?}");
    assert_eq!(compacted.after, fs::metadata(&path).unwrap().len());
    assert!(seen.is_sorted_by_key(|progress| progress.done) && seen.last().unwrap().done == seen[0].total, "{seen:?}");
    assert_eq!(look(&path).unwrap().problems, []);
    let db = Db::open_with(&options(&path), RICH).unwrap();
    assert_eq!(keys(&db).await, (0..10).collect::<Vec<_>>());
    let nothing = compact(&folder.path().join("none.db"));
    assert!(matches!(nothing, Err(MaintainError::Open(OpenError::Missing { .. }))));
}

#[tokio::test]
async fn the_rules_of_the_real_schema_hold_for_a_new_store() {
    let (_folder, path) = place();
    let db = Db::open(&options(&path)).unwrap();
    assert_eq!(super::super::verify(&path, &mut |_| {}).unwrap().problems, [], "also while a gateway has it");
    drop(db);
    assert_eq!(super::super::verify(&path, &mut |_| {}).unwrap().problems, []);
    super::super::compact(&options(&path), &mut |_| {}).unwrap();
}
