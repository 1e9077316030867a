//! Every channel that ships, walked through what its platform really sends: `guests/NAME/golden/*.json`, with the
//! settings of `*.settings.json` beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use exoclaw::kit::{self, Options, Outcome, Report, events};
use exoclaw::runtime::{Linkage, PluginKind};

use super::*;

/// Cases that not every platform has something for: IRC is sent lines and no requests, say.
const OPTIONAL: [&str; 4] = ["lost-states", "reordered", "echoes", "resumed"];

/// The recordings of a channel, in the order of their names.
fn golden(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests").join(name).join("golden");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.ends_with(".json") && !name.ends_with(".settings.json")
    });
    files.sort();
    files
}

async fn walked(name: &str, file: &Path) -> Report {
    let settings = match std::fs::read_to_string(file.with_extension("settings.json")) {
        Ok(json) => object(serde_json::from_str(&json).unwrap()),
        Err(_) => Map::new(),
    };
    let json = std::fs::read_to_string(file).unwrap();
    let events = events::read(&json).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let spec = PluginSpec { linkage: Linkage::Refusing, settings, ..spec(name) };
    kit::run(&RUNTIME, spec, &Options { seed: 1, events }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bundled_channel_conforms_to_what_its_platform_sends() {
    for guest in exoclaw_bundle::GUESTS {
        let looked = PluginSpec { linkage: Linkage::Refusing, ..spec(guest.name) };
        let settings_needed =
            golden(guest.name).first().is_some_and(|file| file.with_extension("settings.json").exists());
        let is_channel = settings_needed || RUNTIME.load(looked).await.unwrap().info().kind == PluginKind::Channel;
        if !is_channel || guest.name == "loopback" {
            continue;
        }
        let recordings = golden(guest.name);
        assert!(!recordings.is_empty(), "guests/{}/golden has no recording", guest.name);
        // What one recording does not have, another has.
        let mut untried: Option<BTreeSet<String>> = None;
        for file in recordings {
            let report = walked(guest.name, &file).await;
            assert!(report.is_pass(), "{}: {}", file.display(), report.to_text());
            let skipped = report.cases.into_iter().filter(|case| matches!(case.outcome, Outcome::Skip(_)));
            let skipped: BTreeSet<String> = skipped.map(|case| case.id).collect();
            untried = Some(untried.map_or(skipped.clone(), |untried| &untried & &skipped));
        }
        let mut untried = untried.unwrap_or_default();
        untried.retain(|id| !OPTIONAL.contains(&id.as_str()));
        assert!(untried.is_empty(), "no recording of guests/{}/golden is enough for {untried:?}", guest.name);
    }
}
