//! Anthropic's prompt cache: what a request is charged for, by what was kept of earlier ones.
//!
//! The prompt is a row of blocks: tools, system, messages. A marked block has the prompt up to it kept, unless it is
//! shorter than the model's minimum, for the time that the mark says. A request reads the longest prompt that is kept
//! among those that end at a marked block or up to 19 blocks before one, which renews its time; from there to
//! the last marked block it writes, and what is behind is plain input.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::Counts;

/// Blocks that the platform looks at for one mark, its own block included.
const LOOKBACK: usize = 20;

/// About what tokenizers make of JSON.
const BYTES_PER_TOKEN: usize = 4;

/// What a platform keeps, on a clock of its own that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct PromptCache {
    /// The shortest prompt that is kept, in tokens.
    minimum: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    /// By the prompt's bytes, model included: when it is dropped, and how long a use renews it.
    kept: HashMap<String, Kept>,
}

#[derive(Clone, Copy)]
struct Kept {
    until: Duration,
    lifetime: Duration,
}

/// A block of a prompt.
struct Block {
    /// All bytes of the prompt up to it and with it.
    prefix: String,
    /// Tokens of that.
    tokens: u64,
    /// How long the prompt up to it is to be kept, where it is marked.
    lifetime: Option<Duration>,
}

impl PromptCache {
    /// A cache that keeps nothing shorter than this, in tokens.
    pub(crate) fn new(minimum: u64) -> Self {
        Self { minimum, state: Arc::default() }
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, by: Duration) {
        self.state.lock().expect("no poison").now += by;
    }

    /// What a request consumes besides its output, and what is kept of it from now on.
    pub(super) fn take(&self, body: &Value) -> Counts {
        let blocks = blocks(body);
        let mut state = self.state.lock().expect("no poison");
        let now = state.now;
        state.kept.retain(|_, kept| kept.until > now);

        let all = blocks.last().map_or(0, |block| block.tokens);
        let marked = |(at, block): (usize, &Block)| {
            let lifetime = block.lifetime.filter(|_| block.tokens >= self.minimum)?;
            Some((at, lifetime))
        };
        let marks: Vec<(usize, Duration)> = blocks.iter().enumerate().filter_map(marked).collect();
        let reach = marks.iter().flat_map(|&(at, _)| (at + 1).saturating_sub(LOOKBACK)..=at);
        let hit = reach.filter(|&at| state.kept.contains_key(&blocks[at].prefix)).max();
        let read = hit.map_or(0, |at| blocks[at].tokens);
        if let Some(kept) = hit.and_then(|at| state.kept.get_mut(&blocks[at].prefix)) {
            kept.until = now + kept.lifetime;
        }
        let mut counts = Counts { input: all, output: 7, cache_read: read, cache_write: 0, cache_write_1h: 0 };
        let mut from = read;
        for (at, lifetime) in marks {
            let Block { prefix, tokens, .. } = &blocks[at];
            let written = tokens.saturating_sub(from);
            counts.cache_write += written;
            if lifetime > Duration::from_secs(300) {
                counts.cache_write_1h += written;
            }
            from = from.max(*tokens);
            let kept = state.kept.entry(prefix.clone()).or_insert(Kept { until: now, lifetime });
            kept.lifetime = kept.lifetime.max(lifetime);
            kept.until = now + kept.lifetime;
        }
        counts.input -= from;
        counts
    }
}

/// A prompt as the cache reads it.
fn blocks(body: &Value) -> Vec<Block> {
    // A change of these changes what all blocks mean.
    let mut prefix = json!([body["model"], body["thinking"], body["tool_choice"]]).to_string();
    let head = prefix.len();
    let block = |(role, mut block): (Value, Value)| {
        let mark = block.as_object_mut().and_then(|block| block.remove("cache_control"));
        prefix.push_str(&json!([role, block]).to_string());
        let tokens = ((prefix.len() - head) / BYTES_PER_TOKEN) as u64;
        Block { prefix: prefix.clone(), tokens, lifetime: mark.as_ref().map(lifetime) }
    };
    let of = |role: Value, content: &Value| {
        let blocks = match content {
            Value::String(text) => vec![json!({"type": "text", "text": text})],
            Value::Array(blocks) => blocks.clone(),
            _ => Vec::new(),
        };
        blocks.into_iter().map(move |block| (role.clone(), block)).collect::<Vec<_>>()
    };
    let messages = body["messages"].as_array().into_iter().flatten();
    let messages = messages.flat_map(|message| of(message["role"].clone(), &message["content"]));
    let before = of(json!("tools"), &body["tools"]).into_iter().chain(of(json!("system"), &body["system"]));
    before.chain(messages).map(block).collect()
}

/// How long a mark asks for.
fn lifetime(mark: &Value) -> Duration {
    Duration::from_secs(if mark["ttl"] == "1h" { 3600 } else { 300 })
}

/// Whether the platform takes the marks of a request.
pub(super) fn check(body: &Value) -> Result<(), String> {
    let mut marks: Vec<&Value> = Vec::new();
    let tools = body["tools"].as_array().into_iter().flatten();
    let system = body["system"].as_array().into_iter().flatten();
    let messages = body["messages"].as_array().into_iter().flatten();
    let content = messages.flat_map(|message| message["content"].as_array().into_iter().flatten());
    for block in tools.chain(system).chain(content) {
        for inner in block["content"].as_array().into_iter().flatten() {
            if inner.get("cache_control").is_some() {
                return Err("the gateway marks no block within a result".into());
            }
        }
        let Some(mark) = block.get("cache_control") else { continue };
        let kind = block["type"].as_str().unwrap_or("tool");
        if ["thinking", "redacted_thinking"].contains(&kind) {
            return Err(format!("{kind}.cache_control: Extra inputs are not permitted"));
        }
        if kind == "text" && block["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
            return Err("cache_control cannot be set for empty text blocks".into());
        }
        let known = mark.as_object().is_some_and(|mark| mark.keys().all(|key| ["type", "ttl"].contains(&key.as_str())));
        let ttl = mark.get("ttl").is_none_or(|ttl| ttl == "5m" || ttl == "1h");
        if !known || mark["type"] != "ephemeral" || !ttl {
            return Err(format!("cache_control is {{type: ephemeral, ttl: 5m or 1h}}, not {mark}"));
        }
        if let Some(before) = marks.last()
            && lifetime(before) < lifetime(mark)
        {
            return Err("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block".into());
        }
        marks.push(mark);
    }
    match marks.len() {
        0..=4 => Ok(()),
        found => Err(format!("A maximum of 4 blocks with cache_control may be provided. Found {found}.")),
    }
}
