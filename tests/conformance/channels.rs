//! Channels that ship: what their platforms really send, and what their documents say.

use std::fs;
use std::path::{Path, PathBuf};

use exoclaw::config::{Config, PluginPath};
use exoclaw::kit::{self, Options, events};
use exoclaw::runtime::Linkage;

use super::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Files below a folder of the repository, by name.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// Blocks of code in a document, without what marks them.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    document.split(&begin).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// `guests/NAME/golden/X.json`, with `X.settings.json` beside it where it needs settings.
#[tokio::test]
async fn every_channel_takes_what_its_platform_sends() {
    let mut tried = vec![];
    for guest in exoclaw_bundle::GUESTS {
        let folder = root().join("guests").join(guest.name).join("golden");
        for file in files(&folder, "json").iter().filter(|file| !file.to_str().unwrap().ends_with(".settings.json")) {
            let mut spec = PluginSpec { linkage: Linkage::Refusing, ..spec(guest.name) };
            if let Ok(settings) = fs::read_to_string(file.with_extension("settings.json")) {
                spec.settings = object(serde_json::from_str(&settings).unwrap());
            }
            let events = events::read(&fs::read_to_string(file).unwrap()).unwrap();
            let report = kit::run(&RUNTIME, spec, &Options { seed: 1, events }).await.unwrap();
            assert!(report.is_pass(), "{}\n{}", file.display(), report.to_text());
            tried.push(guest.name);
        }
    }
    for name in ["irc", "webhook", "whatsapp"] {
        assert!(tried.contains(&name), "{name} has no golden file");
    }
}

#[tokio::test]
async fn every_config_in_a_channels_document_is_whole() {
    let mut loaded = 0;
    for file in files(&root().join("docs/channels"), "md") {
        let document = fs::read_to_string(&file).unwrap();
        for text in blocks(&document, "toml").into_iter().filter(|text| text.contains("[[plugins]]")) {
            let config = Config::parse(text, &file).unwrap_or_else(|errors| panic!("{errors}"));
            for plugin in config.plugins.iter().filter(|plugin| matches!(plugin.path, PluginPath::Bundled(_))) {
                // A grant that is missing would refuse it.
                let plugin = RUNTIME.load(PluginSpec::from_config(plugin).unwrap()).await.unwrap();
                let channel = plugin.channel().unwrap();
                for secret in &channel.setup().secrets {
                    assert!(text.contains(&format!("secrets.{secret} = ")), "{}: {secret}", file.display());
                }
                assert!(config.channels.contains_key(plugin.name()), "{}: {}", file.display(), plugin.name());
                loaded += 1;
            }
        }
    }
    assert!(loaded >= 4, "{loaded}");
}

#[test]
fn githubs_settings_in_the_document_are_those_that_its_events_were_tried_with() {
    let document = fs::read_to_string(root().join("docs/channels/webhook.md")).unwrap();
    let text = blocks(&document, "toml").into_iter().find(|text| text.contains("\"github\"")).unwrap();
    let config = Config::parse(text, Path::new("webhook.md")).unwrap();
    let golden = fs::read_to_string(root().join("guests/webhook/golden/github.settings.json")).unwrap();
    assert_eq!(Value::Object(config.plugins[0].settings.clone()), serde_json::from_str::<Value>(&golden).unwrap());
}

/// Lines of a text without their indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_start).collect()
}

#[test]
fn the_tutorial_quotes_the_guest_as_it_is() {
    let sources: Vec<String> =
        files(&root().join("guests/irc/src"), "rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let sources: Vec<Vec<&str>> = sources.iter().map(|source| lines(source)).collect();
    let document = fs::read_to_string(root().join("docs/writing-a-channel.md")).unwrap();
    let quotes = blocks(&document, "rust");
    assert!(quotes.len() > 10, "{}", quotes.len());
    for quote in quotes {
        let quoted = lines(quote);
        let found = sources.iter().any(|source| source.windows(quoted.len()).any(|window| window == quoted));
        assert!(found, "docs/writing-a-channel.md quotes what is not in guests/irc:\n{quote}");
    }
}
