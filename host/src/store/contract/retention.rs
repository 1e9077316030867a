//! What is kept, and for how long: what every engine is held to.

use std::time::Duration;

use super::{Tested, open, session};
use crate::config::{AgentName, ByteSize};
use crate::store::*;

const DAY: u64 = 24 * 60 * 60 * 1000;

async fn turn(store: &dyn Store, peer: &str, at: u64, end: bool) -> Tested {
    let turn = open(store, &session(peer), at).await?;
    let text = "x".repeat(1_000);
    let mut step = Step::of(session(peer), turn, Epoch(0), Timestamp(at));
    let seq = store.reserve_seq(1).await?;
    step.messages.push(Arc::new(Message::text(Role::Assistant, text)));
    step.events.push(Arc::new(Event { turn, session: session(peer), seq, body: EventBody::Started }));
    if end {
        store.finish(TurnEnd { step, deliveries: Vec::new() }).await?;
    } else {
        store.append(step).await?;
    }
    Ok(())
}

async fn retain(store: &dyn Store, max_age: Option<u64>, max_size: Option<u64>, now: u64) -> Tested {
    let agent: AgentName = "a".parse().map_err(|_| "a name")?;
    let (max_age, max_size) = (max_age.map(|days| Duration::from_millis(days * DAY)), max_size.map(ByteSize::kib));
    let retention = Retention { agent, max_age, max_size, now: Timestamp(now) };
    for _ in 0..1_000 {
        if !store.retain(retention.clone()).await? {
            return Ok(());
        }
    }
    Err("there is more to remove, again and again".into())
}

async fn times(store: &dyn Store, peer: &str) -> Result<Vec<u64>, StoreError> {
    let history = store.history(&session(peer), None, 100).await?.items;
    assert_eq!(store.session(&session(peer)).await?.map(|session| session.messages), Some(history.len() as u64));
    let mut times: Vec<_> = history.into_iter().map(|message| message.at.0 / DAY).collect();
    times.dedup();
    Ok(times)
}

/// Old turns go with their events, and empty sessions; what is open stays whole, and so does what is
/// another agent's. Of too much, the oldest goes.
pub(in crate::store) async fn what_is_too_old_or_too_much_goes(store: &dyn Store) -> Tested {
    let other: SessionKey = SessionKey::new("other", "b", "c", "old")?;
    // No two turns have one id, and so no two begin at once.
    open(store, &other, DAY + 2).await?;
    for day in 1..9 {
        turn(store, "mixed", day * DAY, day != 2).await?;
    }
    turn(store, "old", DAY + 1, true).await?;
    turn(store, "large", 20 * DAY, true).await?;
    turn(store, "large", 21 * DAY, true).await?;
    turn(store, "large", 22 * DAY, true).await?;

    retain(store, None, None, 22 * DAY).await?;
    assert_eq!(times(store, "mixed").await?, [1, 2, 3, 4, 5, 6, 7, 8], "without limits all stays");
    assert_eq!(times(store, "old").await?, [1]);

    // Half a day off, so that nothing depends on the last millisecond.
    retain(store, Some(16), None, 22 * DAY + DAY / 2).await?;
    assert_eq!(times(store, "mixed").await?, [2, 7, 8], "the open turn stays, and what is young");
    assert_eq!(store.events(&session("mixed"), None, Seq(0), 100).await?.len(), 3);
    assert_eq!(store.session(&session("old")).await?, None, "it was empty, and not used for long");
    assert!(store.session(&other).await?.is_some(), "another agent's stays");
    assert_eq!(store.history(&other, None, 9).await?.items.len(), 1);

    // Each turn is some 1,000 bytes: two fit, three do not.
    retain(store, None, Some(3), 23 * DAY).await?;
    assert_eq!(times(store, "large").await?.len(), 2 + usize::from(times(store, "large").await?[0] == 20));
    retain(store, None, Some(2), 23 * DAY).await?;
    assert_eq!(times(store, "large").await?.last(), Some(&22), "the newest stays longest");
    assert!(!times(store, "large").await?.contains(&20), "the oldest goes first");
    Ok(())
}
