//! Who may connect.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Client, Connect, Gateway, fetch, within};

const TOKEN: &str = "token-KEYKEYKEY-of-the-gateway";

async fn open_gateway() -> Gateway {
    Gateway::builder().start().await
}

async fn gateway_with_token() -> Gateway {
    Gateway::builder().env("EXOCLAW_TOKEN", TOKEN).start().await
}

/// The status with which an upgrade is refused; `None` where it is not.
async fn upgrade(gateway: &Gateway, headers: &[(&str, &str)]) -> Option<u16> {
    let how = Connect { headers, ..Connect::default() };
    Client::try_connect(gateway.address(), how).await.err()
}

#[tokio::test]
async fn a_web_page_cannot_reach_a_gateway_on_loopback() {
    let gateway = Gateway::builder().gateway("allowed_origins = [\"https://chat.example\"]").start().await;
    for origin in ["https://evil.example", "http://localhost:1", "null", "file://", "https://chat.example.evil.example"]
    {
        assert_eq!(upgrade(&gateway, &[("origin", origin)]).await, Some(403), "{origin}");
    }
    let own = format!("http://{}", gateway.address());
    assert_eq!(upgrade(&gateway, &[("origin", &own)]).await, None);
    assert_eq!(upgrade(&gateway, &[("origin", "https://chat.example")]).await, None);
    assert_eq!(upgrade(&gateway, &[]).await, None);
}

#[tokio::test]
async fn a_name_that_was_bound_to_loopback_does_not_reach_the_gateway() {
    let gateway = Gateway::builder().gateway("allowed_hosts = [\"claw.example\"]").start().await;
    let port = gateway.address().port();
    for host in
        [format!("evil.example:{port}"), "evil.example".into(), "127.0.0.1:1".into(), "claw.example.evil".into()]
    {
        assert_eq!(upgrade(&gateway, &[("host", &host)]).await, Some(403), "{host}");
        let page = fetch(gateway.address(), "/livez", &[("host", &host)]).await.expect("an answer");
        assert_eq!(page.status, 403, "{host}");
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "claw.example".into()] {
        assert_eq!(upgrade(&gateway, &[("host", &host)]).await, None, "{host}");
    }
}

#[tokio::test]
async fn what_came_through_a_proxy_is_not_local() {
    let gateway = open_gateway().await;
    for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via"] {
        assert_eq!(upgrade(&gateway, &[(name, "127.0.0.1")]).await, Some(401), "{name}");
    }
    let gateway = gateway_with_token().await;
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("x-forwarded-for", "203.0.113.9"), ("authorization", bearer.as_str())];
    assert_eq!(upgrade(&gateway, &headers).await, None);
}

#[tokio::test]
async fn a_wrong_token_is_refused_even_on_loopback() {
    for gateway in [open_gateway().await, gateway_with_token().await] {
        for wrong in ["Bearer wrong", "Bearer ", "Basic dTpw", "Bearer token-KEYKEYKEY-of-the-gatewa", TOKEN] {
            assert_eq!(upgrade(&gateway, &[("authorization", wrong)]).await, Some(401), "{wrong}");
        }
    }
    let gateway = gateway_with_token().await;
    assert_eq!(upgrade(&gateway, &[("authorization", &format!("bearer {TOKEN}"))]).await, None);
}

#[tokio::test]
async fn auth_as_the_first_request_opens_the_rest() {
    let gateway = gateway_with_token().await;
    let mut client = Client::connect(&gateway).await;
    let welcome = client.call("auth", json!({"token": TOKEN})).await.expect("the token is right");
    assert_eq!(welcome["protocol"], 1);
    assert_eq!(welcome["version"], "0.1.0");
    client.ping().await;
}

#[tokio::test]
async fn without_auth_nothing_else_is_answered() {
    let gateway = gateway_with_token().await;
    for (method, params) in [("ping", json!({})), ("status", json!({})), ("chat.send", json!({"content": "Hi."}))] {
        let mut client = Client::connect(&gateway).await;
        let refused = client.call(method, params).await.expect_err("not yet");
        assert_eq!(refused.code, -32001, "{method}: {refused:?}");
        assert_eq!(u16::from(client.closed().await.code), 4401, "{method}");
    }
    for wrong in [json!({"token": "wrong"}), json!({"token": ""})] {
        let mut client = Client::connect(&gateway).await;
        let refused = client.call("auth", wrong).await.expect_err("a wrong token");
        assert_eq!(refused.code, -32001);
        assert!(!refused.message.contains(TOKEN));
        assert_eq!(u16::from(client.closed().await.code), 4401);
    }
}

#[tokio::test]
async fn who_does_not_authorise_in_time_is_sent_away() {
    let gateway = Gateway::builder().env("EXOCLAW_TOKEN", TOKEN).gateway("auth_timeout = \"2s\"").start().await;
    let mut silent = Client::connect(&gateway).await;
    assert_eq!(u16::from(silent.closed().await.code), 4401);
    // Who has authorised may be silent as long as it likes.
    let mut known = Client::connect(&gateway).await;
    known.call("auth", json!({"token": TOKEN})).await.expect("the token is right");
    let mut silent = Client::connect(&gateway).await;
    silent.closed().await;
    known.ping().await;
}

#[tokio::test]
async fn a_gateway_for_all_the_world_needs_a_token() {
    for host in ["0.0.0.0", "::"] {
        let refused = Gateway::builder().gateway(&format!("host = \"{host}\"")).refuses_to_start().await;
        assert!(refused.stderr.contains("EXOCLAW_TOKEN"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn health_needs_no_token_and_tells_nothing() {
    let gateway = gateway_with_token().await;
    for path in ["/livez", "/readyz"] {
        let health = gateway.get(path).await;
        assert_eq!(health.status, 200, "{path}: {}", health.body);
        assert!(!health.body.contains(TOKEN));
    }
    assert_eq!(gateway.get("/").await.status, 404);
    assert_eq!(gateway.get("/../../etc/passwd").await.status, 404);
}

#[tokio::test]
async fn connections_past_the_limit_are_refused_until_there_is_room() {
    let gateway = Gateway::builder().gateway("max_connections = 2").start().await;
    let mut one = Client::connect(&gateway).await;
    let two = Client::connect(&gateway).await;
    assert_eq!(upgrade(&gateway, &[]).await, Some(503));
    one.ping().await;
    drop(two);
    let room = async { while upgrade(&gateway, &[]).await.is_some() {} };
    within("there is room again", room).await;
}

#[tokio::test]
async fn half_a_request_does_not_hold_a_connection_for_ever() {
    let gateway = Gateway::builder().gateway("auth_timeout = \"2s\"").start().await;
    let mut stream = tokio::net::TcpStream::connect(gateway.address()).await.expect("a connection");
    stream.write_all(b"GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ").await.expect("an open connection");
    let mut rest = Vec::new();
    within("the gateway hangs up", stream.read_to_end(&mut rest)).await.expect("an orderly end");
}
