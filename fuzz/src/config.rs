//! A config file of any bytes: no panic, errors within the text, the same answer twice.

use std::path::Path;

use exoclaw::config::Config;

/// Whether the file has no mistake.
pub fn run(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let read = |text: &str| Config::parse(text, Path::new("/c/config.toml"));
    match read(&text) {
        Ok(config) => {
            let more = format!("{text}\n# a remark\n");
            assert_eq!(read(&more).map(|config| format!("{config:?}")), Ok(format!("{config:?}")));
            true
        }
        Err(errors) => {
            assert!(errors.count() >= errors.iter().count() && errors.iter().next().is_some());
            for error in errors.iter() {
                let line = text.split('\n').nth(error.line() - 1);
                let line = line.unwrap_or_else(|| panic!("{error}: no such line"));
                assert!((1..=line.chars().count() + 1).contains(&error.column()), "{error}: no such column");
                assert!(!error.what().is_empty());
            }
            let shown = errors.to_string();
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            assert_eq!(read(&text).map_err(|errors| errors.to_string()).err(), Some(shown));
            false
        }
    }
}
