//! A gateway's agent that dies and comes back over the same store, with a model and tools that
//! remember what was asked of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{self, BoxFuture, FutureExt};
use serde_json::value::RawValue;

use super::flaky::{Fault, Flaky};
use super::submission;
use crate::agent::tools::{AgentTools, Callable};
use crate::agent::{Dispatcher, Parts, Submission};
use crate::config::{AgentConfig, AgentName, Config, ModelName};
use crate::provider::{EventStream, Jitter, Provider, ProviderError, Providers, Refusal, Request, StreamEvent};
use crate::runtime::{CallError, Registry, ToolCall};
use crate::store::*;

/// The messages that the client sends, each under a key of its own.
pub(super) const MESSAGES: [&str; 2] = ["first", "second"];
/// What each whole answer counts.
pub(super) const COUNTED: TokenUsage = TokenUsage {
    input_tokens: 100,
    output_tokens: 10,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    cache_write_1h_tokens: 0,
    reasoning_tokens: 0,
};

/// What stays when the process goes: the store, and the world outside.
pub(super) struct World {
    pub(super) store: DynStore,
    pub(super) outside: Arc<Outside>,
    /// The turns that were acknowledged, by message.
    pub(super) turns: Mutex<Vec<TurnId>>,
    pub(super) lives: u32,
    clock: Clock,
}

/// Which time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// None but what is waited for: for a store that answers at once.
    Paused,
    /// The machine's: for one with threads of its own. The model refuses nothing then, since its
    /// retry would take real time.
    Running,
}

/// What was asked of the world.
#[derive(Default)]
pub(super) struct Outside {
    /// Requests that the provider saw.
    pub(super) requests: Mutex<Vec<Request>>,
    /// Calls of tools: which tool, and under which id.
    pub(super) runs: Mutex<Vec<(String, String)>>,
}

/// A model that answers a message with two calls, and their results with a text. Its first request
/// of all is refused for a moment.
struct Model(Arc<Outside>, Clock);

impl Provider for Model {
    fn name(&self) -> &str {
        "model"
    }

    fn max_retries(&self) -> u32 {
        2
    }

    fn open<'a>(&'a self, _: &'a str, request: &'a Request) -> BoxFuture<'a, Result<EventStream, ProviderError>> {
        let first = {
            let mut requests = self.0.requests.lock().expect("not poisoned");
            requests.push(request.clone());
            requests.len() == 1 && self.1 == Clock::Paused
        };
        if first {
            let refusal = Refusal {
                status: Some(529),
                kind: Some("overloaded_error".into()),
                message: "no".into(),
                request_id: None,
                retry_after: None,
                should_retry: None,
            };
            return future::ready(Err(ProviderError::Refused { provider: "model".into(), refusal: Box::new(refusal) }))
                .boxed();
        }
        let answers = request.messages.last().is_some_and(|message| message.answers_tools());
        let call = |id: &str, name: &str| {
            let input = RawValue::from_string(format!("{{\"asked\":{}}}", request.messages.len())).expect("JSON");
            StreamEvent::ToolUse(ToolUse { id: id.into(), name: name.into(), input: input.into() })
        };
        let events = if answers {
            let said = [StreamEvent::Text("All ".into()), StreamEvent::Text("done.".into())];
            said.into_iter().chain([StreamEvent::Usage(COUNTED), StreamEvent::Stopped(StopReason::EndTurn)]).collect()
        } else {
            vec![
                StreamEvent::Thinking("Hm.".into()),
                StreamEvent::Text("Let me ".into()),
                StreamEvent::Text("see.".into()),
                call("w", "write"),
                call("r", "read"),
                call("v", "write"),
                StreamEvent::Usage(COUNTED),
                StreamEvent::Stopped(StopReason::ToolUse),
            ]
        };
        let events: Vec<_> = events;
        future::ready(Ok(futures_util::stream::iter(events.into_iter().map(Ok)).boxed())).boxed()
    }
}

/// A tool that notes its calls.
struct Noting {
    name: &'static str,
    schema: Arc<RawValue>,
    outside: Arc<Outside>,
}

impl Callable for Noting {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> &str {
        "notes its calls"
    }

    fn input_schema(&self) -> &Arc<RawValue> {
        &self.schema
    }

    fn parallel(&self) -> bool {
        false
    }

    fn repeatable(&self) -> bool {
        self.name == "read"
    }

    fn call<'a>(&'a self, call: ToolCall<'a>) -> BoxFuture<'a, Result<Vec<ToolContent>, CallError>> {
        self.outside.runs.lock().expect("not poisoned").push((self.name.to_owned(), call.call.to_owned()));
        future::ready(Ok(vec![ToolContent::text(format!("{} ran", self.name))])).boxed()
    }
}

impl World {
    pub(super) fn over(store: DynStore, clock: Clock) -> Self {
        Self { store, outside: Arc::default(), turns: Mutex::default(), lives: 0, clock }
    }

    /// The session of the messages.
    pub(super) fn session() -> SessionKey {
        "default:c:a:p".parse().expect("a key")
    }

    /// A process: it takes up what is open, the client sends what was not acknowledged, and all runs
    /// to its end, or to the fault. Says how many transactions it made, where it came to the end.
    pub(super) fn live(&mut self, fault: Fault) -> Option<usize> {
        self.lives += 1;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(self.clock == Clock::Paused)
            .build();
        let runtime = runtime.expect("a runtime");
        let store = Flaky::new(Arc::clone(&self.store), fault);
        let ended = runtime.block_on(async {
            tokio::select! {
                biased;
                () = store.halted() => false,
                () = self.run(Arc::clone(&store) as DynStore) => true,
            }
        });
        // With the runtime go its tasks, wherever they are.
        drop(runtime);
        ended.then(|| store.transactions())
    }

    /// Retried as a process that cannot start is started again.
    async fn run(&self, store: DynStore) {
        let epoch = loop {
            match store.take_over().await {
                Ok(epoch) => break epoch,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        };
        let dispatcher = self.dispatcher(store, epoch);
        dispatcher.recover().await.expect("recovers");
        for message in MESSAGES {
            let submitted = loop {
                match dispatcher.submit(keyed(message)).await {
                    Ok(submitted) => break submitted,
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            };
            let mut turns = self.turns.lock().expect("not poisoned");
            if !turns.contains(&submitted.turn) {
                turns.push(submitted.turn);
            }
        }
        while dispatcher.load().running + dispatcher.load().queued > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn dispatcher(&self, store: DynStore, epoch: Epoch) -> Dispatcher {
        let models = vec![ModelName { provider: "model".into(), model: "m".into() }];
        let mut config = Config::default();
        config.agents.insert(AgentName::default_agent(), AgentConfig { models, ..AgentConfig::default() });
        let dispatcher = Dispatcher::new(Parts {
            config: &config,
            store,
            epoch,
            courier: Arc::new(()),
            attachments: Arc::new(()),
            providers: &Providers::new([Arc::new(Model(Arc::clone(&self.outside), self.clock)) as Arc<dyn Provider>]),
            jitter: Arc::new(Jitter::seeded(1)),
            tools: &Registry::default(),
        });
        let dispatcher = dispatcher.expect("the config fits together");
        let schema: Arc<RawValue> = RawValue::from_string("{}".into()).expect("JSON").into();
        let tool = |name| {
            Arc::new(Noting { name, schema: Arc::clone(&schema), outside: Arc::clone(&self.outside) })
                as Arc<dyn Callable>
        };
        dispatcher.offer(AgentTools::of([tool("write"), tool("read")]));
        dispatcher
    }
}

/// A message of the client's.
pub(super) fn keyed(content: &str) -> Submission {
    Submission { idempotency_key: Some(content.into()), ..submission("p", content) }
}
