//! A provider that speaks the real wire and refuses what the platform would refuse.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::http::{self, Answer, RawRequest, Written};
use super::{PromptCache, Wire, anthropic, openai, within};

/// A request, as a handler sees it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) wire: Wire,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// Requests of one connection have one number.
    pub(crate) connection: usize,
}

impl Request {
    fn new(wire: Wire, raw: RawRequest, connection: usize) -> Self {
        let RawRequest { method, path, headers, body } = raw;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { wire, method, path, headers, body, connection }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    pub(crate) fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The conversation as `(role, text)`, without tools.
    pub(crate) fn conversation(&self) -> Vec<(String, String)> {
        let spoken = |message: &Value| {
            let text = text_of(&message["content"]);
            let role = message["role"].as_str().unwrap_or_default();
            (["user", "assistant"].contains(&role) && !text.is_empty()).then(|| (role.to_owned(), text))
        };
        self.messages().iter().filter_map(spoken).collect()
    }

    /// What the user said last.
    pub(crate) fn question(&self) -> String {
        let last = self.conversation().into_iter().rfind(|(role, _)| role == "user");
        last.map(|(_, text)| text).unwrap_or_default()
    }

    /// The results that end the conversation: `(id, text)`.
    pub(crate) fn results(&self) -> Vec<(String, String)> {
        let pair = |id: &Value, content: &Value| (id.as_str().unwrap_or_default().to_owned(), text_of(content));
        match self.wire {
            Wire::Anthropic => {
                let blocks = self.messages().last().and_then(|message| message["content"].as_array());
                let results = blocks.into_iter().flatten().filter(|block| block["type"] == "tool_result");
                results.map(|block| pair(&block["tool_use_id"], &block["content"])).collect()
            }
            Wire::OpenAi => {
                let tail = self.messages().iter().rev().take_while(|message| message["role"] == "tool");
                let mut results: Vec<_> =
                    tail.map(|message| pair(&message["tool_call_id"], &message["content"])).collect();
                results.reverse();
                results
            }
        }
    }

    /// The names of the tools that it offers.
    pub(crate) fn tools(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map_or(&[][..], Vec::as_slice);
        tools.iter().filter_map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str())).collect()
    }
}

/// Text, whether plain or in blocks.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    hung_up: CancellationToken,
}

impl Exchange {
    /// Returns when the gateway has hung up before the answer was whole.
    pub(crate) async fn hung_up(&self) {
        within("the gateway hangs up on its provider", self.hung_up.cancelled()).await;
    }
}

/// An answer, or the rule that the request breaks.
type Handler = dyn Fn(&Request) -> Result<Answer, String> + Send + Sync;

/// A provider that runs as long as this lives. A request that breaks the platform's rules fails
/// the test.
pub(crate) struct FakeProvider {
    wire: Wire,
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    wire: Wire,
    handler: Box<Handler>,
    exchanges: watch::Sender<Vec<Arc<Exchange>>>,
    violations: Mutex<Vec<String>>,
}

impl FakeProvider {
    /// Answers each request with what `handler` makes of it.
    pub(crate) async fn start<A: Into<Rendered>>(
        wire: Wire,
        handler: impl Fn(&Request) -> A + Send + Sync + 'static,
    ) -> Self {
        Self::serve(wire, move |request| Ok(handler(request).into().on(request.wire))).await
    }

    /// Anthropic with a prompt cache: each reply counts what its request read from it and wrote to it.
    pub(crate) async fn caching(
        cache: &PromptCache,
        handler: impl Fn(&Request) -> super::Reply + Send + Sync + 'static,
    ) -> Self {
        let cache = cache.clone();
        Self::start(Wire::Anthropic, move |request| handler(request).counts(cache.take(&request.body))).await
    }

    /// Answers the first request with the first answer, and so on. One more fails the test.
    pub(crate) async fn scripted<A: Into<Rendered>>(wire: Wire, answers: impl IntoIterator<Item = A>) -> Self {
        let answers: VecDeque<Answer> = answers.into_iter().map(|answer| answer.into().on(wire)).collect();
        let answers = Mutex::new(answers);
        Self::serve(wire, move |_| {
            let next = answers.lock().expect("no poison").pop_front();
            next.ok_or_else(|| "it has no answer left".to_owned())
        })
        .await
    }

    async fn serve(wire: Wire, handler: impl Fn(&Request) -> Result<Answer, String> + Send + Sync + 'static) -> Self {
        let state = State {
            wire,
            handler: Box::new(handler),
            exchanges: watch::channel(Vec::new()).0,
            violations: Mutex::default(),
        };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self { wire, address, state, _tasks: tasks }
    }

    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// As `base_url` has it.
    pub(crate) fn base_url(&self) -> String {
        match self.wire {
            Wire::Anthropic => format!("http://{}", self.address),
            Wire::OpenAi => format!("http://{}/v1", self.address),
        }
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.state.exchanges.borrow().len()
    }

    /// The request with this number, counted from 0, once it came.
    pub(crate) async fn exchange(&self, index: usize) -> Arc<Exchange> {
        let mut exchanges = self.state.exchanges.subscribe();
        let arrived = exchanges.wait_for(|exchanges| exchanges.len() > index);
        let exchanges = within(&format!("request {index} to {:?}", self.wire), arrived).await;
        Arc::clone(&exchanges.expect("the sender lives")[index])
    }

    /// The bodies of all requests so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.state.exchanges.borrow().iter().map(|exchange| exchange.request.body.clone()).collect()
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        let violations = self.state.violations.lock().map(|violations| violations.clone()).unwrap_or_default();
        if !violations.is_empty() {
            let report = format!("{:?} would have refused:\n  {}", self.wire, violations.join("\n  "));
            // Panicking twice would abort and hide the first reason.
            if std::thread::panicking() {
                eprintln!("{report}");
            } else {
                panic!("{report}");
            }
        }
    }
}

/// An answer, or what renders to one on a wire.
#[derive(Debug, Clone)]
pub(crate) enum Rendered {
    Answer(Answer),
    Reply(super::Reply),
}

impl Rendered {
    fn on(self, wire: Wire) -> Answer {
        match self {
            Self::Answer(answer) => answer,
            Self::Reply(reply) => reply.on(wire),
        }
    }
}

impl From<Answer> for Rendered {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl From<super::Reply> for Rendered {
    fn from(reply: super::Reply) -> Self {
        Self::Reply(reply)
    }
}

/// A refusal in the platform's shape.
pub(crate) fn refusal(wire: Wire, status: u16, kind: &str, message: &str) -> Answer {
    let body = match wire {
        Wire::Anthropic => {
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"})
        }
        Wire::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": kind}}),
    };
    Answer::new(status, "application/json", body.to_string())
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(serve(stream, number, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, number: usize, state: Arc<State>) {
    stream.set_nodelay(true).expect("a live socket");
    let (reader, mut writer) = stream.into_split();
    let mut reader = http::Reader::new(reader);
    loop {
        let raw = match reader.request().await {
            Ok(Some(raw)) => raw,
            Ok(None) => return,
            // Who is killed says no more, not even the end of a request.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => return,
            Err(error) => return state.violation(format!("no HTTP/1.1 request: {error}")),
        };
        let request = Request::new(state.wire, raw, number);
        let rules = match state.wire {
            Wire::Anthropic => anthropic::check(&request),
            Wire::OpenAi => openai::check(&request),
        };
        let answer = rules.and_then(|()| (state.handler)(&request)).unwrap_or_else(|rule| {
            let answer = refusal(state.wire, 400, "invalid_request_error", &rule);
            state.violation(rule);
            answer
        });
        let hung_up = CancellationToken::new();
        let exchange = Arc::new(Exchange { request, hung_up: hung_up.clone() });
        state.exchanges.send_modify(|exchanges| exchanges.push(exchange));
        let written = tokio::select! {
            biased;
            () = reader.closed() => None,
            written = http::write(&mut writer, &answer) => written.ok(),
        };
        match written {
            Some(Written::Whole) => {}
            Some(Written::Cut) => return,
            None => return hung_up.cancel(),
        }
    }
}

impl State {
    fn violation(&self, rule: String) {
        self.violations.lock().expect("no poison").push(rule);
    }
}
