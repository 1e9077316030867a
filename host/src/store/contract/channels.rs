//! What channels keep: what every engine is held to, beside the model.

use super::{Tested, open, session};
use crate::store::*;

const CHANNEL: &str = "telegram";

fn commit(now: u64) -> ChannelCommit {
    ChannelCommit {
        channel: CHANNEL.to_owned(),
        epoch: Epoch(0),
        state: None,
        incoming: Vec::new(),
        receipts: Vec::new(),
        set_aside: None,
        replays: None,
        now: Timestamp(now),
    }
}

fn event(number: u64) -> EventId {
    EventId { account: "bot".to_owned(), id: number.to_string() }
}

fn noted(number: u64) -> Incoming {
    Incoming { event: event(number), accept: None, replies: Vec::new(), pairing: None }
}

fn delivery(number: u64, session: Option<SessionKey>) -> NewDelivery {
    NewDelivery {
        id: DeliveryId(TurnId::new(Timestamp(number), number)),
        session,
        channel: CHANNEL.to_owned(),
        conversation: "c".to_owned(),
        content: vec![1].into(),
        draft: false,
        epoch: Epoch(0),
        now: Timestamp(number),
    }
}

fn update(number: u64, state: DeliveryState, shown: Vec<String>) -> DeliveryUpdate {
    DeliveryUpdate {
        id: DeliveryId(TurnId::new(Timestamp(number), number)),
        epoch: Epoch(0),
        state,
        progress: None,
        attempts: 0,
        due: Timestamp(0),
        reason: None,
        shown,
    }
}

fn asks(number: u64) -> NewPairing {
    let (channel, account) = (CHANNEL.to_owned(), "bot".to_owned());
    NewPairing {
        writer: Writer { channel, account, kind: WriterKind::Direct, id: number.to_string() },
        name: None,
        code: format!("code {number}"),
        now: Timestamp(number),
    }
}

/// What is too large, too many or for nobody is refused, and leaves nothing.
pub(in crate::store) async fn what_a_channel_may_not_store_leaves_nothing(store: &dyn Store) -> Tested {
    let accept = |bytes| Accept {
        session: session("one"),
        turn: TurnId::new(Timestamp(1), 1),
        message: Arc::new(Message::text(Role::User, "hello")),
        destination: Some(Destination {
            channel: CHANNEL.to_owned(),
            conversation: "c".to_owned(),
            address: vec![0; bytes].into(),
        }),
        idempotency: None,
        epoch: Epoch(0),
        now: Timestamp(1),
    };
    assert!(matches!(store.accept(accept(MAX_ADDRESS + 1)).await, Err(StoreError::TooLarge { .. })));
    let large = Incoming { accept: Some(accept(MAX_ADDRESS + 1)), ..noted(1) };
    let refused = store.channel_commit(ChannelCommit { incoming: vec![noted(0), large], ..commit(1) }).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    let nobodys = Incoming { replies: vec![delivery(2, None), delivery(3, Some(session("two")))], ..noted(2) };
    let whole = Incoming { accept: Some(accept(9)), pairing: Some(asks(1)), ..noted(1) };
    let refused = store.channel_commit(ChannelCommit { incoming: vec![whole.clone(), nobodys], ..commit(1) }).await;
    assert!(matches!(refused, Err(StoreError::NoSession(key)) if key == session("two")));
    assert_eq!(store.session(&session("one")).await?, None);
    assert!(store.deliveries(&DeliveryFilter::default(), None, 9).await?.items.is_empty());
    assert!(store.pairings(None, Timestamp(1)).await?.is_empty());
    assert!(!store.seen(CHANNEL, &event(1), Timestamp(1)).await?);

    // A reply may go with the session that its own message makes.
    let whole = Incoming { replies: vec![delivery(3, Some(session("one")))], ..whole };
    store.channel_commit(ChannelCommit { incoming: vec![whole], ..commit(1) }).await?;
    let shown = |many: usize| (0..many).map(|one| one.to_string()).collect();
    assert!(store.delivery_update(update(3, DeliveryState::Sent, shown(MAX_SHOWN))).await?);
    let refused = store.delivery_update(update(3, DeliveryState::Dead, shown(MAX_SHOWN + 1))).await;
    assert!(matches!(refused, Err(StoreError::TooMany { limit: MAX_SHOWN, .. })));
    let found = store.delivery(delivery(3, None).id).await?.ok_or("a delivery")?;
    assert_eq!((found.state, found.shown.len()), (DeliveryState::Sent, MAX_SHOWN));
    Ok(())
}

/// Of the writers of a channel who wait, the oldest go beyond the limit; those of another stay, and so
/// does who was let in.
pub(in crate::store) async fn writers_who_wait_are_bounded(store: &dyn Store) -> Tested {
    let most = u64::try_from(MAX_PENDING)?;
    let other = NewPairing { writer: Writer { channel: "other".to_owned(), ..asks(0).writer }, ..asks(0) };
    let incoming = |pairing: NewPairing, number| Incoming { pairing: Some(pairing), ..noted(number) };
    let first = ChannelCommit { incoming: vec![incoming(other, 0), incoming(asks(1), 1)], ..commit(1) };
    store.channel_commit(first).await?;
    store.pairing_approve("code 1", Timestamp(1)).await?.ok_or("someone who waits")?;
    let many = (2..most + 4).map(|number| incoming(asks(number), number)).collect();
    store.channel_commit(ChannelCommit { incoming: many, ..commit(2) }).await?;
    let all = store.pairings(None, Timestamp(most)).await?;
    assert_eq!(all.len(), MAX_PENDING + 2);
    let is_there = |number| all.iter().any(|pairing| pairing.writer == asks(number).writer);
    assert_eq!([1, 2, 3, 4, most + 3].map(is_there), [true, false, false, true, true]);
    Ok(())
}

/// What belongs to no session goes when its window has passed, whatever agents keep: deliveries that are
/// settled, codes that nobody approved.
pub(in crate::store) async fn what_is_of_no_session_goes_when_its_window_has_passed(store: &dyn Store) -> Tested {
    open(store, &session("one"), 1).await?;
    for number in 2..6 {
        store.delivery_open(delivery(number, (number == 5).then(|| session("one")))).await?;
    }
    for number in [2, 4, 5] {
        store.delivery_update(update(number, DeliveryState::Sent, vec![format!("m{number}")])).await?;
    }
    let incoming = vec![Incoming { pairing: Some(asks(1)), ..noted(1) }];
    store.channel_commit(ChannelCommit { incoming, ..commit(1) }).await?;
    let agent: crate::config::AgentName = "a".parse().map_err(|_| "a name")?;
    let ids = async || -> Result<Vec<u64>, StoreError> {
        let all = store.deliveries(&DeliveryFilter::default(), None, 9).await?.items;
        Ok(all.iter().map(|delivery| delivery.created_at.0).collect())
    };
    let after = Timestamp(3).plus(DELIVERY_WINDOW);
    for (now, left) in [(Timestamp(9), vec![2, 3, 4, 5]), (after, vec![3, 4, 5])] {
        let retention = Retention { agent: agent.clone(), max_age: None, max_size: None, now };
        while store.retain(retention.clone()).await? {}
        assert_eq!(ids().await?, left, "what is not settled stays, and what is a session's");
    }
    assert!(!store.pairing_remove(&asks(1).writer).await?, "nobody waits under an old code");
    let receipt = |id: &str| NewReceipt { id: id.to_owned(), receipt: Receipt::Read, reason: None };
    store.channel_commit(ChannelCommit { receipts: vec![receipt("m2"), receipt("m4")], ..commit(9) }).await?;
    let read = store.delivery(delivery(4, None).id).await?.ok_or("a delivery")?;
    assert_eq!(read.receipt, Some(Receipt::Read));
    Ok(())
}
