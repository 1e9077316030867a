//! `exoclaw plugin new`: every project is whole, and builds to what it says it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::exoclaw;

const PROJECTS: [(&str, &str); 7] = [
    ("rust", "tool"),
    ("rust", "channel"),
    ("js", "tool"),
    ("js", "channel"),
    ("python", "tool"),
    ("python", "channel"),
    ("c", "tool"),
];

/// Every file of a folder, by its path from there.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(folder).expect("it is inside");
                found.push(path.to_str().expect("UTF-8").replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[tokio::test]
async fn every_project_is_whole_and_carries_the_contract() {
    let home = TempDir::new().expect("a temporary folder");
    for (lang, kind) in PROJECTS {
        let name = format!("{lang}-{kind}");
        let told = exoclaw(home.path(), &["plugin", "new", &name, "--lang", lang, "--kind", kind]).await;
        assert!(told.stdout().contains(&format!("{name}/README.md")), "{told:?}");
        let project = home.path().join(&name);
        let (files, wit) = (files(&project), if lang == "rust" { "exoclaw-guest/wit" } else { "wit" });
        for file in ["capabilities", "channel", "logging", "tool", "types", "worlds"] {
            let ours = read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).join(format!("{file}.wit")));
            assert_eq!(read(project.join(wit).join(format!("{file}.wit"))), ours, "{file} of {name}");
        }
        let source = match lang {
            "rust" => "src/lib.rs",
            "js" => "plugin.js",
            "c" => "plugin.c",
            _ => "src/plugin.py",
        };
        for file in [".gitignore", "README.md", source] {
            assert!(files.iter().any(|found| found == file), "{file} in {files:?}");
        }
        let readme = read(project.join("README.md"));
        assert!(readme.starts_with(&format!("# {name}\n")) && readme.contains("exoclaw plugin test "), "{readme}");
    }
}

#[tokio::test]
async fn what_is_there_is_left_as_it_is() {
    let home = TempDir::new().expect("a temporary folder");
    let mine = home.path().join("dice");
    std::fs::create_dir(&mine).expect("a folder");
    std::fs::write(mine.join("README.md"), "mine").expect("a file");
    let refused = exoclaw(home.path(), &["plugin", "new", "dice", "--lang", "rust"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("dice is there already"), "{refused:?}");
    assert_eq!((files(&mine), read(mine.join("README.md"))), (vec!["README.md".to_owned()], "mine".to_owned()));

    for wrong in ["../dice", "/tmp/dice", "Dice", "dice.wasm"] {
        let refused = exoclaw(home.path(), &["plugin", "new", wrong, "--lang", "rust"]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
    }
    let refused = exoclaw(home.path(), &["plugin", "new", "chat", "--lang", "c", "--kind", "channel"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("tools only"), "{refused:?}");
    // A config file that is wrong is nothing to one who writes a plugin.
    std::fs::create_dir_all(home.path().join(".exoclaw")).expect("a folder");
    std::fs::write(home.path().join(".exoclaw/config.toml"), "[gateway]\nprot = 1\n").expect("a file");
    exoclaw(home.path(), &["plugin", "new", "cards", "--lang", "python"]).await.stdout();
}

/// `target/guests`, where the bundled plugins are built too: what those have compiled serves here.
fn guests_target() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.ancestors().nth(3).expect("target/PROFILE/deps/TEST").join("guests")
}

/// Builds a project as its README says, but from what Cargo has downloaded for our own guests, and
/// in the versions of their lock file.
fn build(project: &Path) -> PathBuf {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).expect("the guests' lock file");
    let target = guests_target();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What was meant for the build of this test is not meant for that of the guest.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME"
            || text.starts_with("RUSTFLAGS")
            || text == "RUSTC_WRAPPER"
        {
            command.env_remove(&name);
        }
    }
    let status = command
        .args(["build", "--release", "--quiet", "--offline", "--target-dir"])
        .arg(&target)
        .current_dir(project)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{} does not build", project.display());
    let built = project.join("plugin.wasm");
    std::fs::copy(target.join("wasm32-wasip2/release/plugin.wasm"), &built).expect("what was built");
    built
}

#[tokio::test]
async fn the_rust_projects_build_to_plugins_that_load_without_grants() {
    let home = TempDir::new().expect("a temporary folder");
    for (name, kind) in [("my-dice", "tool"), ("my-chat", "channel")] {
        exoclaw(home.path(), &["plugin", "new", name, "--lang", "rust", "--kind", kind]).await.stdout();
        let built = build(&home.path().join(name));
        let built = built.to_str().expect("UTF-8");
        let told = exoclaw(home.path(), &["plugin", "inspect", built, "--json"]).await;
        let told: Value = serde_json::from_str(told.stdout()).expect("JSON");
        assert_eq!(told["kind"], kind, "{told}");
        let lacks = told["lacks"].as_array().expect("a list");
        assert!(lacks.iter().all(|lack| lack["needed"] == false), "it imports nothing that has to be granted: {told}");
        match kind {
            "tool" => assert_eq!(told["tools"][0]["name"], "my_dice", "{told}"),
            _ => assert_eq!(told["secrets"][0], "my-chat-token", "{told}"),
        }
    }
}
