//! What calls of models cost, and budgets that hold.

use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Builder, Client, Counts, FakeProvider, Gate, Gateway, Reply, Request, WIRES, Wire, exoclaw};

/// A dollar for a million tokens in, ten for as many out, a tenth of a dollar for what the cache gives.
const PRICES: &str = "[prices]\n\"anthropic/claude-test\" = { input = 1, output = 10, cache_read = 0.1, cache_write = 1.25 }\n\
    \"openai/gpt-test\" = { input = 1, output = 10, cache_read = 0.1 }\n";

const COUNTS: Counts = Counts { input: 1_000, output: 500, cache_read: 200, cache_write: 0, cache_write_1h: 0 };

/// 1,000 in, 200 from the cache, 500 out.
const COST: f64 = 0.006_02;

async fn counting(wire: Wire) -> FakeProvider {
    FakeProvider::start(wire, |_: &Request| Reply::text("Well.").counts(COUNTS)).await
}

fn limited(provider: &FakeProvider, budgets: &str) -> Builder {
    Gateway::builder().provider(provider).agent("max_tokens = 600").tables(PRICES).tables(budgets)
}

async fn budgets(client: &mut Client) -> Vec<Value> {
    let status = client.call("budget.status", json!({})).await.expect("budgets");
    status["budgets"].as_array().expect("a list").clone()
}

async fn usage(client: &mut Client, by: &str) -> Value {
    client.call("usage.query", json!({ "by": by })).await.expect("usage")
}

#[tokio::test]
async fn what_a_turn_cost_is_told_kept_and_added_up() {
    for wire in WIRES {
        let provider = counting(wire).await;
        let gateway = limited(&provider, "").start().await;
        let mut client = Client::connect(&gateway).await;
        for _ in 0..2 {
            let told = client.ask("Hello").await.one("usage").clone();
            assert_eq!((&told["cost_usd"], &told["estimated"]), (&json!(COST), &json!(false)), "{wire:?}");
        }
        let by_model = usage(&mut client, "model").await;
        let rows = by_model["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["key"], format!("{}/{}", wire.name(), wire.model()));
        let total = &by_model["total"];
        for (count, expected) in [
            ("calls", 2),
            ("input_tokens", 2_000),
            ("output_tokens", 1_000),
            ("cache_read_tokens", 400),
            ("unpriced", 0),
        ] {
            assert_eq!((&rows[0][count], &total[count]), (&json!(expected), &json!(expected)), "{count}");
        }
        assert_eq!(total["cost_usd"], json!(2.0 * COST));
        assert_eq!(total["cache_saving_usd"], json!(0.000_36), "200 tokens at nine tenths of a millionth, twice");
        for (by, key) in [("agent", "default"), ("channel", "websocket"), ("cause", "message")] {
            let answer = usage(&mut client, by).await;
            assert_eq!((&answer["rows"][0]["key"], &answer["rows"][0]["calls"]), (&json!(key), &json!(2)), "{by}");
        }
        let csv = exoclaw(gateway.home(), &["usage", "--by", "session", "--csv", "--url", &gateway.url()]).await;
        let lines: Vec<_> = csv.stdout().lines().collect();
        assert!(lines[0].starts_with("session,calls,"), "{lines:?}");
        assert!(lines[1].starts_with("default:websocket:local:main,2,0,0,2000,1000,400,0,0,0,0.01204,"), "{lines:?}");
        let table = exoclaw(gateway.home(), &["usage", "--url", &gateway.url()]).await;
        assert!(table.stdout().contains("total") && table.stdout().contains("$0.0120"), "{}", table.stdout());
    }
}

#[tokio::test]
async fn at_its_limit_an_answer_is_shortened_and_then_refused_also_after_a_restart() {
    for wire in WIRES {
        let provider = counting(wire).await;
        let home = Arc::new(TempDir::new().expect("a temporary folder"));
        let builder = limited(&provider, "[budgets]\ndaily = 2_200\nwarn_at = [50, 100]").home(&home);
        let mut gateway = builder.clone().start().await;
        let mut client = Client::connect(&gateway).await;
        client.ask("One").await.done();
        gateway.logged(&["WARN", "50 % of the daily budget of everything are spent: 1700 tokens of 2200 tokens"]).await;
        client.ask("Two").await.done();
        let most =
            |body: &Value| body["max_tokens"].as_u64().or(body["max_completion_tokens"].as_u64()).expect("a limit");
        let asked: Vec<_> = provider.bodies().iter().map(most).collect();
        assert_eq!(asked[0], 600);
        assert!((256..500).contains(&asked[1]), "500 are left for the question and its answer: {asked:?}");

        for restarted in [false, true] {
            if restarted {
                gateway.kill();
                gateway = builder.clone().start().await;
                client = Client::connect(&gateway).await;
            }
            let turn = client.ask("Three").await;
            let error = turn.error();
            assert_eq!((&error["code"], &error["retryable"]), (&json!(-32003), &json!(false)));
            let budget = &error["budget"];
            for (member, expected) in [
                ("scope", json!("all")),
                ("name", json!(null)),
                ("period", json!("daily")),
                ("unit", json!("tokens")),
                ("used", json!(3_400)),
                ("reserved", json!(0)),
                ("limit", json!(2_200)),
            ] {
                assert_eq!(budget[member], expected, "{member} of {budget}");
            }
            assert!(budget["resets_at"].as_u64() > Some(1_700_000_000_000), "{budget}");
            assert_eq!(provider.count(), 2, "nobody was asked");
            let [status] = &budgets(&mut client).await[..] else { panic!("one budget") };
            assert_eq!(
                (&status["used"], &status["reserved"], &status["warned"]),
                (&json!(3_400), &json!(0), &json!(100))
            );
        }
    }
}

#[tokio::test]
async fn calls_side_by_side_cannot_overspend_together() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let provider = FakeProvider::start(Wire::OpenAi, move |_: &Request| Reply::new().wait(&waiting).say("Well.")).await;
    let gateway = limited(&provider, "[budgets]\ntotal = 1_500").start().await;
    let mut client = Client::connect(&gateway).await;
    let mut turns = Vec::new();
    for peer in 0..8 {
        turns.push(client.send_to(&format!("peer-{peer}"), "Hello").await);
    }
    // All but those that were granted end before anyone answers.
    provider.exchange(1).await;
    let mut refused = 0;
    let mut left = turns;
    while left.len() > provider.count() {
        let turn = left.pop().expect("a turn");
        let end = client.finish(&turn).await;
        assert_eq!(end.error()["code"], -32003);
        assert_eq!(end.error()["retryable"], true, "those under way may use less than they set aside");
        refused += 1;
    }
    let most: u64 = provider.bodies().iter().filter_map(|body| body["max_completion_tokens"].as_u64()).sum();
    assert!(refused >= 5 && most < 1_500, "{refused} refused, {most} granted");
    gate.open();
    for turn in left {
        client.finish(&turn).await.done();
    }
    let [status] = &budgets(&mut client).await[..] else { panic!("one budget") };
    assert_eq!(status["reserved"], 0);
}

#[tokio::test]
async fn a_turn_that_runs_out_in_its_middle_keeps_what_it_said() {
    let provider = FakeProvider::start(Wire::Anthropic, |_: &Request| {
        let counts = Counts { input: 4_000, ..COUNTS };
        Reply::text("I look.").call("toolu_1", "echo", &json!({"text": "x"})).counts(counts)
    })
    .await;
    let gateway = limited(&provider, "[budgets.agents.default]\ndaily_usd = 0.02").bundled_tools().start().await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.ask("Look twice.").await;
    let done = turn.done();
    assert_eq!((&done["stop_reason"], provider.count()), (&json!("budget"), 2));
    assert_eq!(done["text"], "I look.\n\nI look.");
    let causes = usage(&mut client, "cause").await;
    let keys: Vec<_> = causes["rows"].as_array().expect("rows").iter().map(|row| row["key"].clone()).collect();
    assert_eq!(keys, ["message", "plugin:echo"], "the second call reads what a plugin returned");
}

#[tokio::test]
async fn a_plugin_can_only_cause_what_its_budget_allows() {
    let provider = FakeProvider::start(Wire::Anthropic, |request: &Request| {
        let id = format!("toolu_{}", request.messages().len());
        Reply::text("On.").call(&id, "echo", &json!({"text": id})).counts(COUNTS)
    })
    .await;
    let gateway = limited(&provider, "[budgets.plugins.echo]\ndaily = 4_000").bundled_tools().start().await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.ask("Go on.").await;
    assert_eq!(turn.done()["stop_reason"], "budget");
    // One for the message, one of 1,700 tokens for the plugin, and one more with what is left.
    assert_eq!(provider.count(), 3);
}

#[tokio::test]
async fn a_limit_in_money_refuses_a_model_whose_price_nobody_knows_and_says_what_to_write() {
    for wire in WIRES {
        let provider = counting(wire).await;
        let gateway = Gateway::builder().provider(&provider).tables("[budgets]\ndaily_usd = 1").start().await;
        let mut client = Client::connect(&gateway).await;
        let error = client.ask("Hello").await.error().clone();
        let message = error["message"].as_str().expect("a message");
        let line = format!("\"{}/{}\" = {{ input =", wire.name(), wire.model());
        assert!(message.contains("[prices]") && message.contains(&line), "{message}");
        assert_eq!((&error["code"], provider.count()), (&json!(-32003), 0));
    }
}

#[tokio::test]
async fn a_price_that_is_not_known_is_null_and_never_nothing() {
    let provider = counting(Wire::OpenAi).await;
    let gateway = Gateway::builder().provider(&provider).start().await;
    let mut client = Client::connect(&gateway).await;
    assert_eq!(client.ask("Hello").await.one("usage")["cost_usd"], json!(null));
    let total = usage(&mut client, "day").await["total"].take();
    assert_eq!((&total["cost_usd"], &total["unpriced"]), (&json!(null), &json!(1)));
    let table = exoclaw(gateway.home(), &["usage", "--by", "model", "--url", &gateway.url()]).await;
    assert!(table.stdout().contains("no known price"), "{}", table.stdout());
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_call_leaves_nothing_set_aside() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let provider =
        FakeProvider::start(Wire::Anthropic, move |_: &Request| Reply::text("We").wait(&waiting).say("ll.")).await;
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    // Room for one such call, and not for another beside it.
    let builder = limited(&provider, "[budgets]\ndaily = 800").home(&home);
    let mut gateway = builder.clone().start().await;
    let mut client = Client::connect(&gateway).await;
    let turn = client.send_chat("Hello").await;
    client.until(&turn, "text").await;
    let [status] = &budgets(&mut client).await[..] else { panic!("one budget") };
    assert!(status["reserved"].as_u64() > Some(600), "the answer's longest form and the question: {status}");
    gateway.kill();

    let gateway = builder.start().await;
    gate.open();
    let mut client = Client::connect(&gateway).await;
    client.subscribe(&turn.session, Some(0)).await;
    client.finish(&turn).await.done();
    let [status] = &budgets(&mut client).await[..] else { panic!("one budget") };
    assert_eq!(status["reserved"], 0);
    let total = usage(&mut client, "model").await["total"].take();
    assert_eq!((&total["calls"], &total["lost"], &total["estimated"]), (&json!(2), &json!(1), &json!(1)));
    let used =
        total["input_tokens"].as_u64().zip(total["output_tokens"].as_u64()).map(|(input, output)| input + output);
    assert_eq!(status["used"].as_u64(), used, "budgets and the ledger agree");
}

#[tokio::test]
async fn metrics_have_what_models_cost_and_how_budgets_stand() {
    let provider = counting(Wire::Anthropic).await;
    let gateway = limited(&provider, "[budgets.agents.default]\nmonthly_usd = 5").start().await;
    Client::connect(&gateway).await.ask("Hello").await.done();
    let page = gateway.get("/metrics").await.body;
    let of = "provider=\"anthropic\",model=\"claude-test\"";
    for line in [
        format!("exoclaw_model_calls_total{{{of},outcome=\"finished\"}} 1\n"),
        format!("exoclaw_model_tokens_total{{{of},kind=\"output\"}} 500\n"),
        format!("exoclaw_model_cost_dollars_total{{{of}}} {COST}\n"),
        format!("exoclaw_budget_used{{scope=\"agent\",name=\"default\",period=\"monthly\",unit=\"usd\"}} {COST}\n"),
        "exoclaw_budget_limit{scope=\"agent\",name=\"default\",period=\"monthly\",unit=\"usd\"} 5\n".to_owned(),
    ] {
        assert!(page.contains(&line), "{line} is not in {page}");
    }
}
