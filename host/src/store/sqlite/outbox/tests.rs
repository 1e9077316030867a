//! The order of what is due, and the indexes that it comes from.

use super::super::testing::{Result, count, open as open_turn, plan, session, store, turn};
use super::*;
use crate::store::Store;

fn new(peer: &str, number: u64, conversation: &str) -> NewDelivery {
    NewDelivery {
        id: DeliveryId(turn(number)),
        session: Some(session(peer)),
        channel: "telegram".to_owned(),
        conversation: conversation.to_owned(),
        content: Bytes::from_static(b"hello"),
        draft: false,
        epoch: Epoch(1),
        now: Timestamp(number),
    }
}

fn step(number: u64, state: DeliveryState, due: u64) -> DeliveryUpdate {
    let (id, due) = (DeliveryId(turn(number)), Timestamp(due));
    DeliveryUpdate { id, epoch: Epoch(1), state, progress: None, attempts: 1, due, reason: None, shown: Vec::new() }
}

async fn due_at(store: &SqliteStore, now: u64, limit: usize) -> Result<Vec<u64>> {
    let due = store.deliveries_due("telegram", Timestamp(now), limit).await?;
    Ok(due.into_iter().map(|delivery| delivery.created_at.0).collect())
}

#[tokio::test]
async fn a_conversation_keeps_its_order_and_holds_up_no_other() -> Result {
    let (_folder, store) = store()?;
    open_turn(&store, "ann", 1).await?;
    for (number, conversation) in [(5, "slow"), (6, "slow"), (7, "quick"), (8, "quick")] {
        assert!(store.delivery_open(new("ann", number, conversation)).await?);
    }
    assert_eq!(due_at(&store, 10, 10).await?, [5, 7]);
    assert_eq!(due_at(&store, 10, 1).await?, [5]);
    // The head waits for its moment, and all behind it wait with it.
    assert!(store.delivery_update(step(5, DeliveryState::Pending, 1_000)).await?);
    assert_eq!(due_at(&store, 10, 10).await?, [7]);
    assert!(store.delivery_update(step(7, DeliveryState::Sent, 0)).await?);
    assert_eq!(due_at(&store, 10, 10).await?, [8]);
    assert_eq!(due_at(&store, 1_000, 10).await?, [8, 5]);
    assert!(store.delivery_update(step(5, DeliveryState::Dead, 0)).await?);
    assert_eq!(due_at(&store, 1_000, 10).await?, [6, 8]);
    // Its owner gives it another try: it is the first again.
    assert!(store.delivery_update(step(5, DeliveryState::Pending, 3)).await?);
    assert_eq!(due_at(&store, 1_000, 10).await?, [5, 8]);
    assert!(store.deliveries_due("discord", Timestamp(1_000), 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_draft_is_not_settled_before_its_final_content_came() -> Result {
    let (_folder, store) = store()?;
    open_turn(&store, "ann", 1).await?;
    assert!(store.delivery_open(NewDelivery { draft: true, ..new("ann", 5, "one") }).await?);
    assert!(store.delivery_open(new("ann", 6, "one")).await?);
    let shown = vec!["m1".to_owned()];
    let sent = DeliveryUpdate {
        progress: Some(Bytes::from_static(b"edits m1")),
        reason: Some("slow".into()),
        shown: shown.clone(),
        ..step(5, DeliveryState::Sent, 900)
    };
    store.delivery_update(sent).await?;
    assert!(due_at(&store, 10, 10).await?.is_empty(), "its driver looks at it later, and what is behind it waits");
    let last = NewDelivery { content: Bytes::from_static(b"hello, ann"), ..new("ann", 5, "one") };
    assert!(store.delivery_open(NewDelivery { now: Timestamp(8), ..last }).await?);
    assert_eq!(due_at(&store, 8, 10).await?, [5], "what it says at last is yet to be sent, and at once");
    let found = store.delivery(DeliveryId(turn(5))).await?.ok_or("a delivery")?;
    assert_eq!((found.state, found.attempts, found.draft), (DeliveryState::Pending, 0, false));
    assert_eq!((found.progress.as_deref(), found.shown, found.reason), (Some(&b"edits m1"[..]), shown, None));
    assert_eq!(found.content, "hello, ann");
    store.delivery_update(step(5, DeliveryState::Sent, 4)).await?;
    assert_eq!(due_at(&store, 10, 10).await?, [6]);
    assert!(!store.delivery_open(new("ann", 5, "one")).await?);
    Ok(())
}

#[tokio::test]
async fn a_session_takes_its_deliveries_with_it_and_lets_the_next_pass() -> Result {
    let (_folder, store) = store()?;
    open_turn(&store, "ann", 1).await?;
    open_turn(&store, "ben", 2).await?;
    store.delivery_open(new("ann", 5, "shared")).await?;
    store.delivery_open(new("ben", 6, "shared")).await?;
    assert_eq!(due_at(&store, 10, 10).await?, [5]);
    store.delete(&session("ann"), Epoch(1)).await?;
    assert_eq!(due_at(&store, 10, 10).await?, [6]);
    assert_eq!(count(&store, "SELECT count(*) FROM deliveries").await?, 1);
    Ok(())
}

#[tokio::test]
async fn settled_deliveries_of_an_agent_go_by_age_and_open_ones_stay() -> Result {
    let (_folder, store) = store()?;
    open_turn(&store, "ann", 1).await?;
    for number in 5..9 {
        store.delivery_open(new("ann", number, "one")).await?;
    }
    for number in [5, 7, 8] {
        store.delivery_update(step(number, DeliveryState::Sent, 0)).await?;
    }
    let forget = async |agent: &'static str| {
        let forget = move |connection: &Connection| forget_settled(connection, Some(agent), 8, 100);
        store.db.write(forget).await
    };
    assert_eq!((forget("other").await?, forget("main").await?), (0, 2));
    let left = store.deliveries(&DeliveryFilter::default(), None, 10).await?.items;
    assert_eq!(left.iter().map(|delivery| delivery.created_at.0).collect::<Vec<_>>(), [6, 8]);
    Ok(())
}

#[tokio::test]
async fn what_is_due_comes_out_of_the_index_of_what_is_open() -> Result {
    let (_folder, store) = store()?;
    let due = plan(&store, select(DUE)).await?;
    assert!(due.contains("USING COVERING INDEX deliveries_open (channel=?)"), "{due}");
    assert!(!due.contains("SCAN deliveries"), "{due}");
    let page = plan(&store, select(OF_CHANNEL)).await?;
    assert!(
        page.contains("deliveries_channel (channel=? AND delivery>?)") && !page.contains("B-TREE FOR ORDER BY"),
        "{page}"
    );
    let all = plan(&store, select(OF_ALL)).await?;
    assert!(all.contains("(delivery>?)") && !all.contains("B-TREE FOR ORDER BY"), "{all}");
    let receipt = plan(&store, OF_RECEIPT).await?;
    assert!(receipt.contains("shown_message (channel=? AND message=?)") && !receipt.contains("SCAN d"), "{receipt}");
    let forget = plan(&store, FORGET).await?;
    assert!(forget.contains("deliveries_age (agent=? AND created_at<?)"), "{forget}");
    Ok(())
}
