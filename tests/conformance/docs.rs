//! What the documents say is there.

use std::path::Path;

/// The text of every Rust file below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut text = String::new();
    sources(&root.join("tests"), &mut text);
    sources(&root.join("host/src"), &mut text);
    let document = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut named = 0;
    for name in document.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let last = name.rsplit("::").next().unwrap();
        // A module is named for its folder or its file.
        let known = text.contains(&format!("fn {last}("))
            || ["rs", ""].iter().any(|end| {
                let path = name.replace("::", "/");
                let path = root.join("host/src").join(if end.is_empty() { path } else { format!("{path}.{end}") });
                path.exists()
            });
        assert!(known, "docs/security.md names {name}, which is nowhere");
        named += 1;
    }
    assert!(named > 30, "{named}");
}
