//! Requests as a whole, and what is learnt from their answers.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::provider::ToolSpec;
use crate::store::{Block, Message, Role, ToolContent, ToolResult, ToolUse};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

fn request(system: Option<&str>, messages: Vec<Message>, tools: Vec<ToolSpec>) -> Request {
    Request {
        system: system.map(Into::into),
        messages: messages.into_iter().map(Arc::new).collect(),
        tools: tools.into(),
        max_tokens: 1_000,
        thinking_tokens: None,
        temperature: None,
        cache: crate::provider::CachePolicy::default(),
    }
}

fn raw(json: &str) -> Arc<RawValue> {
    RawValue::from_string(json.into()).unwrap().into()
}

static SESSION: LazyLock<SessionKey> = LazyLock::new(|| SessionKey::new("a", "c", "l", "p").unwrap());

fn asked(model: &str) -> Asked<'_> {
    Asked { session: &SESSION, provider: "p", model }
}

fn of(model: &str, request: &Request) -> (u64, Certainty) {
    let estimate = Counter::new([]).estimate_blocking(asked(model), request);
    (estimate.input_tokens, estimate.certainty)
}

/// A small generator, so that a seed stands for a conversation.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    English,
    Code,
    Json,
    Chinese,
    Emoji,
    Base64,
}

const KINDS: [Kind; 6] = [Kind::English, Kind::Code, Kind::Json, Kind::Chinese, Kind::Emoji, Kind::Base64];

const WORDS: &[&str] = &[
    "the",
    "quarterly",
    "report",
    "that",
    "you",
    "asked",
    "for",
    "is",
    "almost",
    "ready",
    "and",
    "I",
    "shall",
    "send",
    "it",
    "before",
    "noon",
    "unless",
    "somebody",
    "objects",
    "to",
    "these",
    "unexpected",
    "figures,",
    "which",
    "don't",
    "agree",
    "with",
    "what",
    "we've",
    "published",
    "in",
    "Zurich.",
];
const CODE: &[&str] = &[
    "fn main() {\n",
    "    let mut total = 0_u64;\n",
    "    for item in &items {\n",
    "        total += item.price * 3;\n",
    "    }\n",
    "}\n",
    "// Sums up.\n",
    "impl Display for Error {\n",
    "    return self.value?.parse::<i32>();\n",
];
const CHINESE: &[&str] =
    &["人工智能", "正在", "改变", "我们的", "生活方式", "。", "昨天", "下午", "图书馆", "合同", "，", "翻译成"];
const EMOJI: &[&str] = &["😀", "🎉", "👍🏽", "👨‍👩‍👧", "🇨🇭", "❤️", "🔥", " ", "🦀"];

fn text(kind: Kind, length: usize, random: &mut Random) -> String {
    let mut text = String::new();
    while text.len() < length {
        match kind {
            Kind::English => text = text + random.of(WORDS) + " ",
            Kind::Code => text += random.of(CODE),
            Kind::Json => {
                let (name, value, n) = (random.of(WORDS), random.of(WORDS), random.below(100_000));
                text += &format!("{{\"{name}\":\"{value}\",\"n\":{n},\"list\":[{},null]}},", n % 17);
            }
            Kind::Chinese => text += random.of(CHINESE),
            Kind::Emoji => text += random.of(EMOJI),
            Kind::Base64 => text.push(char::from(random.of(b"ABCDEFabcdefghijklmnopqrstuvwxyz0123456789+/"))),
        }
    }
    text
}

/// The cookbook's examples: 105 tokens by the API for GPT-3.5 and GPT-4, 101 for GPT-4o, functions among them.
#[test]
fn a_request_with_a_function_counts_as_the_cookbook_says() {
    let schema = r#"{"type": "object", "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {"type": "string", "description": "The unit of temperature to return",
            "enum": ["celsius", "fahrenheit"]}}, "required": ["location"]}"#;
    let tool = ToolSpec {
        name: "get_current_weather".into(),
        description: "Get the current weather in a given location".into(),
        input_schema: raw(schema),
    };
    let system = "You are a helpful assistant that can answer to questions about the weather.";
    let asked = Message::text(Role::User, "What's the weather like in San Francisco?");
    let request = request(Some(system), vec![asked], vec![tool]);
    for (model, tokens) in [("gpt-3.5-turbo", 105), ("gpt-4", 105), ("gpt-4o", 101), ("gpt-4o-mini", 101)] {
        assert_eq!(of(model, &request), (tokens, Certainty::Estimated), "{model}");
    }
}

/// The cookbook's messages. It gives their writers names, which no message has here, and which take two tokens or
/// three each: 129 tokens by the API for GPT-4 and 124 for GPT-4o, less fourteen for four names.
#[test]
fn texts_alone_count_exactly_as_the_cookbook_says() {
    let texts = [
        (Role::User, "New synergies will help drive top-line growth."),
        (Role::Assistant, "Things working well together will increase revenue."),
        (
            Role::User,
            "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        ),
        (Role::Assistant, "Let's talk later when we're less busy about how to do better."),
        (Role::User, "This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ];
    let system = "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.";
    let messages = texts.map(|(role, text)| Message::text(role, text)).to_vec();
    let request = request(Some(system), messages, Vec::new());
    for (model, tokens) in [("gpt-3.5-turbo", 115), ("gpt-4-0613", 115), ("gpt-4o", 110), ("gpt-4o-mini", 110)] {
        assert_eq!(of(model, &request), (tokens, Certainty::Exact), "{model}");
    }
    for model in ["gpt-5", "o3", "claude-sonnet-5", "llama3.1"] {
        assert_eq!(of(model, &request).1, Certainty::Estimated, "{model}");
    }
}

#[test]
fn two_texts_of_one_message_count_as_they_are_sent() {
    let text = |text: &str| Block::Text { text: text.into() };
    let two = Message { role: Role::User, blocks: vec![text("see"), text("  \n"), text("\nthis")] };
    let one = Message::text(Role::User, "see\n\n\nthis");
    assert_eq!(of("gpt-4o", &request(None, vec![two], vec![])), of("gpt-4o", &request(None, vec![one], vec![])));
}

#[test]
fn nothing_that_is_sent_is_free_and_nothing_that_is_not_sent_counts() {
    let tool = ToolSpec { name: "t".into(), description: "Does it.".into(), input_schema: raw("{}") };
    let call = ToolUse { id: "1".into(), name: "t".into(), input: raw(r#"{"a":1}"#) };
    let result = |content| ToolResult { tool_use_id: "1".into(), content, is_error: false };
    let image = |mime_type: &str| Block::Image { mime_type: mime_type.into(), data: "AAAA".into() };
    let blocks = [
        (Role::User, Block::Text { text: "hello".into() }, true, true),
        (Role::User, Block::Text { text: " \n".into() }, false, false),
        (Role::User, image("image/png"), true, true),
        (Role::User, Block::ToolResult(result(vec![ToolContent::text("sunny")])), true, true),
        (Role::User, Block::ToolResult(result(vec![ToolContent::Json { json: "[1]".into() }])), true, true),
        (Role::Assistant, Block::ToolUse(call), true, true),
        (Role::Assistant, Block::Thinking { text: "hm, so".into(), signature: Some("s".into()) }, false, true),
        (Role::Assistant, Block::Thinking { text: "hm, so".into(), signature: None }, false, false),
        (Role::Assistant, Block::RedactedThinking { data: "A".repeat(64) }, false, true),
    ];
    let empty = |tools| request(None, vec![Message::text(Role::User, "?")], tools);
    for (role, block, chat, claude) in blocks {
        let with = request(
            None,
            vec![Message { role, blocks: vec![block.clone(), Block::Text { text: "?".into() }] }],
            Vec::new(),
        );
        assert_eq!(of("gpt-5", &with).0 > of("gpt-5", &empty(vec![])).0, chat, "{block:?}");
        assert_eq!(of("claude-sonnet-5", &with).0 > of("claude-sonnet-5", &empty(vec![])).0, claude, "{block:?}");
    }
    for (model, least) in [("gpt-5", 10), ("gpt-4o", 10), ("claude-sonnet-5", 346)] {
        assert!(of(model, &empty(vec![tool.clone()])).0 >= of(model, &empty(vec![])).0 + least, "{model}");
    }
}

#[tokio::test]
async fn a_request_counts_the_same_wherever_and_however_often_it_is_counted() {
    let mut random = Random(SEED);
    let texts = (0..40).map(|n| Message::text(Role::User, text(random.of(&KINDS), 10 << (n % 12), &mut random)));
    let request = Arc::new(request(Some("Be brief."), texts.collect(), Vec::new()));
    for model in ["gpt-4o", "gpt-4", "claude-opus-5"] {
        let counter = Counter::new([]);
        let there = counter.estimate(asked(model), &request).await;
        assert_eq!(there, counter.estimate(asked(model), &request).await);
        assert_eq!(there, counter.estimate_blocking(asked(model), &request));
        assert_eq!(there, Counter::new([]).estimate_blocking(asked(model), &request));
        // By now, all of it is known, and nothing has to be counted.
        assert_eq!(counter.shared.estimate(asked(model), &request, Effort::UpTo(2_000)), Some(there));
        let fresh = Counter::new([]).shared.estimate(asked(model), &request, Effort::UpTo(2_000));
        assert_eq!(fresh, None);
    }
}

#[test]
fn where_there_is_no_time_a_length_stands_for_a_count() {
    let request = request(None, vec![Message::text(Role::User, "word ".repeat(1_000))], Vec::new());
    let counter = Counter::new([]);
    let rough = counter.rough(asked("gpt-4o"), &request);
    assert_eq!(rough.certainty, Certainty::Estimated);
    assert!((1_000..1_500).contains(&rough.input_tokens), "{rough:?}");
    assert_eq!(counter.learn(asked("gpt-4o"), &rough, 9_000), None);
}

#[test]
fn an_exact_count_is_not_learnt_from_and_no_factor_touches_it() {
    let counter = Counter::new([]);
    let plain = request(None, vec![Message::text(Role::User, "hello ".repeat(50))], Vec::new());
    let tool = ToolSpec { name: "t".into(), description: "Does it.".into(), input_schema: raw("{}") };
    let with_tool = request(None, vec![Message::text(Role::User, "hello ".repeat(50))], vec![tool]);
    let exact = counter.estimate_blocking(asked("gpt-4o"), &plain);
    assert_eq!(counter.learn(asked("gpt-4o"), &exact, 1_000), None);
    for _ in 0..10 {
        let estimate = counter.estimate_blocking(asked("gpt-4o"), &with_tool);
        assert!(counter.learn(asked("gpt-4o"), &estimate, 150).is_some());
    }
    assert_eq!(counter.estimate_blocking(asked("gpt-4o"), &plain), exact);
    assert_ne!(of("gpt-4o", &with_tool).0, counter.estimate_blocking(asked("gpt-4o"), &with_tool).input_tokens);
}

/// A provider with a tokenizer of its own: another encoding, more or less of each kind of text, and something
/// around each message and each request.
struct Provider {
    skew: [u64; KINDS.len()],
    around: u64,
}

/// A conversation with it: what is sent, and what it counts for each message.
struct Conversation<'a> {
    provider: &'a Provider,
    random: Random,
    /// Most of what is said.
    usual: [Kind; 2],
    sent: Vec<(Arc<Message>, u64)>,
}

impl Provider {
    fn new(random: &mut Random) -> Self {
        let in_all = 800 + random.below(900) as u64;
        let skew = KINDS.map(|_| in_all * (900 + random.below(300) as u64) / 1_000);
        Self { skew, around: random.below(9) as u64 }
    }

    fn count(&self, kind: Kind, text: &str) -> u64 {
        Encoding::Cl100kBase.count(text) * self.skew[kind as usize] / 1_000 + self.around
    }
}

impl Conversation<'_> {
    /// Goes on by a turn. Of what was said before, the last is sent along, as far as a context reaches.
    fn next(&mut self) -> (Request, u64) {
        for role in [Role::User, Role::Assistant, Role::User] {
            let kind = if self.random.below(4) == 0 { self.random.of(&KINDS) } else { self.random.of(&self.usual) };
            let length = 20 + self.random.below(1_000);
            let text = text(kind, length, &mut self.random);
            let count = self.provider.count(kind, &text);
            self.sent.push((Arc::new(Message::text(role, text)), count));
        }
        self.sent.drain(..self.sent.len().saturating_sub(40));
        let messages = self.sent.iter().map(|(message, _)| Arc::clone(message)).collect();
        let counted = self.sent.iter().map(|(_, count)| count).sum::<u64>() + 12;
        (Request { messages, ..request(None, Vec::new(), Vec::new()) }, counted)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn after_twenty_calls_of_a_conversation_an_estimate_is_within_a_tenth(seed in 1..u64::MAX) {
        let mut random = Random(seed);
        (0..20).for_each(|_| _ = random.below(2));
        let provider = Provider::new(&mut random);
        let usual = [random.of(&KINDS), random.of(&KINDS)];
        let mut conversation = Conversation { provider: &provider, random, usual, sent: Vec::new() };
        let model = asked("claude-sonnet-5");
        let mut counter = Counter::new([]);
        let (mut estimated, mut counted, mut far_off) = (0, 0, 0);
        for call in 0..40 {
            let (request, count) = conversation.next();
            let estimate = counter.estimate_blocking(model, &request);
            prop_assert_eq!(estimate.certainty, Certainty::Estimated);
            if call >= 20 {
                estimated += estimate.input_tokens;
                counted += count;
                far_off += u32::from(estimate.input_tokens.abs_diff(count) * 10 > count);
            }
            let learnt = counter.learn(model, &estimate, count);
            prop_assert!(learnt.is_some());
            if call == 10 {
                // A restart leaves what was stored.
                counter = Counter::new(learnt);
            }
        }
        // The text that is new may be of a kind that was seldom seen; that is one call in twenty at most.
        prop_assert!(far_off <= 1, "{far_off} of 20");
        prop_assert!(u64::abs_diff(estimated, counted) * 20 <= counted, "{estimated}, {counted}");
    }
}
