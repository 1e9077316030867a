//! What only this engine does: what it forgets, and when.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::{Accept, Accepted, DynStore, Epoch, Idempotency, Message, Role, Step, Store, TurnEnd, contract};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn accept(peer: &str, turn: u64, now: u64, key: Option<(&str, u8)>) -> Accept {
    Accept {
        session: session(peer),
        turn: TurnId::new(Timestamp(now), turn),
        message: Arc::new(Message::text(Role::User, format!("message {turn}"))),
        destination: None,
        begin: None,
        idempotency: key.map(|(key, digest)| Idempotency { key: key.into(), digest: [digest; 32] }),
        epoch: Epoch(0),
        now: Timestamp(now),
    }
}

fn session(peer: &str) -> SessionKey {
    format!("a:b:c:{peer}").parse().expect("a key")
}

fn end(peer: &str, turn: u64, now: u64) -> TurnEnd {
    let turn = TurnId::new(Timestamp(now), turn);
    let step = Step::of(session(peer), turn, Epoch(0), Timestamp(now));
    TurnEnd { step, deliveries: Vec::new() }
}

#[tokio::test]
async fn a_key_is_one_turn_for_a_day_and_free_after_it() -> Result {
    let store = MemoryStore::new(MemoryLimits::default());
    let day = 24 * 60 * 60 * 1000;
    let first = accept("p", 1, 5, Some(("k", 1)));
    assert_eq!(store.accept(first.clone()).await?, Accepted::New);
    assert_eq!(store.accept(accept("p", 2, day, Some(("k", 1)))).await?, Accepted::Duplicate(first.turn));
    assert_eq!(store.accept(accept("p", 3, day, Some(("k", 2)))).await?, Accepted::KeyReused);
    assert_eq!(store.accept(accept("other", 4, day, Some(("k", 2)))).await?, Accepted::New);
    assert_eq!(store.accept(accept("p", 5, day + 5, Some(("k", 2)))).await?, Accepted::New);
    assert_eq!(store.recent(&session("p"), 10).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn past_the_limit_the_session_idle_longest_goes_and_one_at_work_stays() -> Result {
    let store = MemoryStore::new(MemoryLimits { sessions: 2, ..MemoryLimits::default() });
    store.accept(accept("working", 1, 1, None)).await?;
    store.accept(accept("idle", 2, 2, None)).await?;
    store.finish(end("idle", 2, 2)).await?;
    store.accept(accept("new", 3, 3, None)).await?;
    assert!(store.session(&session("working")).await?.is_some());
    assert!(store.session(&session("idle")).await?.is_none());
    assert!(matches!(store.accept(accept("more", 4, 4, None)).await, Err(StoreError::Full { limit: 2 })));
    Ok(())
}

proptest! {
    #[test]
    fn sums_are_those_of_the_calls(calls in contract::calls(), questions in contract::questions()) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
        tokio.block_on(contract::sums_are_those_of_the_calls(store, calls, questions, async |store| store))?;
    }
}

#[tokio::test]
async fn the_last_that_was_learnt_of_a_model_is_kept() -> Result {
    contract::the_last_that_was_learnt_of_a_model_is_kept(&MemoryStore::new(MemoryLimits::default())).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_answer_is_the_models(operations in contract::operations()) {
        let limits = MemoryLimits { turns: 1_000, ..MemoryLimits::default() };
        let reopen = async |store: Option<DynStore>| store.unwrap_or_else(|| Arc::new(MemoryStore::new(limits)));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        tokio.block_on(contract::the_store_does_what_the_model_does(reopen, operations))?;
    }
}

#[tokio::test]
async fn a_page_of_open_turns_goes_on_behind_a_turn_that_ended() -> Result {
    contract::a_page_of_open_turns_goes_on_behind_a_turn_that_ended(&MemoryStore::new(MemoryLimits::default())).await
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes() -> Result {
    contract::what_is_too_old_or_too_much_goes(&MemoryStore::new(MemoryLimits::default())).await
}

#[tokio::test]
async fn what_is_exported_is_found_again_where_it_is_imported() -> Result {
    let new = || MemoryStore::new(MemoryLimits::default());
    contract::what_is_exported_is_found_again_where_it_is_imported(&new(), &new()).await
}

proptest! {
    #[test]
    fn plugins_keep_what_they_set_within_their_quota(uses in contract::uses()) {
        let store = MemoryStore::new(MemoryLimits::default());
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        tokio.block_on(contract::keys_and_values_are_maps_within_a_quota(&store, uses))?;
    }
}

#[tokio::test]
async fn a_file_is_of_one_session() -> Result {
    contract::a_file_is_of_one_session(&MemoryStore::new(MemoryLimits::default())).await
}

#[tokio::test]
async fn files_stay_within_their_limits() -> Result {
    let (files, session_files) = (ByteSize::kib(16), ByteSize::kib(12));
    let limits = MemoryLimits { files, session_files, ..MemoryLimits::default() };
    contract::files_stay_within_their_limits(&MemoryStore::new(limits)).await
}

#[tokio::test]
async fn what_plugins_keep_for_a_session_goes_with_it() -> Result {
    let store = MemoryStore::new(MemoryLimits { sessions: 1, ..MemoryLimits::default() });
    let evict = async |session: &SessionKey, turn| {
        let step = Step::of(session.clone(), turn, Epoch(0), Timestamp(2));
        store.finish(TurnEnd { step, deliveries: Vec::new() }).await.expect("a session");
        store.accept(accept("another", 3, 3, None)).await.expect("room");
    };
    contract::what_is_of_a_session_goes_with_it(&store, evict).await?;
    assert_eq!(store.state().files_used, 0);
    Ok(())
}

#[tokio::test]
async fn pages_cover_the_history_without_gap_or_repeat() -> Result {
    let store = MemoryStore::new(MemoryLimits::default());
    for turn in 0..7 {
        store.accept(accept("p", turn, turn, None)).await?;
    }
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let page = store.history(&session("p"), before, 3).await?;
        seen.splice(0..0, page.items.iter().map(|message| message.position.0));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..7).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_reset_hides_the_past_from_the_model_and_keeps_the_history() -> Result {
    let store = MemoryStore::new(MemoryLimits::default());
    store.accept(accept("p", 1, 1, None)).await?;
    assert!(store.reset(&session("p"), Timestamp(2)).await?);
    assert!(store.recent(&session("p"), 10).await?.is_empty());
    assert_eq!(store.history(&session("p"), None, 10).await?.items.len(), 1);
    assert!(!store.reset(&session("nobody"), Timestamp(2)).await?);
    Ok(())
}

#[tokio::test]
async fn what_a_channel_may_not_store_leaves_nothing() -> Result {
    contract::what_a_channel_may_not_store_leaves_nothing(&MemoryStore::new(MemoryLimits::default())).await
}

#[tokio::test]
async fn writers_who_wait_are_bounded() -> Result {
    contract::writers_who_wait_are_bounded(&MemoryStore::new(MemoryLimits::default())).await
}

#[tokio::test]
async fn what_is_of_no_session_goes_when_its_window_has_passed() -> Result {
    contract::what_is_of_no_session_goes_when_its_window_has_passed(&MemoryStore::new(MemoryLimits::default())).await
}
