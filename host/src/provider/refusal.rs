//! What a service says when it refuses, in the shapes that services use.

use std::fmt;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::http::StatusCode;
use serde_json::Value;

/// What is kept of a service's own words.
const MAX_TEXT: usize = 512;

/// A service's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status, where it came before the answer; absent where it came within it.
    pub status: Option<u16>,
    /// The service's own word for the kind of error: `overloaded_error`, `insufficient_quota`.
    pub kind: Option<String>,
    /// The service's own explanation, bounded.
    pub message: String,
    /// By which the service finds the call in its logs.
    pub request_id: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// What its `x-should-retry` header says.
    pub should_retry: Option<ShouldRetry>,
}

/// The header `x-should-retry`, which overrules the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShouldRetry {
    /// `true`.
    Yes,
    /// `false`.
    No,
}

impl Refusal {
    /// From a response. `body` may be anything.
    pub(super) fn from_response(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let said = serde_json::from_slice(body).ok().and_then(|body: Value| Self::from_json(&body));
        let said = said.unwrap_or_else(|| Self::said(None, describe(body)));
        Self {
            status: Some(status.as_u16()),
            request_id: said.request_id.or_else(|| text("request-id").or_else(|| text("x-request-id")).map(bounded)),
            retry_after: retry_after(text("retry-after-ms"), text("retry-after"), now),
            should_retry: match text("x-should-retry") {
                Some("true") => Some(ShouldRetry::Yes),
                Some("false") => Some(ShouldRetry::No),
                _ => None,
            },
            ..said
        }
    }

    /// From an error document: Anthropic's `{type, error: {type, message}, request_id}`, OpenAI's
    /// `{error: {message, type, code}}`, Gemini's in an array with `status`, and the plain texts
    /// in `error`, `message` or `detail` of other servers. `None` where it is none of them.
    pub(super) fn from_json(document: &Value) -> Option<Self> {
        let document = document.get(0).unwrap_or(document);
        let string = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(bounded);
        let error = document.get("error").filter(|error| !error.is_null()).unwrap_or(document);
        let message = ["message", "detail"].into_iter().find_map(|key| error.get(key)).unwrap_or(error);
        let message = string(message).or_else(|| error.get("message").map(|other| bounded(&other.to_string())));
        // OpenAI's `code` is the finer word, and Gemini's is a number.
        let kind = ["code", "type", "status"].into_iter().find_map(|key| error.get(key).and_then(string));
        if message.is_none() && (kind.is_none() || document.get("error").is_none()) {
            return None;
        }
        let request_id = document.get("request_id").and_then(string);
        let message = message.unwrap_or_else(|| "no explanation".into());
        Some(Self { request_id, ..Self::said(kind, message) })
    }

    pub(super) fn said(kind: Option<String>, message: String) -> Self {
        Self { status: None, kind, message, request_id: None, retry_after: None, should_retry: None }
    }

    /// Takes a key out of the service's words, should it have repeated it.
    pub(super) fn without(mut self, key: &str) -> Self {
        if !key.is_empty() {
            let texts = [Some(&mut self.message), self.kind.as_mut(), self.request_id.as_mut()];
            for text in texts.into_iter().flatten().filter(|text| text.contains(key)) {
                *text = text.replace(key, "[key]");
            }
        }
        self
    }

    /// Whether the call may be made again as it is: on 408, 409, 429 and 5xx, as Anthropic's and
    /// OpenAI's own clients do, unless the service says otherwise or the account is used up.
    pub(super) fn retryable(&self) -> bool {
        if self.kind.as_deref() == Some("insufficient_quota") {
            return false;
        }
        match (self.should_retry, self.status) {
            (Some(advice), _) => advice == ShouldRetry::Yes,
            (None, Some(status)) => matches!(status, 408 | 409 | 429 | 500..),
            (None, None) => self.kind.as_deref().is_none_or(|kind| {
                ["overloaded", "api_error", "rate_limit", "timeout", "server_error", "internal", "unavailable"]
                    .iter()
                    .any(|word| kind.to_ascii_lowercase().contains(word))
            }),
        }
    }

    /// Whether another service would refuse the same.
    pub(super) fn blames_request(&self) -> bool {
        match self.status {
            Some(status) => matches!(status, 400 | 413 | 422),
            None => self.kind.as_deref() == Some("invalid_request_error"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the service answered {status}")?,
            None => f.write_str("the service failed in the middle of its answer")?,
        }
        if let Some(kind) = &self.kind {
            write!(f, " ({kind})")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.request_id {
            Some(id) => write!(f, " [request {id}]"),
            None => Ok(()),
        }
    }
}

/// `retry-after-ms` in milliseconds, else `retry-after` in seconds or as an HTTP date
/// (RFC 9110, section 10.2.3). Fractions are accepted, as the services' own clients do.
fn retry_after(milliseconds: Option<&str>, other: Option<&str>, now: SystemTime) -> Option<Duration> {
    let number = |text: &str, unit: f64| {
        let seconds = text.parse::<f64>().ok()? * unit;
        Duration::try_from_secs_f64(seconds).ok()
    };
    milliseconds.and_then(|text| number(text, 0.001)).or_else(|| {
        let text = other?;
        number(text, 1.0).or_else(|| {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or(Duration::ZERO))
        })
    })
}

/// A body that is no error document, in a few words.
pub(super) fn describe(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.trim() {
        "" => "nothing".into(),
        html if html.starts_with('<') => "a page of HTML or XML".into(),
        text => bounded(text),
    }
}

/// At most [`MAX_TEXT`] bytes on one line.
pub(super) fn bounded(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let mut line: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&'static str, &str)], body: &str) -> Refusal {
        let headers = headers.iter().map(|&(name, value)| {
            (
                hyper::header::HeaderName::from_static(name),
                hyper::header::HeaderValue::from_str(value).expect("a value"),
            )
        });
        let status = StatusCode::from_u16(status).expect("a status");
        // 2024-01-01T00:00:00Z.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_067_200);
        Refusal::from_response(status, &headers.collect(), body.as_bytes(), now)
    }

    #[test]
    fn every_known_shape_gives_its_kind_and_its_message() {
        let shapes = [
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Busy"},"request_id":"r"}"#,
                "overloaded_error",
            ),
            (
                r#"{"error":{"message":"Busy","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                "rate_limit_exceeded",
            ),
            (r#"{"error":{"message":"Busy","type":"server_error","code":null}}"#, "server_error"),
            (r#"[{"error":{"code":503,"message":"Busy","status":"UNAVAILABLE"}}]"#, "UNAVAILABLE"),
            (r#"{"object":"error","message":"Busy","type":"BadRequestError","code":400}"#, "BadRequestError"),
            (r#"{"error":"Busy"}"#, ""),
            (r#"{"detail":"Busy"}"#, ""),
            (r#"{"message":"Busy"}"#, ""),
            ("Busy", ""),
        ];
        for (body, kind) in shapes {
            let refusal = refusal(503, &[], body);
            assert_eq!((refusal.message.as_str(), refusal.kind.as_deref().unwrap_or("")), ("Busy", kind), "{body}");
        }
        assert_eq!(refusal(502, &[], "<html>x</html>").message, "a page of HTML or XML");
        assert_eq!(refusal(502, &[], "").message, "nothing");
        assert_eq!(refusal(502, &[("request-id", "req_1")], "{}").request_id.as_deref(), Some("req_1"));
    }

    #[test]
    fn statuses_and_headers_decide_about_a_retry() {
        for (status, expected) in
            [(408, true), (409, true), (429, true), (500, true), (529, true), (400, false), (401, false)]
        {
            assert_eq!(refusal(status, &[], "{}").retryable(), expected, "{status}");
        }
        assert!(!refusal(529, &[("x-should-retry", "false")], "{}").retryable());
        assert!(refusal(400, &[("x-should-retry", "true")], "{}").retryable());
        let quota = r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#;
        assert!(!refusal(429, &[], quota).retryable());
    }

    #[test]
    fn the_wait_comes_in_milliseconds_seconds_or_as_a_date() {
        let wait = |headers: &[(&'static str, &str)]| refusal(429, headers, "{}").retry_after;
        assert_eq!(wait(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(Duration::from_millis(1500)));
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(wait(&[("retry-after", "Mon, 01 Jan 2024 00:00:30 GMT")]), Some(Duration::from_secs(30)));
        assert_eq!(wait(&[("retry-after", "Sun, 31 Dec 2023 00:00:30 GMT")]), Some(Duration::ZERO));
        for nonsense in ["soon", "-1", "NaN", "1e300"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }

    #[test]
    fn what_a_service_says_is_bounded_and_never_repeats_the_key() {
        let refusal =
            refusal(401, &[], &format!(r#"{{"error":"wrong key sk-1\n{}"}}"#, "é".repeat(1000))).without("sk-1");
        assert!(refusal.message.starts_with("wrong key [key] é") && refusal.message.len() < 600, "{refusal}");
    }
}
