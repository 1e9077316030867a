//! How the requests of a model are counted, by its name.

use super::encoding::Encoding;
use super::picture::Picture;

/// What is known of a model beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family {
    /// What its texts are counted with.
    pub(super) encoding: Encoding,
    /// How what is around them is counted.
    pub(super) framing: Framing,
    /// What an image takes.
    pub(super) picture: Picture,
    /// Tokens of the provider for a thousand counted here, before any have been compared.
    pub(super) start: u64,
}

/// What stands around texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// OpenAI's chat format, as its cookbook counts it: texts alone are counted exactly.
    Cookbook {
        /// What a function takes besides its words.
        function: u64,
    },
    /// Something like it.
    Chat,
    /// Anthropic's.
    Claude {
        /// Tokens of the system prompt that comes with any tools.
        tool_prompt: u64,
    },
}

/// Names of OpenAI's models and what they begin, by tiktoken 0.14 (`model.py`). A name is one of these, or goes on
/// behind it with `-`, `:` or `@`; behind those that end with a point, with anything.
const OPENAI: [(&str, Encoding, Framing); 14] = {
    use Encoding::{Cl100kBase, O200kBase};
    /// The cookbook's constants for functions ("How to count tokens with tiktoken", section 7).
    const NEW: Framing = Framing::Cookbook { function: 7 };
    const OLD: Framing = Framing::Cookbook { function: 10 };
    [
        ("gpt-4o", O200kBase, NEW),
        ("chatgpt-4o", O200kBase, NEW),
        ("gpt-4.1", O200kBase, NEW),
        ("gpt-4.5", O200kBase, NEW),
        // What is around the texts of models that reason is nowhere documented.
        ("gpt-5", O200kBase, Framing::Chat),
        ("gpt-5.", O200kBase, Framing::Chat),
        ("o1", O200kBase, Framing::Chat),
        ("o3", O200kBase, Framing::Chat),
        ("o4", O200kBase, Framing::Chat),
        ("gpt-oss", O200kBase, Framing::Chat),
        ("gpt-4", Cl100kBase, OLD),
        ("gpt-3.5", Cl100kBase, OLD),
        // As Azure calls it.
        ("gpt-35", Cl100kBase, OLD),
        ("davinci-002", Cl100kBase, Framing::Chat),
    ]
};

/// What a thousand tokens of `o200k_base` become elsewhere, at first. Too many is better than too few: the first
/// calls are reserved by it. Measured by others on English prose, code and JSON.
mod start {
    /// Claude from 3 to Opus 4.6: 16 % more on English than GPT-4o, 30 % more on Python.
    pub(super) const CLAUDE: u64 = 1_250;
    /// Claude since Opus 4.7, whose tokenizer makes 1.0 to 1.35 times as many, by the notes of its release.
    pub(super) const LATE_CLAUDE: u64 = 1_550;
    /// Gemini, whose documentation says four characters a token, as OpenAI's.
    pub(super) const GEMINI: u64 = 1_100;
    /// Llama, Qwen, Mistral, DeepSeek: vocabularies of 128,000 to 152,000.
    pub(super) const OTHER: u64 = 1_150;
}

/// The system prompt that makes tools known to Claude, `tool_choice` being `auto`: Anthropic's documentation of tool
/// use, for the models from 3.7 to 4.6 and for Haiku 3. Of later ones the factor learns what is missing.
const TOOL_PROMPT: u64 = 346;
const HAIKU_3_TOOL_PROMPT: u64 = 264;

impl Family {
    /// The family of a model, as any provider names it: `gpt-4o-mini`, `ft:gpt-4o:acme::1`, `openai/gpt-5`,
    /// `eu.anthropic.claude-sonnet-4-v1:0`.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        if let Some((_, version)) = name.split_once("claude") {
            return Self::claude(version);
        }
        let base = name.strip_prefix("ft:").unwrap_or(&name);
        let known = OPENAI.iter().find(|(known, ..)| {
            let rest = base.strip_prefix(known);
            rest.is_some_and(|rest| rest.is_empty() || known.ends_with('.') || rest.starts_with(['-', ':', '@']))
        });
        if let Some((_, encoding, framing)) = known {
            return Self { encoding: *encoding, framing: *framing, picture: Picture::of_openai(base), start: 1_000 };
        }
        let (picture, start) = match name.starts_with("gemini") {
            true => (Picture::GEMINI, start::GEMINI),
            false => (Picture::UNKNOWN, start::OTHER),
        };
        Self { encoding: Encoding::O200kBase, framing: Framing::Chat, picture, start }
    }

    /// By what stands behind `claude`: `-opus-4-7`, `-3-5-haiku-20241022`, `-sonnet-5`.
    fn claude(version: &str) -> Self {
        // Of numbers of one or two digits, the first two: a date is none of them.
        let mut numbers = version
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| (1..=2).contains(&digits.len()))
            .filter_map(|digits| digits.parse::<u8>().ok());
        let version_number = numbers.next().map(|major| (major, numbers.next().unwrap_or(0)));
        // A name without a version is of the latest.
        let is_late = version_number.is_none_or(|number| number >= (4, 7));
        let is_old_haiku = version.contains("haiku") && version_number.is_some_and(|(major, _)| major == 3);
        let tool_prompt = if is_old_haiku { HAIKU_3_TOOL_PROMPT } else { TOOL_PROMPT };
        Self {
            encoding: Encoding::O200kBase,
            framing: Framing::Claude { tool_prompt },
            picture: if is_late { Picture::LATE_CLAUDE } else { Picture::CLAUDE },
            start: if is_late { start::LATE_CLAUDE } else { start::CLAUDE },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_openai_are_told_by_what_their_names_begin_with() {
        let o200k = [
            "gpt-4o",
            "gpt-4o-mini",
            "gpt-4o-2024-08-06",
            "chatgpt-4o-latest",
            "gpt-4.1-nano",
            "gpt-5",
            "gpt-5-mini",
            "gpt-5.6",
            "gpt-5.4-mini",
            "o1",
            "o3-mini",
            "o4-mini-2025-04-16",
            "ft:gpt-4o-mini:acme::8",
            "openai/gpt-4o",
            "GPT-4o",
            "gpt-oss-120b",
        ];
        for model in o200k {
            assert_eq!(Family::of(model).encoding, Encoding::O200kBase, "{model}");
            assert_eq!(Family::of(model).start, 1_000, "{model}");
        }
        for model in
            ["gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-3.5-turbo", "gpt-35-turbo-16k", "ft:gpt-3.5-turbo:a::1"]
        {
            assert_eq!(Family::of(model).encoding, Encoding::Cl100kBase, "{model}");
        }
    }

    #[test]
    fn a_name_that_only_looks_like_one_of_openais_is_estimated() {
        for model in
            ["gpt-4x", "gpt-6", "o1x", "o200", "gpt-4.2", "llama3.1:8b", "gpt4all", "ministral", "gemini-3-pro"]
        {
            let family = Family::of(model);
            assert_eq!(family.framing, Framing::Chat, "{model}");
            assert!(family.start > 1_000, "{model}");
        }
    }

    #[test]
    fn a_claude_is_known_by_its_version_wherever_it_runs() {
        let late = [
            "claude-opus-4-7",
            "claude-sonnet-5",
            "anthropic/claude-opus-4.8",
            "claude-opus-latest",
            "us.anthropic.claude-opus-5-20270101-v1:0",
            "claude-opus-4-7@20260416",
        ];
        for model in late {
            assert_eq!(Family::of(model).start, start::LATE_CLAUDE, "{model}");
        }
        let early = [
            "claude-3-5-sonnet-20241022",
            "claude-sonnet-4-20250514",
            "claude-haiku-4-5",
            "claude-opus-4-1@20250805",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ];
        for model in early {
            assert_eq!(Family::of(model).start, start::CLAUDE, "{model}");
        }
        let prompt = |model| Family::of(model).framing;
        assert_eq!(prompt("claude-3-5-haiku-latest"), Framing::Claude { tool_prompt: 264 });
        assert_eq!(prompt("claude-haiku-4-5"), Framing::Claude { tool_prompt: 346 });
    }
}
