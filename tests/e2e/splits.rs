//! Event streams, however the network cuts them.

use serde_json::json;

use crate::harness::{Answer, Client, Counts, FakeProvider, Gateway, Reply, Request, Transcript, WIRES, Wire};

/// Text of one to four bytes a character, thinking, a tool call: all that has deltas. The call is
/// of no tool, so that the step after it shows whether the arguments came whole.
fn reply() -> Reply {
    let counts = Counts { input: 5, output: 9, cache_read: 3, cache_write: 0, cache_write_1h: 0 };
    let reply = Reply::new().think("Ω…", "sig+/=").say("Grüße, ").say("世界 🌍!\n").counts(counts);
    reply.call("call_1", "echo", &json!({"text": "é\n\"€\" 🦀"}))
}

const ANSWER: &str = "Grüße, 世界 🌍!\n";
const ECHOED: &str = "é\n\"€\" 🦀";

fn check(shown: &Transcript, context: &str) {
    assert_eq!(shown.done()["stop_reason"], "end_turn", "{context}");
    assert_eq!(shown.steps("text")[&0], ANSWER, "{context}");
    assert_eq!(shown.one("tool_use")["input"], json!({"text": ECHOED}), "{context}");
    assert_eq!(shown.results(), [("call_1", ECHOED.to_owned(), false)], "{context}");
    let usage = &shown.of("usage")[0];
    assert_eq!((&usage["output_tokens"], &usage["cache_read_tokens"]), (&json!(9), &json!(3)), "{context}");
}

/// Answers questions with the reply, in the form that `form` gives it, and results with a word.
async fn provider(wire: Wire, form: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static) -> FakeProvider {
    let second = Reply::text("ok").on(wire);
    let first = reply().on(wire);
    FakeProvider::start(wire, move |request: &Request| match request.results().is_empty() {
        true => form(&request.question(), first.clone()),
        false => second.clone(),
    })
    .await
}

#[tokio::test]
async fn a_stream_in_single_bytes_means_the_same() {
    for wire in WIRES {
        let provider = provider(wire, |_, answer| {
            let bytes = answer.bytes();
            answer.in_pieces(bytes.chunks(1))
        })
        .await;
        let gateway = Gateway::builder()
            .provider(&provider)
            .bundled_tools()
            .tables("[limits.plugin]\nrate = 1000000")
            .start()
            .await;
        let shown = Client::connect(&gateway).await.ask("In bytes.").await;
        check(&shown, &format!("{wire:?}"));
    }
}

#[tokio::test]
async fn a_stream_cut_in_two_at_any_byte_means_the_same() {
    for wire in WIRES {
        let length = reply().on(wire).bytes().len();
        let provider = provider(wire, |question, answer| {
            let bytes = answer.bytes();
            let (first, second) = bytes.split_at(question.parse().expect("where to cut"));
            answer.in_pieces([first, second])
        })
        .await;
        let gateway = Gateway::builder()
            .provider(&provider)
            .bundled_tools()
            .tables("[limits]\nsessions = 10000\n[limits.plugin]\nrate = 1000000")
            .start()
            .await;
        let mut client = Client::connect(&gateway).await;
        let cuts: Vec<usize> = (1..length).collect();
        for some in cuts.chunks(16) {
            let mut turns = Vec::new();
            for cut in some {
                turns.push((cut, client.send_to(&format!("cut-{cut}"), &cut.to_string()).await));
            }
            for (cut, turn) in turns {
                check(&client.finish(&turn).await, &format!("{wire:?} cut at {cut} of {length}"));
            }
        }
    }
}

#[tokio::test]
async fn line_ends_comments_and_a_byte_order_mark_make_no_difference() {
    type Form = fn(&str) -> String;
    let forms: [(&str, Form); 4] = [
        ("CRLF", |text| text.replace('\n', "\r\n")),
        ("CR", |text| text.replace('\n', "\r")),
        ("BOM", |text| format!("\u{feff}{text}")),
        ("comments", |text| text.replace("\n\n", "\n: a comment\nid: 7\nretry: 10\nunknown: x\n\n: more\n\n")),
    ];
    for wire in WIRES {
        let provider = provider(wire, move |question, answer| {
            let (name, size) = question.split_once(' ').expect("a form and a size");
            let (_, form) = forms.iter().find(|(known, _)| *known == name).expect("a form");
            let text = form(&String::from_utf8(answer.bytes()).expect("UTF-8"));
            answer.in_pieces(text.as_bytes().chunks(size.parse().expect("a size")))
        })
        .await;
        let gateway = Gateway::builder()
            .provider(&provider)
            .bundled_tools()
            .tables("[limits.plugin]\nrate = 1000000")
            .start()
            .await;
        let mut client = Client::connect(&gateway).await;
        for (name, _) in forms {
            for size in ["1", "7", "1000000"] {
                let question = format!("{name} {size}");
                check(&client.ask(&question).await, &format!("{wire:?}, {question}"));
            }
        }
    }
}

#[tokio::test]
async fn events_that_nobody_knows_are_passed_over() {
    let known = Reply::text("Known.").on(Wire::Anthropic);
    let unknown = "event: from_the_future\ndata: {\"type\": \"from_the_future\", \"index\": {}}\n\n";
    let mut pieces = vec![unknown.as_bytes().to_vec()];
    let text = String::from_utf8(known.bytes()).expect("UTF-8");
    for event in text.split_inclusive("\n\n").flat_map(|event| [event, unknown]) {
        pieces.push(event.as_bytes().to_vec());
    }
    let provider = FakeProvider::scripted(Wire::Anthropic, [known.in_pieces(pieces)]).await;
    let gateway = Gateway::with(&provider).await;
    assert_eq!(Client::connect(&gateway).await.ask("Well?").await.done()["text"], "Known.");
}
