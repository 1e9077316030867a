//! Requests to the REST API ("Reference").

use exoclaw_guest::channel::{Body, Outbound, Piece, Template, text};

use crate::settings::{Discord, TOKEN};

/// How long a request may take.
const TIMEOUT_MS: u32 = 15_000;
/// "Clients using the HTTP API must provide a valid User Agent".
const USER_AGENT: &str = concat!("DiscordBot (https://github.com/exoclaw/exoclaw, ", env!("CARGO_PKG_VERSION"), ")");
/// The longest pause that a header is believed.
const MAX_PAUSE_MS: f64 = 86_400_000.0;

/// Without the token.
pub fn request(method: &str, url: Template) -> Outbound {
    let headers = vec![("user-agent".into(), text(USER_AGENT))];
    Outbound { method: method.into(), url, headers, body: Body::Bytes(vec![]), timeout_ms: TIMEOUT_MS }
}

/// To a path of the API, with the token.
pub fn authorised(settings: &Discord, method: &str, path: &str) -> Outbound {
    let mut request = request(method, text(format!("{}{path}", settings.base_url)));
    let token = vec![Piece::Text("Bot ".into()), Piece::Secret(TOKEN.into())];
    request.headers.push(("authorization".into(), token));
    request
}

/// The same, to read.
pub fn get(settings: &Discord, path: &str) -> Outbound {
    authorised(settings, "GET", path)
}

/// With a JSON document as its body.
pub fn with_json(mut request: Outbound, json: String) -> Outbound {
    request.headers.push(("content-type".into(), text("application/json")));
    request.body = Body::Text(text(json));
    request
}

/// Seconds with a fraction, rounded up.
pub fn milliseconds(seconds: f64) -> Option<u32> {
    // Bounded on both sides, so that the cast is exact.
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1_000.0).ceil().min(MAX_PAUSE_MS) as u32)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The address of a request, with the names of secrets in braces.
    pub fn url(request: &Outbound) -> String {
        joined(&request.url)
    }

    /// A template's text, with the names of secrets in braces.
    pub fn joined(template: &[Piece]) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Secret(name) => format!("{{{name}}}"),
        };
        template.iter().map(piece).collect()
    }

    #[test]
    fn pauses_are_rounded_up_and_bounded() {
        assert_eq!(milliseconds(0.3001), Some(301));
        assert_eq!(milliseconds(1e30), Some(86_400_000));
        assert_eq!(milliseconds(f64::NAN), None);
        assert_eq!(milliseconds(-1.0), None);
    }
}
