//! All that can be read of a store, held against what the model has.

use proptest::prelude::*;

use super::operations::{Both, CHANNELS, OWNERS, SESSIONS, writer};
use super::{Outcome, session};
use crate::store::*;

fn failed(error: StoreError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn json(messages: &[StoredMessage]) -> Vec<String> {
    messages.iter().map(|message| serde_json::to_string(message).expect("a message has JSON")).collect()
}

/// All pages of a list.
macro_rules! pages {
    (|$after:ident| $page:expr) => {{
        let mut items = Vec::new();
        let mut $after = None;
        loop {
            let page = $page.await.map_err(failed)?;
            items.extend(page.items);
            prop_assert!(items.len() < 10_000, "the pages have no end");
            $after = page.next;
            if $after.is_none() {
                break items;
            }
        }
    }};
}

/// Compares everything.
pub(super) async fn compare(both: &Both) -> Outcome {
    sessions(both).await?;
    turns(both).await?;
    ledger(both).await?;
    channels(both).await?;
    deliveries(both).await?;
    pairings(both).await?;
    facts(both).await
}

async fn sessions(both: &Both) -> Outcome {
    let Both { store, model, .. } = both;
    let records = pages!(|after| store.sessions(after.as_ref(), 2));
    let expected: Vec<_> = model.sessions.values().map(|session| session.record.clone()).collect();
    prop_assert_eq!(records, expected, "the list of sessions");
    for peer in SESSIONS {
        let key = session(peer);
        let Some(expected) = model.sessions.get(&key) else {
            prop_assert!(matches!(store.history(&key, None, 9).await, Err(StoreError::NoSession(_))));
            prop_assert_eq!(store.session(&key).await.map_err(failed)?, None);
            prop_assert!(store.recent(&key, 9).await.map_err(failed)?.is_empty());
            prop_assert!(store.events(&key, None, Seq(0), 9).await.map_err(failed)?.is_empty());
            continue;
        };
        let found = store.session(&key).await.map_err(failed)?;
        prop_assert_eq!(found.as_ref(), Some(&expected.record));
        let (mut before, mut history) = (None, Vec::new());
        loop {
            let page = store.history(&key, before, 3).await.map_err(failed)?;
            history.splice(0..0, page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        prop_assert_eq!(json(&history), json(&expected.messages), "the history of {}", key);
        let visible: Vec<_> =
            expected.messages.iter().filter(|message| message.position.0 >= expected.context_from).cloned().collect();
        for limit in [2, 500] {
            let recent = store.recent(&key, limit).await.map_err(failed)?;
            let newest = &visible[visible.len().saturating_sub(limit)..];
            prop_assert_eq!(json(&recent), json(newest), "the {} newest messages of {}", limit, key);
        }
        for word in ["WORD1", "cafe", "absent \" * NEAR"] {
            let mut found = store.message_search(&key, word, 500).await.map_err(failed)?;
            found.sort_by_key(|message| message.position);
            let holds = |message: &&StoredMessage| match &message.message.blocks[..] {
                [Block::Text { text }] => match word {
                    "WORD1" => text.contains("word1"),
                    "cafe" => text.contains("Caf\u{e9}"),
                    _ => false,
                },
                _ => false,
            };
            let expected: Vec<_> = expected.messages.iter().filter(holds).cloned().collect();
            prop_assert_eq!(json(&found), json(&expected), "what `{}` finds in {}", word, key);
        }
        for ((scope, name), value) in &model.values {
            let space = KvSpace { plugin: crate::config::PluginName::unnamed(), scope: scope.clone() };
            let found = store.kv_get(&space, &name.parse().expect("a key")).await.map_err(failed)?;
            prop_assert_eq!(found.as_ref(), Some(value), "{} of {:?}", name, scope);
        }
    }
    Ok(())
}

async fn turns(both: &Both) -> Outcome {
    let Both { store, model, .. } = both;
    for peer in SESSIONS {
        let key = session(peer);
        let of_session = model.turns.iter().filter(|turn| turn.session == key);
        let mut all: Vec<_> = of_session.flat_map(|turn| turn.events.clone()).collect();
        all.sort_by_key(|event| event.seq);
        let found = store.events(&key, None, Seq(0), 1_000).await.map_err(failed)?;
        prop_assert_eq!(format!("{:?}", found), format!("{:?}", all), "the events of {}", key);
        let after = all.get(all.len() / 2).map_or(Seq(0), |event| event.seq);
        let found = store.events(&key, None, after, 2).await.map_err(failed)?;
        let rest: Vec<_> = all.iter().filter(|event| event.seq > after).take(2).collect();
        prop_assert_eq!(format!("{:?}", found), format!("{:?}", rest), "two events of {} after {:?}", key, after);
    }
    for (key, turn) in &both.turns {
        let known = model.turns.iter().find(|known| known.turn == *turn);
        let expected = known.map_or(&[][..], |known| &known.events[..]);
        let found = store.events(key, Some(*turn), Seq(0), 1_000).await.map_err(failed)?;
        prop_assert_eq!(format!("{:?}", found), format!("{:?}", expected), "the events of turn {}", turn);
    }
    let mut open: Vec<OpenTurn> = Vec::new();
    loop {
        let page = store.open_turns(open.last().cloned(), 2).await.map_err(failed)?;
        let more = !page.is_empty();
        open.extend(page);
        prop_assert!(open.len() < 10_000, "the pages have no end");
        if !more {
            break;
        }
    }
    let expected = model.turns.iter().filter(|turn| turn.open);
    let expected: Vec<_> = expected
        .map(|turn| OpenTurn { session: turn.session.clone(), turn: turn.turn, accepted_at: turn.accepted_at })
        .collect();
    prop_assert_eq!(open, expected, "the turns that are open");
    Ok(())
}

async fn ledger(both: &Both) -> Outcome {
    let Both { store, model, now, .. } = both;
    let filters = [
        LedgerFilter::default(),
        LedgerFilter { session: Some(session(SESSIONS[0])), ..LedgerFilter::default() },
        LedgerFilter { since: Some(*now), ..LedgerFilter::default() },
        LedgerFilter { until: Some(*now), ..LedgerFilter::default() },
    ];
    for filter in filters {
        let records = pages!(|after| store.ledger(&filter, after, 2));
        let expected = model.ledger.values().filter(|LedgerRecord { call, .. }| {
            filter.session.as_ref().is_none_or(|session| call.session == *session)
                && filter.since.is_none_or(|since| call.at >= since)
                && filter.until.is_none_or(|until| call.at < until)
        });
        prop_assert_eq!(records, expected.cloned().collect::<Vec<_>>(), "the ledger, of {:?}", filter);
    }
    let unsettled = pages!(|after| store.unsettled(after, 2));
    let expected = model.ledger.values().filter(|record| record.end.is_none()).map(|record| record.call.clone());
    prop_assert_eq!(unsettled, expected.collect::<Vec<_>>(), "what is not settled");
    for peer in SESSIONS {
        let filter = UsageFilter { session: Some(session(peer)), ..UsageFilter::default() };
        let spent = store.spent(filter, None, None).await.map_err(failed)?;
        let mut expected = UsageSums::default();
        for LedgerRecord { call, end } in model.ledger.values().filter(|record| record.call.session == session(peer)) {
            end.iter().for_each(|end| expected.add(&UsageSums::of(call.at, end)));
        }
        prop_assert_eq!(spent, Spent::from(&expected), "what {} spent, deleted or not", peer);
    }
    Ok(())
}

async fn channels(both: &Both) -> Outcome {
    let Both { store, model, now, .. } = both;
    for channel in CHANNELS {
        let state = store.channel_state(channel).await.map_err(failed)?;
        prop_assert_eq!(state, model.channels.get(channel).and_then(|channel| channel.state.clone()));
        for (number, at) in (0..5).flat_map(|number| [(number, *now), (number, now.plus(EVENT_WINDOW))]) {
            let event = EventId { account: format!("a{}", number % 2), id: format!("e{number}") };
            let seen = store.seen(channel, &event, at).await.map_err(failed)?;
            let expected = model.channels.get(channel).is_some_and(|channel| channel.has_seen(&event, at));
            prop_assert_eq!(seen, expected, "whether {:?} of {} was seen", event, channel);
        }
    }
    for channel in [None, Some(CHANNELS[0])] {
        let aside = pages!(|after| store.set_aside(channel, after, 2));
        prop_assert!(aside.is_sorted_by(|one, next| one.id < next.id), "{:?}", aside);
        let expected = model.aside.iter().filter(|one| channel.is_none_or(|channel| one.channel == channel));
        let what = |one: &SetAside| (one.channel.clone(), one.event.clone(), one.reason.clone(), one.at);
        let (aside, expected): (Vec<_>, Vec<_>) = (aside.iter().map(what).collect(), expected.map(what).collect());
        prop_assert_eq!(aside, expected, "what is set aside");
    }
    Ok(())
}

async fn deliveries(both: &Both) -> Outcome {
    let Both { store, model, now, .. } = both;
    let channel = Some(CHANNELS[0].to_owned());
    let filters = [
        DeliveryFilter::default(),
        DeliveryFilter { channel: channel.clone(), states: vec![DeliveryState::Pending, DeliveryState::Dead] },
        DeliveryFilter { channel: Some(CHANNELS[1].to_owned()), states: Vec::new() },
    ];
    for filter in filters {
        let found = pages!(|after| store.deliveries(&filter, after, 2));
        let expected = model.deliveries.iter().map(|(delivery, _)| delivery).filter(|delivery| {
            filter.channel.as_ref().is_none_or(|channel| delivery.channel == *channel)
                && (filter.states.is_empty() || filter.states.contains(&delivery.state))
        });
        let mut expected: Vec<_> = expected.cloned().collect();
        expected.sort_by_key(|delivery| delivery.id);
        prop_assert_eq!(found, expected, "deliveries, of {:?}", filter);
    }
    for (delivery, _) in &model.deliveries {
        let found = store.delivery(delivery.id).await.map_err(failed)?;
        prop_assert_eq!(found.as_ref(), Some(delivery));
    }
    for (channel, at) in [(CHANNELS[0], *now), (CHANNELS[0], Timestamp(u64::MAX >> 1)), (CHANNELS[1], *now)] {
        let expected = model.due(channel, at);
        for limit in [1, 100] {
            let due = store.deliveries_due(channel, at, limit).await.map_err(failed)?;
            prop_assert_eq!(&due[..], &expected[..expected.len().min(limit)], "due in {} at {:?}", channel, at);
        }
    }
    Ok(())
}

async fn pairings(both: &Both) -> Outcome {
    let Both { store, model, now, .. } = both;
    let expected = model.pairings(*now);
    let found = store.pairings(None, *now).await.map_err(failed)?;
    prop_assert_eq!(&found, &expected, "who is let in, and who waits");
    let of_channel = expected.iter().filter(|pairing| pairing.writer.channel == CHANNELS[0]).cloned();
    let found = store.pairings(Some(CHANNELS[0]), *now).await.map_err(failed)?;
    prop_assert_eq!(found, of_channel.collect::<Vec<_>>());
    for (channel, number) in (0..2).flat_map(|channel| (0..3).map(move |number| (channel, number))) {
        let writer = writer(channel, number);
        let found = store.pairing(&writer, *now).await.map_err(failed)?;
        prop_assert_eq!(found.as_ref(), expected.iter().find(|pairing| pairing.writer == writer));
    }
    Ok(())
}

async fn facts(both: &Both) -> Outcome {
    let Both { store, model, .. } = both;
    for owner in OWNERS {
        let of_owner = || model.facts.iter().filter(|fact| fact.owner == owner);
        let found = store.facts(owner, None, 1_000).await.map_err(failed)?;
        prop_assert_eq!(&found, &of_owner().cloned().collect::<Vec<_>>(), "the facts of {}", owner);
        if let Some(first) = found.first() {
            let rest = store.facts(owner, Some(first.id), 1).await.map_err(failed)?;
            prop_assert_eq!(rest, of_owner().skip(1).take(1).cloned().collect::<Vec<_>>());
        }
        let mut found = store.fact_search(owner, "Fact1 (absent)", 1_000).await.map_err(failed)?;
        found.sort_by_key(|fact| fact.id);
        let expected: Vec<_> = of_owner().filter(|fact| fact.text.contains("fact1")).cloned().collect();
        prop_assert_eq!(found, expected, "the facts of {} with a word", owner);
    }
    Ok(())
}
