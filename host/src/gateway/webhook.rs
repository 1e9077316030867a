//! `/webhook/{channel}`: calls of platforms. They show no token of the gateway's; what lets them in is
//! what the channel declared, a signature or a secret.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use tracing::warn;

use super::http::{Answer, Visit, deny, text, with};
use crate::channel::webhook::Outcome;
use crate::runtime::bindings::types;
use crate::store::Timestamp;

/// The most headers of a channel's reply.
const MAX_REPLY_HEADERS: usize = 32;

/// The most that those take, in bytes.
const MAX_REPLY_HEAD: usize = 8 << 10;

/// The largest body of a channel's reply. Platforms read a few KiB.
const MAX_REPLY_BODY: usize = 1 << 20;

/// The longest that a platform is told to wait, in seconds: some give a webhook up that fails for long.
const MAX_RETRY: u64 = 300;

/// Of replies: they are data for a platform, and never a page of the gateway's own site.
const INERT: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// What a channel may not say: what is between two hops (RFC 9110, section 7.6.1) or about the
/// message's frame, and what browsers would hold against the whole site.
const HOSTS: [&str; 21] = [
    "alt-svc",
    "clear-site-data",
    "connection",
    "content-length",
    "content-security-policy",
    "cross-origin-opener-policy",
    "date",
    "http2-settings",
    "keep-alive",
    "link",
    "location",
    "refresh",
    "server",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The channel that a path is the webhook of. A channel's name needs no escapes.
pub(super) fn channel(path: &str) -> Option<&str> {
    path.strip_prefix("/webhook/").filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Answers one call.
pub(super) async fn answer(visit: &Visit, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let shared = &visit.shared;
    let name = channel(parts.uri.path()).unwrap_or_default();
    let endpoint = shared.state.channels.endpoint(name);
    let webhook_url = endpoint.as_ref().and_then(|endpoint| endpoint.webhook_url());
    if let Err(denied) = shared.access.check_webhook_host(&parts, visit.local, webhook_url) {
        return deny(&denied);
    }
    let Some(endpoint) = endpoint else {
        return text(StatusCode::NOT_FOUND, "no channel has its webhook here");
    };
    // Before anything is read: what cannot be stored cannot be taken.
    if let Some(unready) = shared.unready() {
        return unavailable(text(StatusCode::SERVICE_UNAVAILABLE, unready.reason()), 5);
    }
    let max_body = shared.config.max_message.bytes();
    match endpoint.receive(&parts, body, max_body, Timestamp::now()).await {
        Outcome::Challenge(echo) => with(text(StatusCode::OK, echo), CONTENT_SECURITY_POLICY, INERT),
        Outcome::Done(None) => text(StatusCode::OK, Bytes::new()),
        Outcome::Done(Some(response)) => reply(name, response),
        Outcome::Malformed => text(StatusCode::BAD_REQUEST, "the channel cannot read this"),
        // RFC 9110, section 11.6.1 wants the header, and has no name for this scheme.
        Outcome::Refused => {
            with(text(StatusCode::UNAUTHORIZED, "this call is not verified"), WWW_AUTHENTICATE, "Webhook")
        }
        Outcome::Method { allow } => {
            let answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("this webhook answers to {allow}"));
            with(answer, ALLOW, allow)
        }
        Outcome::TooSlow => {
            with(text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"), CONNECTION, "close")
        }
        Outcome::TooLarge { limit } => {
            let answer = text(StatusCode::PAYLOAD_TOO_LARGE, format!("the most bytes that are read are {limit}"));
            with(answer, CONNECTION, "close")
        }
        Outcome::Unavailable { retry_in } => {
            let seconds = retry_in.as_millis().div_ceil(1000);
            let answer = text(StatusCode::SERVICE_UNAVAILABLE, "not now");
            unavailable(answer, u64::try_from(seconds).unwrap_or(MAX_RETRY))
        }
    }
}

fn unavailable(mut answer: Answer, seconds: u64) -> Answer {
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.clamp(1, MAX_RETRY)));
    answer
}

/// What a channel says to its platform. The event is stored by then, so a reply that cannot be sent
/// becomes a plain 200: an error would have the platform send the event again.
fn reply(channel: &str, reply: types::Response) -> Answer {
    let status = StatusCode::from_u16(reply.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    let Some(status) = status.filter(|_| reply.body.len() <= MAX_REPLY_BODY) else {
        let (status, bytes) = (reply.status, reply.body.len());
        warn!(channel, status, bytes, "a reply of the channel's is none that can be sent; 200 was answered instead");
        return text(StatusCode::OK, Bytes::new());
    };
    let mut answer = Response::new(Full::new(Bytes::from(reply.body)));
    *answer.status_mut() = status;
    *answer.headers_mut() = shown(&reply.headers);
    let answer = with(answer, CACHE_CONTROL, "no-store");
    with(with(answer, X_CONTENT_TYPE_OPTIONS, "nosniff"), CONTENT_SECURITY_POLICY, INERT)
}

/// Those of a channel's headers that are its own to say.
fn shown(headers: &[types::Header]) -> HeaderMap {
    let mut shown = HeaderMap::new();
    let mut size = 0;
    for types::Header { name, value } in headers.iter().take(MAX_REPLY_HEADERS) {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) else { continue };
        size += name.as_str().len() + value.len() + 4;
        if size > MAX_REPLY_HEAD {
            break;
        }
        if !is_hosts(name.as_str()) {
            shown.append(name, value);
        }
    }
    shown
}

/// `name` is in lower case.
fn is_hosts(name: &str) -> bool {
    HOSTS.contains(&name) || ["proxy-", "access-control-"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> types::Header {
        types::Header { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_webhooks_path_has_one_name() {
        assert_eq!(channel("/webhook/slack"), Some("slack"));
        for path in
            ["/webhook", "/webhook/", "/webhook/slack/", "/webhook//slack", "/Webhook/slack", "/x/webhook/slack"]
        {
            assert_eq!(channel(path), None, "{path}");
        }
    }

    #[test]
    fn a_reply_says_nothing_about_the_connection_or_the_site() {
        let headers = [
            header("Content-Type", "application/json"),
            header("X-Slack-No-Retry", "1"),
            header("Set-Cookie", "a=b"),
            header("Transfer-Encoding", "chunked"),
            header("Content-Length", "999"),
            header("Connection", "upgrade"),
            header("Proxy-Authenticate", "Basic"),
            header("Access-Control-Allow-Origin", "*"),
            header("Location", "https://evil.example"),
            header("Content-Security-Policy", "default-src *"),
            header("X-Content-Type-Options", "sniff"),
            header("Cache-Control", "public"),
            header("Bad\r\nName", "x"),
            header("X-Bad", "a\r\nSet-Cookie: b"),
        ];
        let answer =
            reply("x", types::Response { status: 202, headers: headers.into(), body: br#"{"type":1}"#.to_vec() });
        assert_eq!(answer.status(), 202);
        let mut told: Vec<_> =
            answer.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                ("cache-control", "no-store"),
                ("content-security-policy", INERT),
                ("content-type", "application/json"),
                ("x-content-type-options", "nosniff"),
                ("x-slack-no-retry", "1"),
            ]
        );
    }

    #[test]
    fn a_reply_that_cannot_be_sent_is_a_plain_200() {
        let large = vec![0; MAX_REPLY_BODY + 1];
        for (status, body) in [(0, vec![]), (101, vec![]), (600, vec![]), (200, large)] {
            let answer = reply("x", types::Response { status, headers: vec![header("x-a", "b")], body });
            assert_eq!((answer.status(), answer.headers().get("x-a")), (StatusCode::OK, None), "{status}");
        }
        let many = (0..100).map(|n| header(&format!("x-{n}"), &"v".repeat(1000))).collect::<Vec<_>>();
        let shown = shown(&many);
        assert!(shown.len() < 9 && !shown.is_empty(), "{}", shown.len());
    }
}
