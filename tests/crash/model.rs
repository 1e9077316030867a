//! The model behind the gateway. It is not killed with it, and remembers each request that it got and what
//! it said to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::harness::{Answer, Counts, FakeProvider, Gate, Reply, Request, Wire, refusal};

/// The tool that must not run twice: it counts up the key that it is given, which is its call's.
const UNREPEATABLE: &str = "increment";

/// Rounds of tools in one turn, at most.
const ROUNDS: u64 = 2;

/// What a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// All of it, with these counts, which no other request has.
    Whole { input: u64, output: u64 },
    /// The connection was closed in the middle.
    Cut,
    /// An error before the first word.
    Refused,
}

/// What the model remembers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// For each message, by its name, what its requests were answered.
    pub(crate) requests: HashMap<String, Vec<Said>>,
    /// The calls of the tool that must not run twice.
    pub(crate) unrepeatable: Vec<String>,
}

impl Memory {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Said> {
        self.requests.values().flatten()
    }
}

/// A model that answers, calls tools, breaks off and refuses, as the dice say.
pub(crate) struct Model {
    pub(crate) provider: FakeProvider,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

impl Model {
    pub(crate) async fn start(wire: Wire, dice: Dice) -> Self {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let (kept, dice) = (Arc::clone(&memory), Mutex::new(dice));
        let provider = FakeProvider::start(wire, move |request: &Request| {
            let mut memory = kept.lock().expect("no poison");
            answer(request, &mut dice.lock().expect("no poison"), &mut memory)
        });
        Self { provider: provider.await, memory }
    }
}

/// What a message's text is: its name, which the model finds again in the conversation.
pub(crate) fn content(name: &str) -> String {
    format!("This is <{name}>.")
}

/// The name of the last message of a conversation.
fn name(request: &Request) -> String {
    let question = request.question();
    let found = question.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>'));
    found.map(|(name, _)| name.to_owned()).unwrap_or_else(|| panic!("a conversation without a message: {question}"))
}

fn answer(request: &Request, dice: &mut Dice, memory: &mut Memory) -> Answer {
    let number = memory.all().count() as u64;
    let said = memory.requests.entry(name(request)).or_default();
    if dice.once_in(16) {
        said.push(Said::Refused);
        let refusal = refusal(request.wire, 529, "overloaded_error", "the platform is busy");
        return refusal.header("retry-after-ms", "1").header("retry-after", "0");
    }
    let reply = slowly(Reply::text(format!("Answer {number} ")), dice);
    if dice.once_in(16) {
        said.push(Said::Cut);
        return reply.say("breaks ").cut().on(request.wire);
    }
    let counts =
        Counts { input: 1_000 + number, output: 1 + number % 97, cache_read: 0, cache_write: 0, cache_write_1h: 0 };
    said.push(Said::Whole { input: counts.input, output: counts.output });
    // The ids of a round's calls tell which round it was.
    let round = request.results().first().and_then(|(id, _)| id.split('_').nth(1)?.parse().ok()).unwrap_or(0);
    let reply = if round < ROUNDS && dice.once_in(2) {
        let calls = calls(&format!("call_{}_{number}", round + 1), dice);
        let unrepeatable = calls.iter().filter(|(_, tool, _)| *tool == UNREPEATABLE);
        memory.unrepeatable.extend(unrepeatable.map(|(id, _, _)| id.clone()));
        calls.into_iter().fold(reply, |reply, (id, tool, input)| reply.call(&id, tool, &input))
    } else {
        slowly(reply.say("goes on "), dice).say("and ends.")
    };
    reply.counts(counts).on(request.wire)
}

/// Pauses, so that the end of the process finds it in its middle.
fn slowly(reply: Reply, dice: &mut Dice) -> Reply {
    let (gate, pause) = (Gate::new(), dice.millis(0..30));
    let opens = gate.clone();
    tokio::spawn(async move {
        sleep(pause).await;
        opens.open();
    });
    reply.wait(&gate)
}

/// The calls of a round: some that may run as often as one likes, and one that must not.
fn calls(round: &str, dice: &mut Dice) -> Vec<(String, &'static str, Value)> {
    let id = |index: usize| format!("{round}_{index}");
    let counting = |id: String| (id.clone(), UNREPEATABLE, json!({"key": id}));
    match dice.below(4) {
        0 => vec![counting(id(0))],
        1 => vec![(id(0), "calculate", json!({"expression": "6 * 7"}))],
        2 => vec![
            (id(0), "echo", json!({"text": round})),
            counting(id(1)),
            (id(2), "current_time", json!({"timezone": "UTC"})),
        ],
        _ => vec![counting(id(0)), counting(id(1))],
    }
}
