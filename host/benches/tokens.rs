//! Counting tokens: megabytes a second by kind of text, and what a turn of a long conversation costs.
#![allow(missing_docs, clippy::expect_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use exoclaw::metering::{Asked, Counter, Encoding};
use exoclaw::provider::{CachePolicy, Request};
use exoclaw::store::{Message, Role, SessionKey};

/// Bytes of each text.
const LENGTH: usize = 1 << 20;

/// A turn is a question and its answer.
const TURNS: usize = 200;

/// Numbers without a pattern, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

fn text(mut piece: impl FnMut(&mut Random) -> String) -> String {
    let (mut random, mut text) = (Random(0x9e37_79b9_7f4a_7c15), String::new());
    while text.len() < LENGTH {
        text += &piece(&mut random);
    }
    text.truncate(text.floor_char_boundary(LENGTH));
    text
}

fn texts() -> Vec<(&'static str, String)> {
    const EMOJI: &[&str] = &["😀", "🎉", "👍🏽", "👨‍👩‍👧", "🇨🇭", "❤️", "🔥", " ", "🦀"];
    let chinese: Vec<_> =
        "人工智能正在改变我们的生活方式。昨天下午，他在北京图书馆里读了一本关于宋代历史的书。".chars().collect();
    let json = |random: &mut Random| {
        let (name, n) = (random.of(&["id", "name", "total", "Zürich", "currency"]), random.below(100_000));
        format!("{{\"{name}\":{n},\"list\":[{},{}.5,null],\"ok\":true}},\n", n % 17, n % 91)
    };
    let some_chinese = |random: &mut Random| {
        let start = random.below(chinese.len());
        chinese.iter().skip(start).take(1 + random.below(24)).collect()
    };
    vec![
        ("english", include_str!("../../docs/architecture.md").repeat(LENGTH / 4_096)),
        ("code", include_str!("../src/provider/mod.rs").repeat(LENGTH / 2_048)),
        ("json", text(json)),
        ("chinese", text(some_chinese)),
        ("emoji", text(|random| random.of(EMOJI).to_owned())),
        ("base64", text(|random| char::from(b"ABCDEFabcdefghijklmnopqrstuvwxyz0123456789+/"[random.below(44)]).into())),
        ("one letter", "a".repeat(LENGTH)),
        ("one blank", " ".repeat(LENGTH)),
        ("any letters", text(|random| char::from(b"abcdefghijklmnopqrstuvwxyz"[random.below(26)]).into())),
    ]
}

fn encodings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tokens");
    group.sample_size(10);
    for (kind, mut text) in texts() {
        text.truncate(text.floor_char_boundary(LENGTH));
        group.throughput(Throughput::Bytes(text.len() as u64));
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            group.bench_function(format!("{kind}/{encoding:?}"), |bencher| {
                bencher.iter(|| encoding.count(black_box(&text)));
            });
        }
    }
    group.finish();
}

/// A conversation of which each turn adds a question and an answer, about 1,000 bytes together.
fn conversation() -> Request {
    let english = include_str!("../../docs/architecture.md");
    let mut random = Random(7);
    let mut message = |role, length: usize| {
        let start = english.floor_char_boundary(random.below(english.len() - length));
        let end = english.floor_char_boundary(start + length);
        Arc::new(Message::text(role, &english[start..end]))
    };
    let messages = (0..TURNS).flat_map(|_| [message(Role::User, 200), message(Role::Assistant, 800)]).collect();
    let system = Some("You are a helpful assistant.".into());
    Request {
        system,
        messages,
        tools: Arc::new([]),
        max_tokens: 4_096,
        thinking_tokens: None,
        temperature: None,
        cache: CachePolicy::default(),
    }
}

fn turns(criterion: &mut Criterion) {
    let session: SessionKey = "main:websocket:local:main".parse().expect("a key");
    let asked = Asked { session: &session, provider: "openai", model: "gpt-4o" };
    let request = conversation();
    let counter = Counter::new([]);
    counter.warm_up([asked.model]);
    let mut group = criterion.benchmark_group(format!("estimate/{TURNS} turns"));
    group.bench_function("counted again", |bencher| {
        bencher.iter_batched(
            || Counter::new([]),
            |counter| counter.estimate_blocking(asked, black_box(&request)),
            BatchSize::SmallInput,
        );
    });
    // The last question is new in each; all before it was counted.
    let _ = counter.estimate_blocking(asked, &request);
    let mut number = 0;
    group.bench_function("one message new", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                let mut request = request.clone();
                request
                    .messages
                    .push(Arc::new(Message::text(Role::User, format!("{number} {}", "and then? ".repeat(20)))));
                request
            },
            |request| counter.estimate_blocking(asked, black_box(&request)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, encodings, turns);
criterion_main!(benches);
