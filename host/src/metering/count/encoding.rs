//! OpenAI's published encodings: how many tokens a text is, exactly.
//!
//! A text is parted into pieces by the encoding's pattern, and each piece into tokens by its vocabulary. The patterns
//! are those of tiktoken 0.14 (`tiktoken_ext/openai_public.py`), but for `\s+(?!\S)`, which no automaton knows:
//! blanks with one more behind them are found instead, and the last is left to the next piece. The vocabularies are
//! tiktoken's files in another form; `tables/README.md` says how they were made.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use regex_automata::meta::{Cache, Regex};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input};

use super::pairs::Workspace;
use super::vocabulary::Vocabulary;

/// A byte-pair encoding that OpenAI has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Of GPT-4o and what came after it.
    O200kBase,
    /// Of GPT-4 and GPT-3.5.
    Cl100kBase,
}

/// The pieces of `o200k_base`, the last two of its pattern left out.
const O200K_PIECES: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+$",
);

/// The pieces of `cl100k_base`, the last two of its pattern left out.
const CL100K_PIECES: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]+",
);

/// Blanks before another: what stands for `\s+(?!\S)`, whose match is all but the last of these.
const BLANKS_BUT_ONE: &str = r"\s+\s";

/// Of the patterns in their order, the number of [`BLANKS_BUT_ONE`].
const BUT_ONE: usize = 1;

/// A blank that is left.
const BLANK: &str = r"\s+";

static O200K: OnceLock<Tables> = OnceLock::new();
static CL100K: OnceLock<Tables> = OnceLock::new();

impl Encoding {
    /// Tokens of a text. What looks like a special token (`<|endoftext|>`) is text like any other, as the API
    /// takes it.
    ///
    /// The first call loads the tables, which takes some 15 ms and 6 MB of memory.
    #[must_use]
    pub fn count(self, text: &str) -> u64 {
        self.tables().count(text)
    }

    /// Loads the tables, where they are not loaded yet. Blocks, for some 15 ms.
    pub fn load(self) {
        self.tables();
    }

    /// Whether [`count`](Self::count) begins to count at once.
    #[must_use]
    pub fn is_loaded(self) -> bool {
        self.cell().get().is_some()
    }

    fn cell(self) -> &'static OnceLock<Tables> {
        match self {
            Self::O200kBase => &O200K,
            Self::Cl100kBase => &CL100K,
        }
    }

    fn tables(self) -> &'static Tables {
        self.cell().get_or_init(|| {
            let pieces = match self {
                Self::O200kBase => O200K_PIECES,
                Self::Cl100kBase => CL100K_PIECES,
            };
            Tables::new(self.tokens(), pieces)
        })
    }

    /// Its vocabulary, as [`Vocabulary::new`] takes it.
    fn tokens(self) -> &'static [u8] {
        match self {
            Self::O200kBase => include_bytes!("tables/o200k_base.tokens"),
            Self::Cl100kBase => include_bytes!("tables/cl100k_base.tokens"),
        }
    }

    #[cfg(test)]
    pub(super) fn vocabulary(self) -> &'static Vocabulary {
        &self.tables().vocabulary
    }
}

/// What one thread counts with.
type Tools = (Cache, Workspace);
type NewTools = Box<dyn Fn() -> Tools + Send + Sync + UnwindSafe + RefUnwindSafe>;

struct Tables {
    vocabulary: Vocabulary,
    pieces: Regex,
    tools: Pool<Tools, NewTools>,
}

impl Tables {
    #[expect(clippy::expect_used, reason = "the patterns are constants, and every count tries them")]
    fn new(tokens: &'static [u8], pieces: &str) -> Self {
        let pieces = Regex::new_many(&[pieces, BLANKS_BUT_ONE, BLANK]).expect("the patterns are well-formed");
        let of = pieces.clone();
        let new: NewTools = Box::new(move || (of.create_cache(), Workspace::default()));
        Self { vocabulary: Vocabulary::new(tokens), pieces, tools: Pool::new(new) }
    }

    fn count(&self, text: &str) -> u64 {
        let mut tools = self.tools.get();
        let (cache, workspace) = &mut *tools;
        let (mut start, mut tokens) = (0, 0);
        while start < text.len() {
            let input = Input::new(text).range(start..).anchored(Anchored::Yes);
            let found = self.pieces.search_half_with(cache, &input);
            // Every character begins a piece of some kind.
            let mut end = found.map_or(text.len(), |found| found.offset());
            if found.is_some_and(|found| found.pattern().as_usize() == BUT_ONE) {
                end -= text.get(start..end).and_then(|piece| piece.chars().next_back()).map_or(0, char::len_utf8);
            }
            let Some(piece) = text.as_bytes().get(start..end).filter(|piece| !piece.is_empty()) else { break };
            tokens += workspace.count(&self.vocabulary, piece);
            start = end;
        }
        workspace.trim();
        tokens as u64
    }
}

#[cfg(test)]
mod tests;
