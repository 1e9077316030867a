use proptest::prelude::*;

use super::*;
use crate::store::sqlite::{cells, retain, sessions, turns};
use crate::store::{Accept, Epoch, Message, Retention, Role, Step, Timestamp, TurnEnd, TurnId};

/// Something that happens to one of three sessions.
#[derive(Debug, Clone)]
enum Use {
    Turn(usize, usize),
    Reset(usize),
    Delete(usize),
    Retain(u64),
    RetainSize(u64),
    Failed(usize),
    Read(usize, usize),
}

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let session = || 0..3_usize;
    let one = prop_oneof![
        4 => (session(), 0..4_usize).prop_map(|(session, messages)| Use::Turn(session, messages)),
        1 => session().prop_map(Use::Reset),
        1 => session().prop_map(Use::Delete),
        1 => (0..40_u64).prop_map(Use::Retain),
        1 => (0..600_u64).prop_map(Use::RetainSize),
        1 => session().prop_map(Use::Failed),
        6 => (session(), 0..9_usize).prop_map(|(session, limit)| Use::Read(session, limit)),
    ];
    prop::collection::vec(one, 1..80)
}

fn database() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(include_str!("../schema/sessions.sql"))?;
    connection.execute_batch(include_str!("../schema/rest.sql"))?;
    connection.execute_batch(include_str!("../schema/channels.sql"))?;
    Ok(connection)
}

fn key(session: usize) -> SessionKey {
    format!("main:b:c:{session}").parse().expect("a key")
}

fn turn(connection: &Connection, session: usize, messages: usize, now: u64) -> SqlResult<()> {
    let (session, turn, now) = (key(session), TurnId::new(Timestamp(now), now), Timestamp(now));
    let message = Arc::new(Message::text(Role::User, format!("question {now:?}")));
    let epoch = Epoch(1);
    sessions::accept(
        connection,
        &Accept { session: session.clone(), turn, message, destination: None, idempotency: None, epoch, now },
    )?;
    let mut step = Step::of(session, turn, epoch, now);
    step.messages = (0..messages).map(|_| Arc::new(Message::text(Role::Assistant, "answer"))).collect();
    turns::finish(connection, &TurnEnd { step, deliveries: Vec::new() })
}

fn seen(messages: &[StoredMessage]) -> SqlResult<String> {
    cells::json("messages", messages)
}

proptest! {
    // Each makes a database.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_held_is_what_the_tables_say(uses in uses()) {
        let failed = |error: super::super::error::SqlError| TestCaseError::fail(error.to_string());
        let connection = database()?;
        let cache = RecentCache::default();
        for (now, one) in uses.into_iter().enumerate() {
            let now = now as u64;
            let retention = |max_age, max_size| {
                let agent = "main".parse().expect("a name");
                Retention { agent, max_age, max_size, now: Timestamp(now) }
            };
            match one {
                Use::Turn(session, messages) => turn(&connection, session, messages, now).map_err(failed)?,
                Use::Reset(session) => drop(sessions::reset(&connection, &key(session), Timestamp(now)).map_err(failed)?),
                Use::Delete(session) => drop(sessions::delete(&connection, &key(session), Epoch(1)).map_err(failed)?),
                Use::Retain(age) => {
                    let retention = retention(Some(std::time::Duration::from_millis(age)), None);
                    retain::retain(&connection, &retention).map_err(failed)?;
                }
                Use::RetainSize(size) => {
                    let retention = retention(None, Some(crate::config::ByteSize(size)));
                    retain::retain(&connection, &retention).map_err(failed)?;
                }
                Use::Failed(session) => {
                    connection.execute_batch("BEGIN")?;
                    turn(&connection, session, 2, now).map_err(failed)?;
                    connection.execute_batch("ROLLBACK")?;
                }
                Use::Read(session, limit) => {
                    let held = cache.read(&connection, &key(session), limit).map_err(failed)?;
                    let right = RecentCache::default().read(&connection, &key(session), limit).map_err(failed)?;
                    prop_assert_eq!(seen(&held).map_err(failed)?, seen(&right).map_err(failed)?);
                }
            }
        }
        let state = cache.state();
        prop_assert_eq!(state.bytes, state.sessions.values().map(|(_, newest)| newest.bytes()).sum::<usize>());
        prop_assert_eq!(state.by_use.len(), state.sessions.len());
    }
}

#[test]
fn a_second_read_parses_nothing_and_a_later_one_only_what_is_new() -> std::result::Result<(), Box<dyn std::error::Error>>
{
    let connection = database()?;
    let cache = RecentCache::default();
    turn(&connection, 0, 3, 1)?;
    assert_eq!(cache.read(&connection, &key(0), 10)?.len(), 4);
    // What cannot be parsed shows what is.
    connection.execute("UPDATE messages SET blocks = '?'", [])?;
    assert_eq!(cache.read(&connection, &key(0), 10)?.len(), 4);
    turn(&connection, 0, 1, 2)?;
    assert_eq!(cache.read(&connection, &key(0), 5)?.len(), 5);
    assert!(RecentCache::default().read(&connection, &key(0), 10).is_err());
    Ok(())
}

#[test]
fn sessions_read_longest_ago_make_room_and_no_session_takes_all_of_it() {
    let mut state = State::default();
    let newest = |bytes: usize| {
        let version = Version { from: 0, next: 1, messages: 1, removals: 0 };
        let (turn, at) = (TurnId::new(Timestamp(0), 0), Timestamp(0));
        let message = Arc::new(Message::text(Role::User, "held"));
        let message = StoredMessage { position: crate::store::Position(0), turn, at, message };
        Arc::new(Newest { version, messages: vec![(bytes - OVERHEAD, message)], whole: true })
    };
    state.insert(-1, newest(SESSION_BYTES + 1));
    assert!(state.sessions.is_empty());
    for session in 0..16 {
        state.insert(session, newest(SESSION_BYTES));
    }
    state.insert(0, newest(SESSION_BYTES));
    state.insert(16, newest(SESSION_BYTES));
    assert!(state.sessions.contains_key(&0) && !state.sessions.contains_key(&1));
    assert_eq!(state.bytes, BYTES);
    for session in 100..100 + 2 * SESSIONS as i64 {
        state.insert(session, newest(OVERHEAD));
    }
    assert_eq!((state.sessions.len(), state.bytes), (SESSIONS, SESSIONS * OVERHEAD));
}
