//! Filters for logs, checked before they silence what they were meant to show.

use tracing_subscriber::EnvFilter;

use super::suggest;

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It does not parse.
    #[error("not a log filter: {0}; expected a level such as `info`, or `info,exoclaw::provider=debug`")]
    Syntax(String),
    /// A word that is nearly a level would be taken for a module's name.
    #[error("`{0}` is no level; did you mean `{1}`?")]
    Level(String, &'static str),
}

/// Whether a text is a filter.
///
/// # Errors
/// It is none, or one that its author cannot have meant.
pub fn check(text: &str) -> Result<(), FilterError> {
    parse(text).map(drop)
}

/// A text as a filter.
///
/// # Errors
/// It is none, or one that its author cannot have meant.
pub fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    if text.trim().is_empty() {
        return Err(FilterError::Syntax("it is empty".into()));
    }
    for word in text.split(',').map(str::trim).filter(|word| word.bytes().all(|b| b.is_ascii_alphabetic())) {
        let lower = word.to_ascii_lowercase();
        if let Some(level) = suggest::nearest(&lower, LEVELS).filter(|level| *level != lower) {
            return Err(FilterError::Level(word.to_owned(), level));
        }
    }
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| FilterError::Syntax(crate::text::one_line(&error.to_string(), 120)))
}
