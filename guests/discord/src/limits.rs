//! Rate limits ("Rate Limits"): they are learnt from headers, per route and channel, and never guessed.

use exoclaw_chat::{header, retry_after_ms};
use exoclaw_guest::Response;
use exoclaw_guest::channel::Hold;
use serde::Deserialize;

/// Counts for every request of the bot.
pub const GLOBAL: &str = "global";
/// How long a 429 that does not say how long is taken for.
const UNTOLD_MS: u32 = 5_000;
/// The longest pause that Discord is believed: a day.
const MAX_MS: f64 = 86_400_000.0;

/// The body of a 429.
#[derive(Deserialize)]
struct Limited {
    retry_after: Option<f64>,
    #[serde(default)]
    global: bool,
}

/// A bucket that is empty now: the next request under `route` would be a 429.
pub fn learnt(response: &Response, route: &str) -> Vec<Hold> {
    let number = |name| header(response, name).and_then(|value| value.parse::<f64>().ok());
    let empty = number("x-ratelimit-remaining") == Some(0.0);
    let pause = number("x-ratelimit-reset-after").and_then(milliseconds).filter(|pause| empty && *pause > 0);
    pause.map(|for_ms| Hold { key: route.to_owned(), for_ms }).into_iter().collect()
}

/// What a 429 says: the limit that was met, whose pause is in the body, or in a header where the
/// answer is not of Discord's API but of what stands before it.
pub fn exceeded(response: &Response, route: &str, now: u64) -> Hold {
    let body =
        serde_json::from_slice::<Limited>(&response.body).unwrap_or(Limited { retry_after: None, global: false });
    let told = body.retry_after.and_then(milliseconds).or_else(|| retry_after_ms(response, now));
    let global = body.global
        || header(response, "x-ratelimit-global").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || header(response, "x-ratelimit-scope") == Some(GLOBAL);
    let key = if global { GLOBAL } else { route };
    Hold { key: key.to_owned(), for_ms: told.unwrap_or(UNTOLD_MS).max(1) }
}

/// Seconds with a fraction, rounded up.
fn milliseconds(seconds: f64) -> Option<u32> {
    // Bounded on both sides, so that the cast is exact.
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1_000.0).ceil().min(MAX_MS) as u32)
}

#[cfg(test)]
mod tests {
    use exoclaw_guest::Header;

    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() });
        Response { status, headers: headers.collect(), body: body.into() }
    }

    fn one(hold: &Hold) -> (&str, u32) {
        (&hold.key, hold.for_ms)
    }

    #[test]
    fn an_empty_bucket_holds_its_route_until_it_is_full_again() {
        let empty =
            [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset-After", "0.3001"), ("X-RateLimit-Bucket", "ab")];
        assert_eq!(
            learnt(&response(200, &empty, "{}"), "send:5").iter().map(one).collect::<Vec<_>>(),
            [("send:5", 301)]
        );
        let full = [("X-RateLimit-Remaining", "4"), ("X-RateLimit-Reset-After", "5")];
        assert!(learnt(&response(200, &full, "{}"), "send:5").is_empty());
        assert!(learnt(&response(200, &[], "{}"), "send:5").is_empty());
    }

    #[test]
    fn a_limit_that_was_met_holds_what_it_counts() {
        let body = r#"{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}"#;
        assert_eq!(one(&exceeded(&response(429, &[("Retry-After", "65")], body), "send:5", 0)), ("send:5", 64_570));
        let body = r#"{"message": "You are being rate limited.", "retry_after": 0.5, "global": true}"#;
        assert_eq!(one(&exceeded(&response(429, &[], body), "send:5", 0)), ("global", 500));
        let header = [("X-RateLimit-Scope", "global"), ("Retry-After", "3")];
        assert_eq!(one(&exceeded(&response(429, &header, "<html>"), "send:5", 0)), ("global", 3_000));
        assert_eq!(one(&exceeded(&response(429, &[], ""), "send:5", 0)), ("send:5", 5_000));
        let absurd = r#"{"retry_after": 1e300}"#;
        assert_eq!(exceeded(&response(429, &[], absurd), "send:5", 0).for_ms, 86_400_000);
    }
}
