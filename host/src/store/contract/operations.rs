//! Random uses of a store, each answer held against that of the model.

use std::time::Duration;

use proptest::prelude::*;

use super::model::Model;
use super::{Outcome, readings, session};
use crate::store::*;

/// One use. Small numbers choose sessions, turns and what else there is; `back` how many owners ago
/// the one who does it took over.
#[derive(Debug, Clone)]
pub(in crate::store) enum Op {
    TakeOver,
    Wait(Duration),
    Reopen,
    Compare,
    Accept {
        session: usize,
        key: Option<(u8, u8)>,
        destined: bool,
        back: u64,
    },
    Append {
        turn: usize,
        messages: u8,
        result: Option<u8>,
        events: u8,
        ledger: Vec<(u32, bool)>,
        back: u64,
    },
    Dispatch {
        turn: usize,
        calls: Vec<u8>,
        events: u8,
        back: u64,
    },
    Answered {
        turn: usize,
        call: u8,
        back: u64,
    },
    Finish {
        turn: usize,
        events: u8,
        delivery: Option<u8>,
        back: u64,
    },
    Resume {
        turn: usize,
        back: u64,
    },
    Reset(usize),
    Delete {
        session: usize,
        back: u64,
    },
    Reserve {
        count: u64,
    },
    Commit {
        channel: u8,
        incoming: Vec<News>,
        receipts: Vec<(Which, u8)>,
        state: Option<u8>,
        aside: bool,
        replays: Option<usize>,
        back: u64,
    },
    Open {
        turn: usize,
        conversation: u8,
        draft: bool,
        back: u64,
    },
    Update {
        delivery: usize,
        state: u8,
        progress: Option<u8>,
        shown: Vec<u8>,
        later: u64,
        back: u64,
    },
    Fact {
        owner: u8,
        turn: Option<usize>,
    },
    Forget {
        owner: u8,
        fact: usize,
    },
    Approve {
        code: u8,
    },
    Unpair {
        channel: u8,
        writer: u8,
    },
    Value {
        session: Option<usize>,
        key: u8,
    },
}

/// What a channel read out of an event.
#[derive(Debug, Clone)]
pub(in crate::store) struct News {
    event: u8,
    accept: Option<usize>,
    /// In which session, and in which conversation.
    reply: Option<(Option<usize>, u8)>,
    /// Who, and by which code.
    pairing: Option<(u8, u8)>,
}

/// Of which delivery a receipt is.
#[derive(Debug, Clone)]
pub(in crate::store) enum Which {
    Itself(usize),
    Shown(u8),
}

/// Sequences of uses.
pub(in crate::store) fn operations() -> impl Strategy<Value = Vec<Op>> {
    let back = || prop_oneof![5 => Just(0_u64), 1 => Just(1), 1 => Just(2)];
    let hours = |hours: std::ops::Range<u64>| hours.prop_map(|hours| Duration::from_secs(hours * 3600));
    let ledger = || prop::collection::vec((0_u32..4, any::<bool>()), 0..3);
    let maybe = |most: u8| prop::option::of(0..most);
    let session = || prop::option::of(0..3_usize);
    let news = (0..5_u8, session(), prop::option::of((session(), 0..2_u8)), prop::option::of((0..3_u8, 0..4_u8)))
        .prop_map(|(event, accept, reply, pairing)| News { event, accept, reply, pairing });
    let which = prop_oneof![(0..5_usize).prop_map(Which::Itself), (0..4_u8).prop_map(Which::Shown)];
    let one = prop_oneof![
        2 => Just(Op::TakeOver),
        1 => Just(Op::Reopen),
        1 => Just(Op::Compare),
        2 => prop_oneof![3 => (1_u64..2000).prop_map(Duration::from_millis), 1 => hours(1..30), 1 => hours(300..800)]
            .prop_map(Op::Wait),
        8 => (0..3_usize, prop::option::of((0..2_u8, 0..2_u8)), any::<bool>(), back())
            .prop_map(|(session, key, destined, back)| Op::Accept { session, key, destined, back }),
        6 => (0..4_usize, 0..3_u8, maybe(3), 0..3_u8, ledger(), back()).prop_map(
            |(turn, messages, result, events, ledger, back)| Op::Append { turn, messages, result, events, ledger, back }
        ),
        4 => (0..4_usize, prop::collection::vec(0..3_u8, 0..3), 0..2_u8, back())
            .prop_map(|(turn, calls, events, back)| Op::Dispatch { turn, calls, events, back }),
        3 => (0..4_usize, 0..3_u8, back()).prop_map(|(turn, call, back)| Op::Answered { turn, call, back }),
        4 => (0..4_usize, 0..3_u8, maybe(2), back())
            .prop_map(|(turn, events, delivery, back)| Op::Finish { turn, events, delivery, back }),
        3 => (0..4_usize, back()).prop_map(|(turn, back)| Op::Resume { turn, back }),
        1 => (0..3_usize).prop_map(Op::Reset),
        1 => (0..3_usize, back()).prop_map(|(session, back)| Op::Delete { session, back }),
        1 => (1..100_u64).prop_map(|count| Op::Reserve { count }),
        6 => (
            0..2_u8,
            prop::collection::vec(news, 0..4),
            prop::collection::vec((which, 0..3_u8), 0..3),
            maybe(9),
            any::<bool>(),
            prop::option::of(0..3_usize),
            back(),
        )
            .prop_map(|(channel, incoming, receipts, state, aside, replays, back)| {
                Op::Commit { channel, incoming, receipts, state, aside, replays, back }
            }),
        3 => (0..4_usize, 0..2_u8, any::<bool>(), back())
            .prop_map(|(turn, conversation, draft, back)| Op::Open { turn, conversation, draft, back }),
        5 => (0..5_usize, 0..5_u8, maybe(9), prop::collection::vec(0..4_u8, 0..3), 0..3000_u64, back()).prop_map(
            |(delivery, state, progress, shown, later, back)| {
                Op::Update { delivery, state, progress, shown, later, back }
            }
        ),
        2 => (0..2_u8, prop::option::of(0..4_usize)).prop_map(|(owner, turn)| Op::Fact { owner, turn }),
        1 => (0..2_u8, 0..4_usize).prop_map(|(owner, fact)| Op::Forget { owner, fact }),
        2 => (0..4_u8).prop_map(|code| Op::Approve { code }),
        1 => (0..2_u8, 0..3_u8).prop_map(|(channel, writer)| Op::Unpair { channel, writer }),
        2 => (prop::option::of(0..3_usize), 0..3_u8).prop_map(|(session, key)| Op::Value { session, key }),
    ];
    prop::collection::vec(one, 1..60)
}

/// The names of the sessions, the channels and the owners that uses are of.
pub(super) const SESSIONS: [&str; 3] = ["one", "two", "three"];
pub(super) const CHANNELS: [&str; 2] = ["left", "right"];
pub(super) const OWNERS: [&str; 2] = ["me", "you"];

/// A store and the model beside it.
pub(super) struct Both {
    pub(super) store: DynStore,
    pub(super) model: Model,
    pub(super) now: Timestamp,
    epoch: u64,
    last_seq: u64,
    last_fact: u64,
    /// Counts what must differ.
    count: u64,
    /// Every turn that was ever accepted, with its session.
    pub(super) turns: Vec<(SessionKey, TurnId)>,
    /// Every delivery that was ever opened.
    opened: Vec<DeliveryId>,
}

/// The writers of whom uses are.
pub(super) fn writer(channel: u8, number: u8) -> Writer {
    let kind = if number == 0 { WriterKind::Group } else { WriterKind::Direct };
    let channel = CHANNELS[usize::from(channel)].to_owned();
    Writer { channel, account: "a".to_owned(), kind, id: format!("w{}", number % 2) }
}

/// What a store and the model said to one use, as texts.
macro_rules! same {
    ($both:expr, $store:expr, $model:expr) => {{
        let store = format!("{:?}", $store);
        let model = format!("{:?}", $model);
        prop_assert_eq!(store, model, "the store's answer is on the left, the model's on the right");
    }};
}

/// Every answer of a store is the model's, and so is all that can be read of it at the end. `reopen` closes the
/// store that it is given, and opens it again; the first time it is given none.
pub(in crate::store) async fn the_store_does_what_the_model_does(
    mut reopen: impl AsyncFnMut(Option<DynStore>) -> DynStore,
    operations: Vec<Op>,
) -> Outcome {
    let store = reopen(None).await;
    let now = Timestamp(1_700_000_000_000);
    let (model, turns, opened) = (Model::default(), Vec::new(), Vec::new());
    let mut both = Both { store, model, now, epoch: 0, last_seq: 0, last_fact: 0, count: 0, turns, opened };
    for operation in operations {
        match operation {
            Op::Reopen => {
                let Both { store, .. } = both;
                both = Both { store: reopen(Some(store)).await, ..both };
                readings::compare(&both).await?;
            }
            Op::Compare => readings::compare(&both).await?,
            operation => both.run(operation).await?,
        }
    }
    readings::compare(&both).await
}

fn failed(error: StoreError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

impl Both {
    fn epoch(&self, back: u64) -> Epoch {
        Epoch(self.epoch.saturating_sub(back))
    }

    /// A number that was not given before.
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// One of the last turns, whatever became of it.
    fn turn(&self, back: usize) -> Option<(SessionKey, TurnId)> {
        self.turns.iter().rev().nth(back % self.turns.len().max(1)).cloned()
    }

    /// One of the last deliveries, whatever became of it.
    fn opened(&self, back: usize) -> Option<DeliveryId> {
        self.opened.iter().rev().nth(back % self.opened.len().max(1)).copied()
    }

    async fn reserve(&mut self, count: u64) -> Result<u64, TestCaseError> {
        let first = self.store.reserve_seq(count).await.map_err(failed)?.0;
        prop_assert!(first > self.last_seq, "{first} was set aside before, as part of what ends at {}", self.last_seq);
        self.last_seq = first + count - 1;
        Ok(first)
    }

    async fn step(
        &mut self,
        (session, turn): (SessionKey, TurnId),
        events: u8,
        back: u64,
    ) -> Result<Step, TestCaseError> {
        let mut step = Step::of(session.clone(), turn, self.epoch(back), self.now);
        if events > 0 {
            let first = self.reserve(u64::from(events)).await?;
            for seq in first..first + u64::from(events) {
                let delta = Delta { delta: format!("\"{seq}\u{e9}"), step: 0, offset: seq };
                let body = if seq % 2 == 0 { EventBody::Started } else { EventBody::Text(delta) };
                step.events.push(Arc::new(Event { turn, session: session.clone(), seq: Seq(seq), body }));
            }
        }
        Ok(step)
    }

    fn accept(&mut self, peer: usize, key: Option<(u8, u8)>, destined: bool, back: u64) -> Accept {
        let count = self.next();
        let turn = TurnId::new(self.now, count);
        let session = session(SESSIONS[peer]);
        self.turns.push((session.clone(), turn));
        let idempotency = key.map(|(key, digest)| Idempotency { key: format!("key {key}"), digest: [digest; 32] });
        let message = Arc::new(Message::text(Role::User, format!("word{} Caf\u{e9} n{count}", count % 3)));
        let destination = destined.then(|| Destination {
            channel: CHANNELS[0].to_owned(),
            conversation: format!("c{}", count % 2),
            address: vec![255, 0].into(),
        });
        let begin = count.is_multiple_of(2).then(|| FirstCall {
            provider: "first".to_owned(),
            model: format!("m{count}"),
            estimate: TokenUsage { input_tokens: count, ..TokenUsage::default() },
            reserved_cost: count.is_multiple_of(4).then_some(NanoDollars::from_nanos(count)),
        });
        Accept { session, turn, message, destination, begin, idempotency, epoch: self.epoch(back), now: self.now }
    }

    fn entries(&self, (session, turn): &(SessionKey, TurnId), entries: Vec<(u32, bool)>) -> Vec<LedgerEntry> {
        let tokens = TokenUsage { input_tokens: 3, output_tokens: self.count, ..TokenUsage::default() };
        let mut begun = self.model.ledger.keys().filter(|id| id.turn == *turn).count() as u32;
        let mut entry = |(index, begin): (u32, bool)| {
            // Calls are counted without a gap.
            let id = ModelCallId { turn: *turn, index: if begin { index.min(begun) } else { index } };
            if !begin {
                let (outcome, at) = (CallOutcome::Cut, self.now);
                let cost = (!self.count.is_multiple_of(3)).then_some(NanoDollars::from_nanos(self.count));
                let (price, cache_saving) = (cost.map(|_| "v1".to_owned()), cost.map(|_| -7));
                return LedgerEntry::Settle(ModelCallEnd {
                    id,
                    tokens,
                    estimated: true,
                    cost,
                    price,
                    cache_saving,
                    outcome,
                    at,
                });
            }
            begun = begun.max(id.index + 1);
            LedgerEntry::Begin(ModelCall {
                id,
                session: session.clone(),
                provider: "p".into(),
                model: "m".into(),
                cause: CallCause::Plugin("calculator".parse().expect("a name")),
                estimate: tokens,
                reserved_cost: None,
                at: self.now,
            })
        };
        entries.into_iter().map(&mut entry).collect()
    }

    fn delivery(
        &mut self,
        (session, turn): (SessionKey, TurnId),
        conversation: u8,
        draft: bool,
        back: u64,
    ) -> NewDelivery {
        let content = format!("content {}", self.next()).into();
        let (id, epoch, now) = (DeliveryId(turn), self.epoch(back), self.now);
        let (channel, conversation) = (CHANNELS[0].to_owned(), format!("c{conversation}"));
        self.opened.push(id);
        NewDelivery { id, session: Some(session), channel, conversation, content, draft, epoch, now }
    }

    fn incoming(&mut self, channel: u8, news: News, back: u64) -> Incoming {
        let News { event, accept, reply, pairing } = news;
        let accept = accept.map(|peer| self.accept(peer, None, true, back));
        let reply = reply.map(|(peer, conversation)| {
            let (peer, id) = (peer.map(|peer| session(SESSIONS[peer])), TurnId::new(self.now, self.next()));
            let delivery = self.delivery((session(SESSIONS[0]), id), conversation, false, back);
            NewDelivery { session: peer, channel: CHANNELS[usize::from(channel)].to_owned(), ..delivery }
        });
        let pairing = pairing.map(|(number, code)| NewPairing {
            writer: writer(channel, number),
            name: (code > 0).then(|| format!("name {}", self.next())),
            code: format!("code {code}"),
            now: self.now,
        });
        let event = EventId { account: format!("a{}", event % 2), id: format!("e{event}") };
        Incoming { event, accept, replies: reply.into_iter().collect(), pairing }
    }

    fn receipt(&self, which: &Which, receipt: u8) -> NewReceipt {
        let id = match which {
            Which::Itself(back) => self.opened(*back).map_or("nothing".to_owned(), |id| id.0.to_string()),
            Which::Shown(message) => format!("m{message}"),
        };
        let receipts = [Receipt::Delivered, Receipt::Read, Receipt::Failed];
        NewReceipt { id, receipt: receipts[usize::from(receipt)], reason: Some(format!("receipt {receipt}")) }
    }

    /// Uses the store and the model.
    async fn run(&mut self, operation: Op) -> Outcome {
        match operation {
            Op::Reopen | Op::Compare => {}
            Op::Wait(time) => self.now = self.now.plus(time),
            Op::TakeOver => {
                let epoch = self.store.take_over().await.map_err(failed)?.0;
                prop_assert!(epoch > self.epoch, "epoch {epoch} was given before");
                self.epoch = epoch;
            }
            Op::Accept { session, key, destined, back } => {
                let accept = self.accept(session, key, destined, back);
                same!(self, self.store.accept(accept.clone()).await, self.model.accept(accept));
            }
            Op::Append { turn, messages, result, events, ledger, back } => {
                let Some(turn) = self.turn(turn) else { return Ok(()) };
                let mut step = self.step(turn.clone(), events, back).await?;
                for _ in 0..messages {
                    let text = format!("reply {}", self.next());
                    step.messages.push(Arc::new(Message::text(Role::Assistant, text)));
                }
                if let Some(call) = result {
                    let blocks = vec![Block::ToolResult(answer(call, 0))];
                    step.messages.push(Arc::new(Message { role: Role::User, blocks }));
                }
                step.ledger = self.entries(&turn, ledger);
                same!(self, self.store.append(step.clone()).await, self.model.append(step));
            }
            Op::Dispatch { turn, calls, events, back } => {
                let Some(turn) = self.turn(turn) else { return Ok(()) };
                let step = self.step(turn, events, back).await?;
                let dispatch = Dispatch { step, calls: calls.into_iter().map(|call| format!("call {call}")).collect() };
                same!(self, self.store.dispatch(dispatch.clone()).await, self.model.dispatch(dispatch));
            }
            Op::Answered { turn, call, back } => {
                let Some(turn) = self.turn(turn) else { return Ok(()) };
                let step = self.step(turn, 0, back).await?;
                let answered = CallAnswered { step, result: answer(call, self.next()) };
                same!(self, self.store.answered(answered.clone()).await, self.model.answered(answered));
            }
            Op::Finish { turn, events, delivery, back } => {
                let Some(turn) = self.turn(turn) else { return Ok(()) };
                let step = self.step(turn.clone(), events, back).await?;
                let deliveries = delivery.map(|conversation| self.delivery(turn, conversation, false, back));
                let end = TurnEnd { step, deliveries: deliveries.into_iter().collect() };
                same!(self, self.store.finish(end.clone()).await, self.model.finish(end));
            }
            Op::Resume { turn, back } => {
                let Some((session, turn)) = self.turn(turn) else { return Ok(()) };
                let resume = Resume { session, turn, epoch: self.epoch(back) };
                same!(self, self.store.resume(resume.clone()).await, self.model.resume(&resume));
            }
            Op::Reset(peer) => {
                let session = session(SESSIONS[peer]);
                let reset = self.store.reset(&session, self.now).await.map_err(failed)?;
                prop_assert_eq!(reset, self.model.reset(&session, self.now));
            }
            Op::Delete { session: peer, back } => {
                let (session, epoch) = (session(SESSIONS[peer]), self.epoch(back));
                same!(self, self.store.delete(&session, epoch).await, self.model.delete(&session, epoch));
            }
            Op::Reserve { count } => {
                self.reserve(count).await?;
            }
            Op::Commit { channel, incoming, receipts, state, aside, replays, back } => {
                let receipts = receipts.iter().map(|(which, receipt)| self.receipt(which, *receipt)).collect();
                let incoming = incoming.into_iter().map(|news| self.incoming(channel, news, back)).collect();
                // The same event under the number that each gave it.
                let asides = self.store.set_aside(None, None, 1_000).await.map_err(failed)?.items;
                let replayed = |asides: &[SetAside]| Some(asides.get(replays? % asides.len().max(1))?.id);
                let (theirs, ours) = (replayed(&asides), replayed(&self.model.aside));
                let commit = ChannelCommit {
                    incoming,
                    receipts,
                    replays: theirs,
                    channel: CHANNELS[usize::from(channel)].to_owned(),
                    epoch: self.epoch(back),
                    state: state.map(|state| vec![state].into()),
                    set_aside: aside.then(|| NewSetAside { event: vec![255, channel].into(), reason: "no".to_owned() }),
                    now: self.now,
                };
                let modelled = ChannelCommit { replays: ours, ..commit.clone() };
                same!(self, self.store.channel_commit(commit).await, self.model.channel_commit(modelled));
            }
            Op::Open { turn, conversation, draft, back } => {
                let Some(turn) = self.turn(turn) else { return Ok(()) };
                let delivery = self.delivery(turn, conversation, draft, back);
                same!(self, self.store.delivery_open(delivery.clone()).await, self.model.delivery_open(delivery));
            }
            Op::Update { delivery, state, progress, shown, later, back } => {
                let Some(id) = self.opened(delivery) else { return Ok(()) };
                let states = [
                    DeliveryState::Pending,
                    DeliveryState::Sending,
                    DeliveryState::Unknown,
                    DeliveryState::Sent,
                    DeliveryState::Dead,
                ];
                let update = DeliveryUpdate {
                    id,
                    epoch: self.epoch(back),
                    state: states[usize::from(state)],
                    progress: progress.map(|progress| vec![progress].into()),
                    attempts: u32::from(state),
                    due: self.now.plus(Duration::from_millis(later)),
                    reason: progress.map(|progress| format!("reason {progress}")),
                    shown: shown.into_iter().map(|message| format!("m{message}")).collect(),
                };
                same!(self, self.store.delivery_update(update.clone()).await, self.model.delivery_update(update));
            }
            Op::Fact { owner, turn } => {
                let source = turn.and_then(|turn| self.turn(turn));
                let gone = source.as_ref().filter(|(session, _)| !self.model.sessions.contains_key(session));
                let gone = gone.map(|(session, _)| session.clone());
                let (owner, text) = (OWNERS[usize::from(owner)].to_owned(), format!("fact{} x", self.next() % 3));
                let fact = NewFact { owner: owner.clone(), text: text.clone(), source: source.clone(), now: self.now };
                match (self.store.fact_add(fact).await, gone) {
                    (Ok(id), None) => {
                        prop_assert!(id.0 > self.last_fact, "{id:?} was given before");
                        self.last_fact = id.0;
                        self.model.facts.push(Fact { id, owner, text, source, created_at: self.now });
                    }
                    (Err(StoreError::NoSession(session)), Some(gone)) if session == gone => {}
                    (answer, gone) => prop_assert!(false, "{answer:?} to a fact; the session that is gone: {gone:?}"),
                }
            }
            Op::Forget { owner, fact } => {
                let owner = OWNERS[usize::from(owner)];
                let id = self.model.facts.iter().rev().nth(fact).map_or(FactId(9), |fact| fact.id);
                let facts = self.model.facts.len();
                self.model.facts.retain(|fact| fact.id != id || fact.owner != owner);
                let forgot = self.store.fact_forget(owner, id).await.map_err(failed)?;
                prop_assert_eq!(forgot, self.model.facts.len() < facts);
            }
            Op::Approve { code } => {
                let (code, now) = (format!("code {code}"), self.now);
                same!(
                    self,
                    self.store.pairing_approve(&code, now).await.map_err(failed)?,
                    self.model.approve(&code, now)
                );
            }
            Op::Unpair { channel, writer: number } => {
                let writer = writer(channel, number);
                let removed = self.store.pairing_remove(&writer).await.map_err(failed)?;
                // Whoever waited too long may be forgotten already, or not.
                let there = self.model.pairings(self.now).iter().any(|pairing| pairing.writer == writer);
                prop_assert!(removed || !there, "{:?}", writer);
                self.model.unpair(&writer);
            }
            Op::Value { session: peer, key } => {
                let scope = peer.map_or(KvScope::Plugin, |peer| KvScope::Session(session(SESSIONS[peer])));
                let value = self.next().to_string().into_bytes();
                let set = KvSet {
                    space: KvSpace { plugin: crate::config::PluginName::unnamed(), scope },
                    key: format!("k{key}").parse().expect("a key"),
                    value: value.try_into().expect("a short value"),
                    expected: KvExpected::Anything,
                    quota: u64::MAX >> 2,
                };
                same!(self, self.store.kv_set(set.clone()).await, self.model.kv_set(set));
            }
        }
        Ok(())
    }
}

fn answer(call: u8, count: u64) -> ToolResult {
    let content = vec![ToolContent::text(format!("result {count}"))];
    ToolResult { tool_use_id: format!("call {call}"), content, is_error: count % 2 == 1 }
}
