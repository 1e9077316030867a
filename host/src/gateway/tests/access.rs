//! Who gets in.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

#[tokio::test]
async fn a_web_page_does_not_reach_the_gateway_on_loopback() -> Result {
    let gateway = start(&config(), None)?;
    assert_eq!(gateway.refusal(&[("origin", "https://evil.example")]).await?, 403);
    assert_eq!(gateway.refusal(&[("origin", "null")]).await?, 403);
    let rebound = format!("evil.example:{}", gateway.address.port());
    assert_eq!(gateway.refusal(&[("host", &rebound)]).await?, 403);
    let own = format!("http://{}", gateway.address);
    gateway.client_with(&[("origin", &own)]).await?;
    gateway.stop().await
}

#[tokio::test]
async fn what_a_proxy_passed_on_needs_a_token() -> Result {
    let gateway = start(&config(), None)?;
    for header in ["forwarded", "x-forwarded-for", "via"] {
        assert_eq!(gateway.refusal(&[(header, "x")]).await?, 401, "{header}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_wrong_bearer_token_is_refused_and_the_right_one_needs_no_auth() -> Result {
    let gateway = start(&config(), Some("right"))?;
    assert_eq!(gateway.refusal(&[("authorization", "Bearer wrong")]).await?, 401);
    let mut client = gateway.client_with(&[("authorization", "Bearer right")]).await?;
    assert!(client.call("ping", json!({})).await?.is_ok());
    let without = start(&config(), None)?;
    assert_eq!(without.refusal(&[("authorization", "Bearer any")]).await?, 401);
    without.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn auth_as_the_first_request_lets_a_client_in() -> Result {
    let gateway = start(&config(), Some("right"))?;
    let mut client = gateway.client().await?;
    let welcome = client.call("auth", json!({ "token": "right" })).await?;
    assert_eq!(welcome, Ok(json!({ "protocol": 1, "version": "0.0.0" })));
    assert!(client.call("ping", json!({})).await?.is_ok());
    let mut client = gateway.client().await?;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"right"}},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;
    let answers = client.ask(batch).await?;
    assert!(answers[0]["result"].is_object() && answers[1]["result"].is_object(), "{answers}");
    gateway.stop().await
}

#[tokio::test]
async fn anything_but_a_right_auth_gets_32001_and_close_4401() -> Result {
    let gateway = start(&config(), Some("right"))?;
    for request in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"wrong"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"auth"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#,
    ] {
        let mut client = gateway.client().await?;
        let answer = client.ask(request).await?;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-32001)), "{request}");
        assert_eq!(client.closed().await?, 4401, "{request}");
    }
    let mut client = gateway.client().await?;
    assert_eq!(client.ask("{").await?["error"]["code"], -32700);
    assert_eq!(client.closed().await?, 4401);
    gateway.stop().await
}

#[tokio::test]
async fn in_a_batch_nothing_runs_after_a_wrong_auth() -> Result {
    let gateway = start(&config(), Some("right"))?;
    let mut client = gateway.client().await?;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"wrong"}},{"jsonrpc":"2.0","id":2,"method":"status"}]"#;
    let answers = client.ask(batch).await?;
    assert_eq!(answers.as_array().map(Vec::len), Some(1), "{answers}");
    assert_eq!(answers[0]["error"]["code"], -32001);
    assert_eq!(client.closed().await?, 4401);
    gateway.stop().await
}

#[tokio::test]
async fn a_wrong_token_is_refused_where_none_is_needed_too() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    assert!(client.call("auth", json!({})).await?.is_ok());
    let refused = client.call("auth", json!({ "token": "any" })).await?;
    assert_eq!(refused.map_err(|error| error["code"].clone()), Err(json!(-32001)));
    assert_eq!(client.closed().await?, 4401);
    gateway.stop().await
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_in_time_is_sent_away() -> Result {
    let gateway = start(&GatewayConfig { auth_timeout: Duration::from_millis(50), ..config() }, Some("right"))?;
    let mut client = gateway.client().await?;
    assert_eq!(client.next().await?["error"]["code"], -32001);
    assert_eq!(client.closed().await?, 4401);
    gateway.stop().await
}

#[tokio::test]
async fn before_authentication_only_small_messages_are_read() -> Result {
    let gateway = start(&config(), Some("right"))?;
    let mut client = gateway.client().await?;
    // The head of a masked text frame of 64 KiB; none of it need follow.
    client.raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]).await?;
    assert_eq!(client.closed().await?, 1009);
    let mut client = gateway.client().await?;
    client.result("auth", json!({ "token": "right" })).await?;
    let long = " ".repeat(64 << 10);
    assert!(client.ask(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping"}}{long}"#)).await?["result"].is_object());
    gateway.stop().await
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_a_token() -> Result {
    let open = GatewayConfig { host: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..config() };
    let refused = Gateway::bind(&open, None, state(dispatcher(1))).err().ok_or("bound")?.to_string();
    assert!(refused.contains("EXOCLAW_TOKEN"), "{refused}");
    Gateway::bind(&open, Some(&Secret::new("right".into())), state(dispatcher(1)))?;
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() -> Result {
    let gateway = start(&config(), None)?;
    let same = GatewayConfig { port: gateway.address.port(), ..config() };
    let refused = Gateway::bind(&same, None, state(dispatcher(1))).err().ok_or("bound")?.to_string();
    assert!(refused.contains(&gateway.address.to_string()) && refused.contains("--port"), "{refused}");
    gateway.stop().await
}
