//! Requests to the REST API ("Reference").

use exoclaw_guest::channel::{Body, Outbound, Piece, Template, text};

use crate::settings::{Discord, TOKEN};

/// How long a request may take.
const TIMEOUT_MS: u32 = 15_000;
/// "Clients using the HTTP API must provide a valid User Agent".
const USER_AGENT: &str = concat!("DiscordBot (https://github.com/exoclaw/exoclaw, ", env!("CARGO_PKG_VERSION"), ")");

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
}
