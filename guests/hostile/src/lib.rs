//! A plugin whose tools do what no tool should, to show that the host stands it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::exoclaw::plugin::logging::{Level, log};
use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints, Media};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SCHEMA: &str =
    r#"{"type":"object","properties":{"n":{"type":"integer","minimum":0}},"additionalProperties":false}"#;

const TOOLS: &[&str] = &[
    "answer",
    "count",
    "spin",
    "sleep",
    "grow",
    "trap",
    "exit",
    "recurse",
    "huge",
    "many",
    "bad_json",
    "json",
    "image",
    "bad_media",
    "file",
    "invalid_input",
    "unsupported",
    "unavailable",
    "failed",
    "shout",
    "print",
    "clocks",
    "random",
    "host_calls",
    "threads",
    "environment",
    "open_file",
    "connect",
];

#[derive(Deserialize)]
struct Arguments {
    #[serde(default)]
    n: u64,
}

/// How often this instance was called; a fresh one has 0.
static CALLS: AtomicU32 = AtomicU32::new(0);

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Description {
        Description { settings_schema: r#"{"type":"object"}"#.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        let define = |name: &&str| Definition {
            name: (*name).into(),
            title: None,
            description: format!("Misbehaves: {name}."),
            input_schema: SCHEMA.into(),
            output_schema: None,
            // A word that nothing makes the host believe.
            hints: Hints::READ_ONLY | Hints::IDEMPOTENT,
        };
        Ok(TOOLS.iter().map(define).collect())
    }

    fn call(_context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        let Arguments { n } =
            serde_json::from_str(&arguments).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let text = |text: String| Ok(vec![Content::Text(text)]);
        match name.as_str() {
            "answer" => text("42".into()),
            "count" => text(CALLS.fetch_add(1, Ordering::Relaxed).to_string()),
            "spin" => loop {
                std::hint::black_box(());
            },
            "sleep" => {
                std::thread::sleep(Duration::from_millis(n));
                text("slept".into())
            }
            "grow" => {
                let mut held = Vec::new();
                loop {
                    held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "trap" => core::arch::wasm32::unreachable(),
            "exit" => std::process::exit(1),
            "recurse" => text(recurse(1).to_string()),
            "huge" => text("x".repeat(n as usize)),
            "many" => Ok(vec![Content::Text(String::new()); n as usize]),
            "bad_json" => Ok(vec![Content::Json("{\"half\":".into())]),
            "json" => Ok(vec![Content::Json("{\"whole\": [1, 2.50, null]}".into())]),
            "image" => {
                Ok(vec![Content::Image(Media { mime_type: "image/png".into(), data: vec![0xfb, 0xff, 0x00, 0x10] })])
            }
            "bad_media" => Ok(vec![Content::Audio(Media { mime_type: "\r\nnot a type".into(), data: vec![0] })]),
            "file" => Ok(vec![Content::File("f1".into())]),
            "invalid_input" => Err(Error::InvalidInput("n is odd".into())),
            "unsupported" => Err(Error::Unsupported("not here".into())),
            "unavailable" => Err(Error::Unavailable(1500)),
            "failed" => Err(Error::Failed("e".repeat(n as usize))),
            "shout" => {
                for line in 0..n {
                    log(Level::Error, &format!("{line}: {}", "a".repeat(100_000)));
                }
                text("shouted".into())
            }
            "print" => {
                for line in 0..n {
                    println!("out {line}: {}", "b".repeat(1_000));
                    eprintln!("err {line}: {}", "c".repeat(1_000));
                }
                text("printed".into())
            }
            "clocks" => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                text(since.map_or_else(|error| error.to_string(), |since| since.as_millis().to_string()))
            }
            "random" => {
                let mut seen = std::collections::HashMap::new();
                seen.insert("key", n);
                text(format!("{seen:?}"))
            }
            "host_calls" => {
                for _ in 0..n {
                    std::hint::black_box(std::time::SystemTime::now());
                }
                text("called".into())
            }
            "threads" => text(std::thread::spawn(|| ()).join().is_ok().to_string()),
            "environment" => {
                text(format!("{:?} {:?}", std::env::vars().collect::<Vec<_>>(), std::env::args().collect::<Vec<_>>()))
            }
            "open_file" => text(std::fs::read_to_string("/etc/passwd").unwrap_or_else(|error| error.to_string())),
            "connect" => text(match std::net::TcpStream::connect("127.0.0.1:1") {
                Ok(_) => "connected".into(),
                Err(error) => error.to_string(),
            }),
            other => Err(Error::InvalidInput(format!("there is no tool `{other}`"))),
        }
    }
}

#[allow(unconditional_recursion, reason = "the stack's end is what it looks for")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth) + 1)) + 1
}

export!(Hostile);
