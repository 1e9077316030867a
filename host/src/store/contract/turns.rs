//! Turns that are open: what every engine is held to, beside the model.

use super::{Tested, open, session};
use crate::store::*;

/// A page goes on where the one before ended, whatever became of its last turn: ended, or deleted
/// with its session.
pub(in crate::store) async fn a_page_of_open_turns_goes_on_behind_a_turn_that_ended(store: &dyn Store) -> Tested {
    let mut turns = Vec::new();
    for (turn, peer) in (1..).zip(["one", "two", "three"]) {
        turns.push(open(store, &session(peer), turn).await?);
    }
    let first = store.open_turns(None, 1).await?.pop().ok_or("a turn")?;
    assert_eq!(first.turn, turns[0]);
    let step = Step::of(first.session.clone(), first.turn, Epoch(0), Timestamp(9));
    store.finish(TurnEnd { step, deliveries: Vec::new() }).await?;
    let second = store.open_turns(Some(first), 1).await?.pop().ok_or("a turn")?;
    assert_eq!(second.turn, turns[1]);
    assert!(store.delete(&second.session, Epoch(0)).await?);
    let third = store.open_turns(Some(second), 1).await?.pop().ok_or("a turn")?;
    assert_eq!(third.turn, turns[2]);
    assert!(store.open_turns(Some(third), 1).await?.is_empty());
    Ok(())
}
