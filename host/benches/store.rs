//! What the store costs: commits a second and how long each of them takes, on SQLite as it outlives the loss of
//! power, as it outlives the end of the process, and in memory; and what grows with what is kept, and
//! what must not. Figures are to be read beside one another, within one run.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use exoclaw::store::sqlite::Durability;
use exoclaw::store::{
    Accept, CallCause, CallOutcome, DoneReason, DynStore, Epoch, Event, EventBody, FirstCall, LedgerEntry,
    MemoryLimits, MemoryStore, ModelCall, ModelCallEnd, ModelCallId, NanoDollars, Role, Seq, SessionKey, Step,
    Timestamp, TokenUsage, TurnEnd, TurnId,
};
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

/// How long commits are counted.
const COUNTED: Duration = Duration::from_secs(1);

/// Sessions that write at once.
const AT_ONCE: [usize; 4] = [1, 8, 64, 256];

/// Turns whose parts are timed.
const TURNS: usize = 300;

/// Reads that are timed.
const READS: usize = 300;

/// Which engine, and what its commits outlive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Power,
    Process,
    Memory,
}

const ENGINES: [Engine; 3] = [Engine::Memory, Engine::Process, Engine::Power];

/// A store with nothing in it, and the folder that it lives in.
struct Kept {
    store: DynStore,
    epoch: Epoch,
    folder: TempDir,
}

impl Kept {
    async fn new(engine: Engine) -> Self {
        let folder = support::folder();
        let store: DynStore = match engine {
            Engine::Power => support::in_file(folder.path(), Durability::Power),
            Engine::Process => support::in_file(folder.path(), Durability::Process),
            Engine::Memory => {
                let limits = MemoryLimits { sessions: 1 << 20, messages: 1 << 20, ..MemoryLimits::default() };
                Arc::new(MemoryStore::new(limits))
            }
        };
        let epoch = store.take_over().await.expect("an epoch");
        Self { store, epoch, folder }
    }

    /// Bytes of its files.
    fn size(&self) -> u64 {
        let files = std::fs::read_dir(self.folder.path()).expect("a folder").flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    }
}

/// One session, whose turns follow one another.
struct Talker {
    store: DynStore,
    epoch: Epoch,
    session: SessionKey,
    number: u64,
    turns: u64,
}

/// How long the parts of a turn took.
#[derive(Default)]
struct Took {
    accept: Vec<Duration>,
    begin: Vec<Duration>,
    /// Both in one transaction.
    both: Vec<Duration>,
    finish: Vec<Duration>,
    /// A turn that began its call with its message, and one that began it apart.
    turn: Vec<Duration>,
    apart: Vec<Duration>,
}

impl Talker {
    fn new(kept: &Kept, number: usize) -> Self {
        let session = format!("default:websocket:local:peer-{number}").parse().expect("a key");
        Self { store: Arc::clone(&kept.store), epoch: kept.epoch, session, number: number as u64, turns: 0 }
    }

    fn step(&self, turn: TurnId) -> Step {
        Step::of(self.session.clone(), turn, self.epoch, Timestamp::now())
    }

    fn event(&self, turn: TurnId, body: EventBody) -> Arc<Event> {
        // Four of a turn, at most.
        let seq = Seq(self.turns * 4 + if body.ends_turn() { 3 } else { 1 });
        Arc::new(Event { turn, session: self.session.clone(), seq, body })
    }

    /// Accepts a message.
    async fn accept(&mut self, begin: Option<FirstCall>) -> TurnId {
        self.turns += 1;
        let now = Timestamp::now();
        let turn = TurnId::new(now, self.number << 32 | self.turns);
        let message = Arc::new(said(Role::User, "A question of one line, as most of them are."));
        let session = self.session.clone();
        let accept =
            Accept { session, turn, message, destination: None, begin, idempotency: None, epoch: self.epoch, now };
        self.store.accept(accept).await.expect("accepted");
        turn
    }

    /// Ends a turn with its reply.
    async fn finish(&self, turn: TurnId, ledger: Vec<LedgerEntry>) {
        let reply = "An answer of a line or two, which is what a model says when it is asked for little.";
        let end = EventBody::Done { stop_reason: DoneReason::EndTurn, text: reply.into() };
        let step = Step {
            messages: vec![Arc::new(said(Role::Assistant, reply))],
            events: vec![self.event(turn, end)],
            ledger,
            ..self.step(turn)
        };
        self.store.finish(TurnEnd { step, deliveries: Vec::new() }).await.expect("finished");
    }

    /// Two turns of one call of a model. One began its call in a transaction of its own, as a turn does that
    /// had to wait; one began it with its message, as any other.
    async fn turns(&mut self, took: &mut Took) {
        let start = Instant::now();
        let turn = self.accept(None).await;
        took.accept.push(start.elapsed());
        let begin = Instant::now();
        let FirstCall { provider, model, estimate, reserved_cost } = first_call();
        let (id, session, at) = (ModelCallId { turn, index: 0 }, self.session.clone(), Timestamp::now());
        let call = ModelCall { id, session, provider, model, cause: CallCause::Message, estimate, reserved_cost, at };
        let step = Step {
            events: vec![self.event(turn, EventBody::Started)],
            ledger: vec![LedgerEntry::Begin(call)],
            ..self.step(turn)
        };
        self.store.append(step).await.expect("appended");
        took.begin.push(begin.elapsed());
        self.finish(turn, settled(turn)).await;
        took.apart.push(start.elapsed());

        let start = Instant::now();
        let turn = self.accept(Some(first_call())).await;
        took.both.push(start.elapsed());
        let finish = Instant::now();
        self.finish(turn, settled(turn)).await;
        took.finish.push(finish.elapsed());
        took.turn.push(start.elapsed());
    }
}

/// What the call of a turn consumed.
fn settled(turn: TurnId) -> Vec<LedgerEntry> {
    let tokens = TokenUsage { input_tokens: 900, output_tokens: 30, ..TokenUsage::default() };
    vec![LedgerEntry::Settle(ModelCallEnd {
        id: ModelCallId { turn, index: 0 },
        tokens,
        estimated: false,
        cost: Some(NanoDollars::from_nanos(3_150_000)),
        price: Some("2026-11".into()),
        cache_saving: Some(0),
        outcome: CallOutcome::Finished,
        at: Timestamp::now(),
    })]
}

fn first_call() -> FirstCall {
    let estimate = TokenUsage { input_tokens: 900, ..TokenUsage::default() };
    FirstCall {
        provider: "anthropic".into(),
        model: "a-model-with-a-name".into(),
        estimate,
        reserved_cost: Some(NanoDollars::from_nanos(4_000_000)),
    }
}

fn said(role: Role, text: &str) -> exoclaw::store::Message {
    exoclaw::store::Message::text(role, text)
}

/// The value that so many in a hundred do not exceed.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

fn median(times: &mut [Duration]) -> Duration {
    percentile(times, 50)
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// How many commits of how many sessions, and how long a message takes to be accepted meanwhile.
async fn commits() {
    println!("\ncommits a second (a turn has two: its message, its end), and the time to accept a message");
    for at_once in AT_ONCE {
        let mut base = None;
        for engine in ENGINES {
            let kept = Kept::new(engine).await;
            let until = Instant::now() + COUNTED;
            let talking = (0..at_once).map(|number| {
                let mut talker = Talker::new(&kept, number);
                tokio::spawn(async move {
                    let mut accepts = Vec::new();
                    while Instant::now() < until {
                        let start = Instant::now();
                        let turn = talker.accept(None).await;
                        accepts.push(start.elapsed());
                        talker.finish(turn, Vec::new()).await;
                    }
                    accepts
                })
            });
            let start = Instant::now();
            let accepts = join_all(talking).await.into_iter().map(|ended| ended.expect("a session that ends"));
            let mut accepts: Vec<Duration> = accepts.flatten().collect();
            let rate = 2.0 * accepts.len() as f64 / start.elapsed().as_secs_f64();
            let base = *base.get_or_insert(rate);
            let (half, most) = (median(&mut accepts), percentile(&mut accepts, 99));
            println!(
                "  {at_once:>3} sessions, {engine:<8?} {rate:>9.0} a second ({:.3} of memory), accepted in {half:?}, 99 % in {most:?}",
                rate / base
            );
        }
    }
}

/// The parts of a turn, one after the other, and the turn.
async fn turns() {
    println!("\na turn of one call of a model, medians of {TURNS}:");
    println!("  its message and its call in one commit, its end; all | apart: its message, its call; all");
    let mut base = None;
    for engine in ENGINES {
        let kept = Kept::new(engine).await;
        let (mut talker, mut took) = (Talker::new(&kept, 0), Took::default());
        for _ in 0..TURNS {
            talker.turns(&mut took).await;
        }
        let Took { accept, begin, both, finish, turn, apart } = &mut took;
        let [accept, begin, both, finish, turn, apart] =
            [accept, begin, both, finish, turn, apart].map(|times| median(times));
        let base = *base.get_or_insert(turn);
        println!(
            "  {engine:<8?} {both:?}, {finish:?}; {turn:?} ({:.1} of memory) | {accept:?}, {begin:?}; {apart:?}",
            ratio(turn, base)
        );
    }
}

/// Makes so many sessions of one turn each, many at once.
async fn fill_sessions(kept: &Kept, sessions: std::ops::Range<usize>) {
    const TASKS: usize = 256;
    let (first, last) = (sessions.start, sessions.end);
    let tasks = (0..TASKS).map(|task| {
        let mine: Vec<Talker> =
            (first..last).skip(task).step_by(TASKS).map(|number| Talker::new(kept, number)).collect();
        tokio::spawn(async move {
            for mut talker in mine {
                let turn = talker.accept(None).await;
                talker.finish(turn, Vec::new()).await;
            }
        })
    });
    for ended in join_all(tasks).await {
        ended.expect("sessions that were made");
    }
}

/// How long each of so many runs of something takes: the median.
async fn timed(runs: usize, mut run: impl AsyncFnMut(usize)) -> Duration {
    let mut times = Vec::with_capacity(runs);
    for index in 0..runs {
        let start = Instant::now();
        run(index).await;
        times.push(start.elapsed());
    }
    median(&mut times)
}

/// What more sessions do to a message, a context and a list.
async fn many_sessions() {
    println!("\nmany sessions, SQLite (Process): a message accepted, `recent(20)`, a page of 50 sessions; size");
    let kept = Kept::new(Engine::Process).await;
    let mut made = 0;
    for sessions in [1_000, 100_000] {
        fill_sessions(&kept, made..sessions).await;
        made = sessions;
        // With numbers of events that its earlier turns did not use.
        let spread = |index: usize| Talker { turns: sessions as u64, ..Talker::new(&kept, index * (sessions / READS)) };
        let accept = timed(READS, async |index| {
            let mut talker = spread(index);
            let turn = talker.accept(None).await;
            talker.finish(turn, Vec::new()).await;
        })
        .await;
        let recent = timed(READS, async |index| {
            kept.store.recent(&spread(index).session, 20).await.expect("read");
        })
        .await;
        let list = timed(READS, async |index| {
            kept.store.sessions(Some(&spread(index).session), 50).await.expect("read");
        })
        .await;
        let size = kept.size() >> 20;
        println!(
            "  {sessions:>6} sessions: accepted and ended {accept:?}, recent {recent:?}, list {list:?}; {size} MiB"
        );
    }
}

/// Reading the end of a history, as it grows.
async fn long_history() {
    println!(
        "\none history, medians of {READS}: `recent(20)`, the last 20 of the history, 20 from its middle, the last events"
    );
    for engine in [Engine::Memory, Engine::Process] {
        let kept = Kept::new(engine).await;
        let (mut talker, mut base) = (Talker::new(&kept, 0), None);
        for length in [100, 1_000, 10_000] {
            while talker.turns < length {
                let turn = talker.accept(None).await;
                talker.finish(turn, Vec::new()).await;
            }
            let (store, session) = (&kept.store, &talker.session);
            let recent = timed(READS, async |_| {
                assert_eq!(store.recent(session, 20).await.expect("read").len(), 20);
            })
            .await;
            let last = timed(READS, async |_| {
                assert_eq!(store.history(session, None, 20).await.expect("read").items.len(), 20);
            })
            .await;
            let middle = exoclaw::store::Position(length);
            let middle = timed(READS, async |_| {
                assert_eq!(store.history(session, Some(middle), 20).await.expect("read").items.len(), 20);
            })
            .await;
            let after = Seq(talker.turns * 4 - 16);
            let events = timed(READS, async |_| {
                store.events(session, None, after, 20).await.expect("read");
            })
            .await;
            let base = *base.get_or_insert(recent);
            println!(
                "  {engine:<8?} {length:>6} turns: {recent:?} ({:.2} of that at 100), {last:?}, {middle:?}, {events:?}",
                ratio(recent, base)
            );
        }
    }
}

/// What a gateway holds of memory, after so many turns over the wire, in sessions that come and go.
async fn memory() {
    const CONNECTIONS: usize = 32;
    println!("memory of a gateway on SQLite (Process), each session of 10 turns, {CONNECTIONS} connections");
    let folder = support::folder();
    let (_model, address) = support::scripted_on(support::in_file(folder.path(), Durability::Process)).await;
    let mut done = 0;
    for turns in [1_000, 10_000, 100_000] {
        let start = Instant::now();
        let talking = (0..CONNECTIONS).map(|connection| {
            let mine = (done..turns).skip(connection).step_by(CONNECTIONS);
            tokio::spawn(async move {
                let url = format!("ws://{address}/ws");
                let (mut socket, _) =
                    tokio_tungstenite::connect_async_with_config(url, None, true).await.expect("the gateway");
                for turn in mine {
                    let peer = format!("peer-{connection}-{}", turn / (10 * CONNECTIONS));
                    let params = json!({ "content": "One line, as most messages are.", "peer": peer });
                    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "chat.send", "params": params });
                    socket.send(Message::text(request.to_string())).await.expect("sent");
                    while let Some(message) = socket.next().await {
                        let message = message.expect("a message").into_text().expect("text");
                        assert!(!message.contains(r#""type":"error""#), "{message}");
                        if message.contains(r#""type":"done""#) {
                            break;
                        }
                    }
                }
            })
        });
        for ended in join_all(talking).await {
            ended.expect("a connection that ends");
        }
        let (rate, resident) = ((turns - done) as f64 / start.elapsed().as_secs_f64(), support::resident());
        done = turns;
        println!("  {turns:>6} turns: {:>6.1} MiB, {rate:.0} turns a second", resident as f64 / 1024.0);
    }
}

#[tokio::main]
async fn main() {
    let start = Instant::now();
    // Of the parts that are named, or of all.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    // First, while the process holds nothing else.
    if wanted("memory") {
        memory().await;
    }
    if wanted("commits") {
        commits().await;
    }
    if wanted("turns") {
        turns().await;
    }
    if wanted("history") {
        long_history().await;
    }
    if wanted("sessions") {
        many_sessions().await;
    }
    println!("\nall of it took {:?}", start.elapsed());
}
