//! Discord's rate limits: a bucket for each route and channel, told in headers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::platform::server::Answer;

pub(super) struct Limits(Mutex<Buckets>);

struct Buckets {
    requests: u32,
    window: Duration,
    buckets: HashMap<String, Bucket>,
    exceeded: usize,
}

struct Bucket {
    reset: Instant,
    remaining: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let buckets = HashMap::new();
        Self(Mutex::new(Buckets { requests: 1_000, window: Duration::from_secs(1), buckets, exceeded: 0 }))
    }
}

/// What a request is told of its bucket.
pub(super) struct Told {
    limit: u32,
    remaining: u32,
    reset_after: Duration,
    bucket: String,
}

impl Limits {
    pub(super) fn set(&self, requests: u32, window: Duration) {
        let mut buckets = self.0.lock().expect("no poison");
        (buckets.requests, buckets.window) = (requests, window);
        buckets.buckets.clear();
    }

    pub(super) fn exceeded(&self) -> usize {
        self.0.lock().expect("no poison").exceeded
    }

    /// Counts a request; the refusal where its bucket is empty.
    pub(super) fn count(&self, key: &str) -> Result<Told, Answer> {
        let mut buckets = self.0.lock().expect("no poison");
        let now = Instant::now();
        let (limit, window) = (buckets.requests, buckets.window);
        let fresh = || Bucket { reset: now + window, remaining: limit };
        let bucket = buckets.buckets.entry(key.to_owned()).or_insert_with(fresh);
        if bucket.reset <= now {
            *bucket = fresh();
        }
        let reset_after = bucket.reset - now;
        let told = |remaining| Told { limit, remaining, reset_after, bucket: format!("{:x}", hash(key)) };
        match bucket.remaining.checked_sub(1) {
            Some(remaining) => {
                bucket.remaining = remaining;
                Ok(told(remaining))
            }
            None => {
                buckets.exceeded += 1;
                Err(told(0).on(too_many(reset_after, false)).header("x-ratelimit-scope", "user"))
            }
        }
    }
}

impl Told {
    pub(super) fn on(&self, answer: Answer) -> Answer {
        let at = jiff::Timestamp::now().as_millisecond() as f64 / 1_000.0 + self.reset_after.as_secs_f64();
        answer
            .header("x-ratelimit-limit", &self.limit.to_string())
            .header("x-ratelimit-remaining", &self.remaining.to_string())
            .header("x-ratelimit-reset", &format!("{at:.3}"))
            .header("x-ratelimit-reset-after", &format!("{:.3}", self.reset_after.as_secs_f64() + 0.001))
            .header("x-ratelimit-bucket", &self.bucket)
    }
}

/// What Discord says to who sends too much.
pub(crate) fn too_many(retry_after: Duration, global: bool) -> Answer {
    let seconds = retry_after.as_secs_f64() + 0.001;
    let body = json!({"message": "You are being rate limited.", "retry_after": seconds, "global": global});
    let answer = Answer::json(429, &body).header("retry-after", &format!("{}", seconds.ceil()));
    if global { answer.header("x-ratelimit-global", "true") } else { answer }
}

fn hash(key: &str) -> u64 {
    // FNV-1a.
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
