//! The plugins that ship.

use exoclaw::runtime::{PluginError, PluginKind, Toolbox};
use serde_json::json;

use super::*;

#[tokio::test]
async fn every_bundled_plugin_describes_itself_the_same_each_time() {
    for guest in exoclaw_bundle::GUESTS {
        let described = async || {
            let mut info = serde_json::to_value(load(spec(guest.name)).await.info()).unwrap();
            // What the load took is never the same.
            info.as_object_mut().unwrap().remove("counts").unwrap();
            info
        };
        let (first, second) = (described().await, described().await);
        assert_eq!(first, second, "{}", guest.name);
        assert_eq!(first["source"], format!("bundled:{}", guest.name));
        assert_eq!(first["size"], guest.bytes.len());
        let sha256: String = guest.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(first["sha256"], sha256);
        assert_eq!(first["failures"], 0);
    }
}

#[tokio::test]
async fn bundled_tools_promise_to_change_nothing_and_are_believed() {
    for name in ["echo", "clock", "calculator"] {
        let plugin = load(spec(name)).await;
        assert_eq!(plugin.kind(), PluginKind::Tool);
        assert!(plugin.channel().is_none());
        for import in plugin.info().imports {
            assert!(import.inert || import.name.starts_with("exoclaw:plugin/logging@"), "{} of {name}", import.name);
        }
        for tool in plugin.tools() {
            assert!(tool.parallel() && tool.repeatable(), "{}", tool.name());
            assert!(tool.info().hints.believed);
        }
    }
}

#[tokio::test]
async fn tools_of_all_plugins_are_found_by_name() {
    let plugins = vec![load(spec("echo")).await, load(spec("loopback")).await, load(spec("clock")).await];
    let toolbox = Toolbox::new(plugins).unwrap();
    let names: Vec<_> = toolbox.iter().map(Tool::name).collect();
    assert_eq!(names, ["current_time", "echo"]);
    assert_eq!(toolbox.get("echo").unwrap().plugin().as_str(), "echo");
    assert!(toolbox.get("calculate").is_none());
    assert_eq!(toolbox.plugins().len(), 3);
}

#[tokio::test]
async fn echo_says_back_what_it_is_told() {
    let plugin = load(spec("echo")).await;
    let echo = tool(&plugin, "echo");
    let long = "ü".repeat(30_000);
    for said in ["", "hello", "\u{0}\n\"\\", "日本語 👩‍👩‍👧", &long] {
        assert_eq!(text(&echo, json!({ "text": said })).await.unwrap(), said);
    }
}

#[tokio::test]
async fn the_clock_tells_the_time_that_it_is_given() {
    let plugin = load(spec("clock")).await;
    let clock = tool(&plugin, "current_time");
    let told = |zone: &str| json!({ "timezone": zone });
    assert_eq!(text(&clock, json!({})).await.unwrap(), "2026-03-14T14:09:26+00:00, Saturday, in UTC (UTC)");
    assert_eq!(
        text(&clock, told("Europe/Berlin")).await.unwrap(),
        "2026-03-14T15:09:26+01:00, Saturday, in Europe/Berlin (CET)"
    );
    assert_eq!(
        text(&clock, told("pacific/auckland")).await.unwrap(),
        "2026-03-15T03:09:26+13:00, Sunday, in Pacific/Auckland (NZDT)"
    );
    let error = text(&clock, told("Berlin")).await.unwrap_err();
    assert!(matches!(&error, CallError::Plugin(PluginError::InvalidInput(_))), "{error}");
    assert!(error.to_string().contains("Europe/Berlin"), "{error}");
}

#[tokio::test]
async fn the_clock_takes_its_default_zone_from_the_settings() {
    let settings = object(json!({ "timezone": "Asia/Tokyo" }));
    let plugin = load(PluginSpec { settings, ..spec("clock") }).await;
    let told = text(&tool(&plugin, "current_time"), json!({})).await.unwrap();
    assert_eq!(told, "2026-03-14T23:09:26+09:00, Saturday, in Asia/Tokyo (JST)");

    let settings = object(json!({ "timezone": "Mars/Olympus" }));
    let refused = problem(PluginSpec { settings, ..spec("clock") }).await;
    assert!(matches!(refused, LoadProblem::Call { function: "definitions", .. }), "{refused}");
}

#[tokio::test]
async fn the_calculator_is_exact() {
    let plugin = load(spec("calculator")).await;
    let calculator = tool(&plugin, "calculate");
    for (expression, result) in [
        ("0.1 + 0.2", "0.3"),
        ("(19.99 * 3) / 4", "14.9925"),
        ("2^100", "1267650600228229401496703205376"),
        ("-7 % 4", "1"),
        ("1/3", "0.3333333333333333333333333333333333 (rounded to 34 significant digits)"),
    ] {
        assert_eq!(text(&calculator, json!({ "expression": expression })).await.unwrap(), result, "{expression}");
    }
    let deep = "(".repeat(1_000);
    for expression in ["1/0", "2 +", "9^9^9^9", "1e9999999", "__import__('os')", " ", &deep] {
        let error = text(&calculator, json!({ "expression": expression })).await.unwrap_err();
        assert!(matches!(error, CallError::Plugin(PluginError::InvalidInput(_))), "{expression}: {error}");
    }
}

#[tokio::test]
async fn the_dearest_expressions_end_within_the_limit() {
    let plugin = load(spec("calculator")).await;
    let calculator = tool(&plugin, "calculate");
    let mut dear = "3^5000".to_owned();
    while dear.len() < 980 {
        dear += "/7^2900*7^2900";
    }
    for expression in [dear, "1/3^5000+".repeat(100) + "1", "9".repeat(1_000)] {
        let result = text(&calculator, json!({ "expression": expression })).await;
        assert!(matches!(result, Ok(_) | Err(CallError::Plugin(_))), "{result:?}");
    }
}

#[tokio::test]
async fn hostile_arguments_give_errors_and_not_traps() {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long = format!(r#"{{"text": "{0}", "expression": "{0}", "timezone": "{0}"}}"#, "9".repeat(20_000));
    let huge = format!(r#""{}""#, "x".repeat(100_000));
    let arguments = [
        "null",
        "[]",
        "0",
        "{}",
        r#"{"text": null}"#,
        r#"{"text": 1, "expression": [], "timezone": {}}"#,
        r#"{"text": "a", "text": "b"}"#,
        r#"{"expression": "1", "unknown": 1}"#,
        r#"{"timezone": "../../etc/passwd"}"#,
        r#"{"timezone": "\u0000"}"#,
        r#"{"expression": "\ud83d\ude00"}"#,
        &deep,
        &long,
        &huge,
    ];
    for guest in exoclaw_bundle::GUESTS {
        let plugin = load(spec(guest.name)).await;
        for tool in plugin.tools() {
            for arguments in arguments {
                let result = call(&tool, arguments).await;
                let calm = matches!(
                    result,
                    Ok(_)
                        | Err(CallError::InvalidArguments(_)
                            | CallError::ArgumentsTooLarge { .. }
                            | CallError::Plugin(PluginError::InvalidInput(_)))
                );
                assert!(calm, "{} with {}: {result:?}", tool.name(), &arguments[..arguments.len().min(80)]);
            }
        }
        assert_eq!(plugin.info().failures, 0, "{}", guest.name);
    }
}
