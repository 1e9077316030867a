//! The tool `wordcount`; `../README.md` says what it counts.

use std::collections::BTreeMap;

use exoclaw_guest::tool::{Context, Hints, Json, Tool};
use exoclaw_guest::{Error, Settings, Whole, invalid};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountSettings {
    #[serde(default = "yes")]
    fold_case: bool,
}

fn yes() -> bool {
    true
}

impl Settings for CountSettings {
    const SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "fold_case": {"type": "boolean", "description": "Whether A to Z count as a to z; true by default."}
        },
        "additionalProperties": false
    }"#;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    text: String,
    #[serde(default = "ten")]
    top: Whole<usize>,
}

const MAX_TOP: usize = 50;

fn ten() -> Whole<usize> {
    Whole(10)
}

#[derive(Debug, PartialEq, Serialize)]
struct Counted {
    words: usize,
    characters: usize,
    lines: usize,
    top: Vec<Frequent>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Frequent {
    word: String,
    count: usize,
}

struct Wordcount;

impl Tool for Wordcount {
    type Settings = CountSettings;
    type Arguments = Arguments;
    type Output = Json<Counted>;

    const NAME: &'static str = "wordcount";
    const TITLE: &'static str = "Count words";
    const DESCRIPTION: &'static str = "Counts the words, characters and lines of a text and names its most \
        frequent words. Use it whenever a count must be exact.";
    const INPUT_SCHEMA: &'static str = r#"{
        "type": "object",
        "properties": {
            "text": {"type": "string", "maxLength": 20000, "description": "The text to count."},
            "top": {
                "type": "integer",
                "minimum": 0,
                "maximum": 50,
                "description": "How many of the most frequent words to name; 10 by default."
            }
        },
        "required": ["text"],
        "additionalProperties": false
    }"#;
    const OUTPUT_SCHEMA: Option<&'static str> = Some(
        r#"{
        "type": "object",
        "properties": {
            "words": {"type": "integer", "minimum": 0},
            "characters": {"type": "integer", "minimum": 0},
            "lines": {"type": "integer", "minimum": 0},
            "top": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {"word": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
                    "required": ["word", "count"],
                    "additionalProperties": false
                }
            }
        },
        "required": ["words", "characters", "lines", "top"],
        "additionalProperties": false
    }"#,
    );
    const HINTS: Hints = Hints::READ_ONLY.union(Hints::ADDITIVE).union(Hints::IDEMPOTENT).union(Hints::CLOSED_WORLD);

    fn call(_: &Context, settings: CountSettings, arguments: Arguments) -> Result<Json<Counted>, Error> {
        let Arguments { text, top: Whole(top) } = arguments;
        if top > MAX_TOP {
            return Err(invalid(format_args!("`top` is {top}, and {MAX_TOP} is the most")));
        }
        Ok(Json(count(&text, top, settings.fold_case)))
    }
}

fn count(text: &str, top: usize, fold_case: bool) -> Counted {
    let mut counts = BTreeMap::new();
    let mut words = 0;
    for word in text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = if fold_case { word.to_ascii_lowercase() } else { word.to_owned() };
        *counts.entry(word).or_insert(0) += 1;
        words += 1;
    }
    let mut ranked: Vec<_> = counts.into_iter().map(|(word, count)| Frequent { word, count }).collect();
    ranked.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
    ranked.truncate(top);
    Counted { words, characters: text.chars().count(), lines: text.lines().count(), top: ranked }
}

exoclaw_guest::tools!(Wordcount);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_hold() {
        #[derive(Deserialize)]
        struct Vector {
            name: String,
            settings: CountSettings,
            arguments: String,
            result: String,
        }
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../vectors.json")).unwrap();
        for Vector { name, settings, arguments, result } in vectors {
            let Arguments { text, top: Whole(top) } = serde_json::from_str(&arguments).unwrap();
            let counted = count(&text, top, settings.fold_case);
            assert_eq!(serde_json::to_string(&counted).unwrap(), result, "{name}");
        }
    }
}
