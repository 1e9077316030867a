//! A storage that fails: nothing untrue is acknowledged, and it gets well by itself.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::{Health, Sickness};

/// Lets the file have `more` pages than it has, or any number.
async fn room(db: &Db, more: Option<i64>) {
    let set = db.write(move |connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = more.map_or(1 << 30, |more| pages + more);
        connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(()))?;
        Ok(())
    });
    set.await.unwrap();
}

/// Waits until the store says that it is well. Ends with the test runner's patience.
async fn well(db: &Db) {
    while db.health() != Health::Well {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_the_write_and_keeps_what_was_there() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    put(&db, 1, "before").await.unwrap();
    room(&db, Some(4)).await;
    let large = "large ".repeat(100_000);
    let full = put(&db, 2, &large).await.unwrap_err();
    assert!(matches!(full, StoreError::Sick(Sickness::DiskFull { .. })), "{full}");
    assert!(matches!(db.health(), Health::Sick(Sickness::DiskFull { .. })));
    assert_eq!(keys(&db).await, [1], "reads go on");
    room(&db, None).await;
    put(&db, 2, &large).await.unwrap();
    assert_eq!(db.health(), Health::Well);
    assert_eq!(keys(&db).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_sick_gets_well_without_being_written_to() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    room(&db, Some(0)).await;
    put(&db, 1, &"large ".repeat(100_000)).await.unwrap_err();
    assert_ne!(db.health(), Health::Well);
    well(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_sqlite_s_own_rollback_fails_its_whole_group_and_nothing_is_acknowledged() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    let rolled_back = db.write(|connection| {
        insert(connection, 1, "in the group")?;
        // What SQLite does by itself after some errors of the system.
        connection.execute_batch("ROLLBACK")?;
        Ok(())
    });
    assert!(matches!(rolled_back.await, Err(StoreError::Sick(_))));
    put(&db, 2, "after").await.unwrap();
    assert_eq!(keys(&db).await, [2]);
}

#[test]
fn on_a_disk_that_runs_full_what_was_acknowledged_is_there_and_nothing_else() {
    let sizes = prop::collection::vec(1_usize..60_000, 1..60);
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let ran = runner.run(&(sizes, 0_i64..200), |(sizes, pages)| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, path) = place();
            let db = std::sync::Arc::new(open(&path).unwrap());
            room(&db, Some(pages)).await;
            let write = |(key, size): (i64, usize)| {
                let db = std::sync::Arc::clone(&db);
                tokio::spawn(async move { (key, put(&db, key, &"x".repeat(size)).await) })
            };
            let writes: Vec<_> = (0..).zip(sizes).map(write).collect();
            let mut acknowledged = Vec::new();
            for write in writes {
                match write.await.unwrap() {
                    (key, Ok(())) => acknowledged.push(key),
                    (_, Err(error)) => {
                        let full = matches!(error, StoreError::Sick(Sickness::DiskFull { .. }));
                        prop_assert!(full, "{error}");
                    }
                }
            }
            drop(std::sync::Arc::into_inner(db));
            prop_assert_eq!(keys(&open(&path).unwrap()).await, acknowledged);
            Ok(())
        })
    });
    ran.unwrap();
}

#[cfg(unix)]
#[test]
fn a_store_that_this_user_may_not_write_is_refused_with_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = place();
    drop(open(&path).unwrap());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o400);
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        // The superuser may write everything.
        return;
    }
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused}");
    mode(&path, 0o600);
    drop(open(&path).unwrap());
    // Nor may a log be made beside it.
    for ending in ["-wal", "-shm"] {
        assert!(!super::super::connection::beside(&path, ending).exists(), "{ending}");
    }
    mode(path.parent().unwrap(), 0o500);
    let refused = open(&path).unwrap_err();
    mode(path.parent().unwrap(), 0o700);
    assert!(matches!(refused, OpenError::ReadOnly { .. }), "{refused}");
    open(&path).unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_moved_away_acknowledges_nothing_until_it_is_back() {
    let (folder, path) = place();
    let db = open(&path).unwrap();
    put(&db, 1, "before").await.unwrap();
    let away = folder.path().join("away");
    fs::rename(path.parent().unwrap(), &away).unwrap();
    let lost = put(&db, 2, "into nothing").await.unwrap_err();
    assert!(matches!(&lost, StoreError::Sick(why) if why.to_string().contains("moved")), "{lost}");
    fs::rename(&away, path.parent().unwrap()).unwrap();
    well(&db).await;
    put(&db, 3, "after").await.unwrap();
    drop(db);
    assert_eq!(keys(&open(&path).unwrap()).await, [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_holds_the_file_is_told_of_and_what_waits_fails_together() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    let tool = Connection::open(&path).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ends = futures_util::join!(put(&db, 1, "one"), put(&db, 2, "two"), put(&db, 3, "three"));
    for end in [ends.0, ends.1, ends.2] {
        assert!(matches!(&end, Err(StoreError::Sick(why)) if why.to_string().contains("another process")), "{end:?}");
    }
    tool.execute_batch("ROLLBACK").unwrap();
    well(&db).await;
    put(&db, 4, "after").await.unwrap();
    assert_eq!(keys(&db).await, [4]);
}
