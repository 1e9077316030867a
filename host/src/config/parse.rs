//! From a file's text to a [`Config`], or to everything that is wrong with it.

use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use super::problem::Problem;
use super::reader::Reader;
use super::sensitive::Hidden;
use super::{Config, ConfigErrors, check, schema, syntax};
use crate::home::Home;

impl Config {
    /// Reads a file's text. `file` names it in errors; what the text says of relative paths
    /// starts at its folder.
    ///
    /// # Errors
    /// The text has mistakes: all of them are told.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigErrors> {
        Self::parse_text(text, file, &Home::from_env(), Vec::new())
    }

    /// Reads a file's bytes, which may not be text.
    pub(super) fn parse_bytes(bytes: &[u8], file: &Path, home: &Home) -> Result<Self, ConfigErrors> {
        let text = String::from_utf8_lossy(bytes);
        // A file of another encoding has many such places; the first one tells.
        let problems = std::str::from_utf8(bytes).err().map(|error| {
            let at = error.valid_up_to();
            Problem::new(at..at + char::REPLACEMENT_CHARACTER.len_utf8(), "the file is not UTF-8 from here on")
                .help("save it as UTF-8")
        });
        Self::parse_text(&text, file, home, problems.into_iter().collect())
    }

    fn parse_text(text: &str, file: &Path, home: &Home, mut problems: Vec<Problem>) -> Result<Self, ConfigErrors> {
        let mut scratch = String::new();
        let mut document = syntax::parse(text, &mut scratch);
        let hidden = Hidden::find(text, &document.root);
        problems.append(&mut document.problems);
        let whole = problems.is_empty();

        let base = file.parent().unwrap_or(Path::new("")).to_owned();
        let base = std::path::absolute(&base).unwrap_or(base);
        let mut reader = Reader::new(home, base);
        let mut config = Self::default();
        let root = Spanned::new(0..text.len(), DeValue::Table(std::mem::take(&mut document.root)));
        reader.table(&root, schema::ROOT, &mut config);
        if whole {
            check::check(&config, &mut reader);
            reader.problems.append(&mut reader.gaps);
        }
        let elsewhere = |problem: &Problem| !document.is_broken_at(text, problem.span.start);
        problems.extend(reader.problems.into_iter().filter(elsewhere));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors::new(&file.display().to_string(), text, &hidden, problems))
        }
    }
}
