//! Writes of many callers: each of them whole, alone, and there once it was acknowledged.

use std::sync::Arc;
use std::sync::mpsc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::{SessionKey, Sickness};

/// How a transaction of the property test ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    Refused,
    Broken,
    Panic,
    Dropped,
}

fn refusal() -> StoreError {
    StoreError::NoSession("a:b:c:d".parse::<SessionKey>().unwrap())
}

/// Keeps the writer busy until the sender is dropped: what is written meanwhile becomes one group.
async fn hold(db: &Arc<Db>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), StoreError>>) {
    let (release, held) = mpsc::channel::<()>();
    let (began, begun) = tokio::sync::oneshot::channel();
    let db = Arc::clone(db);
    let holding = tokio::spawn(async move {
        db.write(move |_| {
            let _ = began.send(());
            let _ = held.recv();
            Ok(())
        })
        .await
    });
    begun.await.unwrap();
    (release, holding)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_leaves_nothing_and_fails_no_other_of_its_group() {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    let (release, holding) = hold(&db).await;
    let write = |key: i64, end: End| {
        let db = Arc::clone(&db);
        tokio::spawn(async move {
            db.write(move |connection| {
                insert(connection, key, "kept")?;
                match end {
                    End::Refused => Err(refusal().into()),
                    End::Broken => insert(connection, key, "twice"),
                    End::Panic => panic!("a fault that the test made"),
                    End::Done | End::Dropped => Ok(()),
                }
            })
            .await
        })
    };
    let writes = [End::Done, End::Refused, End::Broken, End::Panic, End::Done];
    let writes: Vec<_> = writes.into_iter().zip(1..).map(|(end, key)| write(key, end)).collect();
    drop(release);
    holding.await.unwrap().unwrap();
    let mut ends = Vec::new();
    for write in writes {
        ends.push(write.await.unwrap());
    }
    assert!(ends[0].is_ok() && ends[4].is_ok(), "{ends:?}");
    assert!(matches!(ends[1], Err(StoreError::NoSession(_))), "{ends:?}");
    assert!(matches!(ends[2], Err(StoreError::Sick(Sickness::Failing { .. }))), "{ends:?}");
    assert!(matches!(&ends[3], Err(StoreError::Sick(why)) if why.to_string().contains("fault")), "{ends:?}");
    assert_eq!(keys(&db).await, [1, 5]);
    assert_eq!(db.health(), crate::store::Health::Well, "faults of the program are none of the disk's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_store_is_dropped_is_written_before_it_goes() {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    let (release, holding) = hold(&db).await;
    // Callers that give up once their work is in the queue.
    for key in 0..50 {
        let mut write = Box::pin(put(&db, key, "left"));
        assert!(futures_util::poll!(&mut write).is_pending());
    }
    drop(release);
    holding.await.unwrap().unwrap();
    drop(Arc::into_inner(db).unwrap());
    assert!(!super::super::connection::beside(&path, "-wal").exists(), "the log was moved into the file");
    let db = open(&path).unwrap();
    assert_eq!(keys(&db).await, (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_callers_than_the_queue_holds_wait_and_are_all_served() {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    let (release, holding) = hold(&db).await;
    let writes: Vec<_> = (0..3_000)
        .map(|key| {
            let db = Arc::clone(&db);
            tokio::spawn(async move { put(&db, key, "one of many").await })
        })
        .collect();
    drop(release);
    holding.await.unwrap().unwrap();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert_eq!(keys(&db).await.len(), 3_000);
}

#[tokio::test]
async fn a_write_that_waits_too_long_is_withdrawn_and_says_so() {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    let (release, holding) = hold(&db).await;
    // A clock that goes on by itself while all tasks wait.
    tokio::time::pause();
    let late = put(&db, 1, "late").await.unwrap_err();
    tokio::time::resume();
    assert!(matches!(&late, StoreError::Sick(why) if why.to_string().contains("waited 30 s")), "{late}");
    drop(release);
    holding.await.unwrap().unwrap();
    put(&db, 2, "after").await.unwrap();
    assert_eq!(keys(&db).await, [2], "it was told that nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_sees_what_was_acknowledged_before_it_and_one_moment_only() {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    for key in 0..200 {
        put(&db, key, "seen").await.unwrap();
        let seen = db.read(move |connection| {
            Ok(connection.query_row("SELECT count(*) FROM item WHERE key = ?", [key], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(seen.await.unwrap(), 1);
    }
    let (wrote, written) = mpsc::channel::<()>();
    let (looked, looks) = tokio::sync::oneshot::channel();
    let reader = Arc::clone(&db);
    let reading = tokio::spawn(async move {
        reader
            .read(move |connection| {
                let count = || connection.query_row("SELECT count(*) FROM item", [], |row| row.get::<_, i64>(0));
                let before = count()?;
                let _ = looked.send(());
                let _ = written.recv();
                Ok((before, count()?))
            })
            .await
    });
    looks.await.unwrap();
    put(&db, 1_000, "meanwhile").await.unwrap();
    drop(wrote);
    assert_eq!(reading.await.unwrap().unwrap(), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cannot_write_and_one_that_breaks_off_is_not_missed() {
    let (_folder, path) = place();
    let db = open(&path).unwrap();
    assert!(db.read(|connection| insert(connection, 1, "no")).await.is_err());
    for _ in 0..20 {
        let broken = db.read(|_| -> SqlResult<()> { panic!("a fault that the test made") }).await;
        assert!(matches!(broken, Err(StoreError::Sick(_))));
    }
    assert!(keys(&db).await.is_empty());
}

#[test]
fn exactly_what_was_acknowledged_is_there_after_the_store_was_opened_again() {
    let ends = prop_oneof![
        5 => Just(End::Done),
        1 => Just(End::Refused),
        1 => Just(End::Broken),
        1 => Just(End::Panic),
        1 => Just(End::Dropped),
    ];
    // The panics are the test's own.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("that the test made") {
            hook(info);
        }
    }));
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let ran = runner.run(&(prop::collection::vec(ends, 1..300), 1_usize..4), |(ends, workers)| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        runtime.block_on(written_and_read_back(ends))
    });
    ran.unwrap();
}

async fn written_and_read_back(ends: Vec<End>) -> Result<(), TestCaseError> {
    let (_folder, path) = place();
    let db = Arc::new(open(&path).unwrap());
    let mut writes = Vec::new();
    for (end, key) in ends.into_iter().zip(0_i64..) {
        let db = Arc::clone(&db);
        let write = tokio::spawn(async move {
            let write = db.write(move |connection| {
                insert(connection, 2 * key, "first")?;
                match end {
                    End::Refused => return Err(refusal().into()),
                    End::Broken => insert(connection, 2 * key, "twice")?,
                    End::Panic => panic!("a fault that the test made"),
                    End::Done | End::Dropped => {}
                }
                insert(connection, 2 * key + 1, "second")
            });
            write.await
        });
        if matches!(end, End::Dropped) {
            tokio::task::yield_now().await;
            write.abort();
        }
        writes.push((key, end, write));
    }
    let (mut acknowledged, mut unknown) = (Vec::new(), Vec::new());
    for (key, end, write) in writes {
        match write.await {
            Ok(Ok(())) => acknowledged.extend([2 * key, 2 * key + 1]),
            Ok(Err(error)) => prop_assert!(!matches!(end, End::Done), "{key}: {error}"),
            Err(_) => unknown.push(key),
        }
    }
    drop(Arc::into_inner(db));
    let db = open(&path).unwrap();
    let mut found = keys(&db).await;
    for key in unknown {
        let pair = [2 * key, 2 * key + 1];
        let there = pair.iter().filter(|key| found.contains(key)).count();
        prop_assert!(there != 1, "{key} is there by half");
        found.retain(|key| !pair.contains(key));
    }
    prop_assert_eq!(found, acknowledged);
    Ok(())
}
