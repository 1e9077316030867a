//! JSON-RPC 2.0 on the wire.

use super::*;

#[tokio::test]
async fn answers_carry_the_ids_of_their_requests_byte_for_byte_and_in_order() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    let ids = [r#""\u0041""#, "1.50", "-0", "12345678901234567890123", "null", r#""""#];
    for id in ids {
        client.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).await?;
    }
    for id in ids {
        let answer = client.text().await?;
        assert!(answer.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"time":"#)), "{answer}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn notifications_get_no_answer_not_even_an_error() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    for silent in [
        r#"{"jsonrpc":"2.0","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"nothing"}"#,
        r#"{"jsonrpc":"2.0","method":"ping","params":{"x":1}}"#,
        r#"[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","method":"nothing"}]"#,
    ] {
        client.send(silent).await?;
    }
    assert!(client.call("ping", json!({})).await?.is_ok());
    gateway.stop().await
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    for (request, code, says) in [
        ("{", -32700, "not JSON"),
        ("[]", -32600, "empty"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.sned"}"#, -32601, "chat.send"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, -32602, "object"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1}}"#, -32602, "`x`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.send"}"#, -32602, "`content`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.send","params":{"content":5}}"#, -32602, "expected a string"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.history","params":{"session":"x"}}"#, -32602, "four parts"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.history","params":{"session":"a:b:c:d"}}"#, -32007, "a:b:c:d"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"session.list","params":{"limit":501}}"#, -32602, "1 to 500"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"session.get","params":{"session":"a:b:c:d"}}"#, -32007, "a:b:c:d"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"plugin.inspect","params":{"name":"x"}}"#, -32007, "plugin.list"),
    ] {
        let answer = client.ask(request).await?;
        assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|message| message.contains(says)),
            "{request}: {answer}"
        );
        assert!(answer.get("result").is_none());
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_batch_is_answered_in_one_array_in_order() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},1,{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","id":"b","method":"nothing"}]"#;
    let answers = client.ask(batch).await?;
    let ids: Vec<_> = answers.as_array().ok_or("no array")?.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(null), json!("b")]);
    let many = vec![r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#; 33].join(",");
    assert_eq!(client.ask(&format!("[{many}]")).await?["error"]["code"], -32600);
    gateway.stop().await
}

#[tokio::test]
async fn requests_in_one_packet_are_all_answered() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut frame = vec![0x81, 0x80 | u8::try_from(request.len())?, 0, 0, 0, 0];
    frame.extend(request.bytes());
    client.raw(&frame.repeat(500)).await?;
    for _ in 0..500 {
        assert!(client.next().await?["result"].is_object());
    }
    gateway.stop().await
}

#[tokio::test]
async fn lists_are_pages_and_status_tells_what_is() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    assert_eq!(client.call("session.list", json!({})).await?, Ok(json!({ "sessions": [], "next": null })));
    let plugins = client.call("plugin.list", json!({})).await?;
    assert_eq!(plugins, Ok(json!({ "plugins": [{ "name": "echo" }], "next": null })));
    let status = client.result("status", json!({})).await?;
    assert_eq!((&status["connections"], &status["plugins"], &status["ready"]), (&json!(1), &json!(1), &json!(true)));
    gateway.stop().await
}

#[tokio::test]
async fn the_document_describes_every_method_and_what_it_answers() -> Result {
    let gateway = start(&config(), None)?;
    let mut client = gateway.client().await?;
    let document = client.result("rpc.discover", json!({})).await?;
    assert_eq!(document["openrpc"], "1.3.2");
    let methods = document["methods"].as_array().ok_or("no methods")?;
    let names: Vec<_> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "agent.list",
            "auth",
            "budget.status",
            "channel.drop",
            "channel.events",
            "channel.list",
            "channel.replay",
            "chat.abort",
            "chat.history",
            "chat.send",
            "chat.subscribe",
            "chat.unsubscribe",
            "outbox.drop",
            "outbox.list",
            "outbox.retry",
            "pairing.approve",
            "pairing.list",
            "pairing.remove",
            "ping",
            "plugin.inspect",
            "plugin.list",
            "plugin.reload",
            "rpc.discover",
            "session.delete",
            "session.get",
            "session.list",
            "session.reset",
            "status",
            "usage.query",
        ]
    );
    let without_params = [
        "ping",
        "status",
        "auth",
        "agent.list",
        "plugin.list",
        "plugin.reload",
        "session.list",
        "outbox.list",
        "usage.query",
        "budget.status",
        "rpc.discover",
    ];
    for name in without_params {
        let method = methods.iter().find(|method| method["name"] == name).ok_or("no method")?;
        let mut schema = method["result"]["schema"].clone();
        if let Some(schema) = schema.as_object_mut() {
            // The references of the document lead to its components.
            schema.insert("components".into(), document["components"].clone());
        }
        let result = client.result(name, json!({})).await?;
        jsonschema::validate(&schema, &result).map_err(|error| format!("{name}: {error}"))?;
    }
    let send = methods.iter().find(|method| method["name"] == "chat.send").ok_or("no chat.send")?;
    let required = |name: &str| {
        let params = send["params"].as_array().into_iter().flatten();
        params.filter(|param| param["name"] == name).map(|param| param["required"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(required("content"), [json!(true)]);
    assert_eq!(required("idempotency_key"), [json!(false)]);
    Ok(())
}
