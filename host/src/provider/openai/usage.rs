//! What Chat Completions say of the tokens that a call consumed, and what that means.

use serde::Deserialize;

use crate::provider::count::{Count, Lenient};
use crate::store::TokenUsage;

/// The member `usage` of a chunk. Audio and predictions are told, too; they are parts of the sums.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Lenient<PromptDetails>,
    completion_tokens_details: Lenient<CompletionDetails>,
    /// DeepSeek's name for what came from its cache.
    prompt_cache_hit_tokens: Count,
    /// Moonshot's.
    cached_tokens: Count,
}

/// Parts of the prompt.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Count,
    /// Told since gpt-5.6, which charges for it; and by OpenRouter.
    cache_write_tokens: Count,
}

/// Parts of the completion.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Count,
}

/// The counts of a call so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    prompt: Count,
    completion: Count,
    total: Count,
    cached: Count,
    written: Count,
    reasoning: Count,
}

impl Tally {
    /// Takes in what a chunk says. Nearly all services say it once, in the last; some in each, or each member
    /// in another.
    pub(super) fn update(&mut self, usage: Usage) {
        let prompt = usage.prompt_tokens_details.0.unwrap_or_default();
        let completion = usage.completion_tokens_details.0.unwrap_or_default();
        for cached in [usage.prompt_cache_hit_tokens, usage.cached_tokens] {
            self.cached.update(cached);
        }
        for (count, news) in [
            (&mut self.prompt, usage.prompt_tokens),
            (&mut self.completion, usage.completion_tokens),
            (&mut self.total, usage.total_tokens),
            (&mut self.cached, prompt.cached_tokens),
            (&mut self.written, prompt.cache_write_tokens),
            (&mut self.reasoning, completion.reasoning_tokens),
        ] {
            count.update(news);
        }
    }

    /// What the call consumed. Nothing, where the service has not said.
    ///
    /// OpenAI counts what it read from its cache and wrote to it within the prompt, and reasoning within the
    /// completion. xAI and Gemini leave reasoning out of the completion, though they charge for it; their total
    /// has it.
    pub(super) fn usage(&self) -> Option<TokenUsage> {
        let (completion, total) = (self.completion.said(), self.total.said());
        let rest = |of: Option<u64>| total.zip(of).map(|(total, part)| total.saturating_sub(part));
        let prompt = self.prompt.said().or(rest(completion));
        if prompt.is_none() && completion.is_none() {
            return None;
        }
        let output_tokens = completion.unwrap_or(0).max(rest(prompt).unwrap_or(0));
        let unlisted = output_tokens - completion.unwrap_or(0).min(output_tokens);
        let prompt = prompt.unwrap_or(0);
        let cache_read_tokens = self.cached.get().min(prompt);
        let cache_write_tokens = self.written.get().min(prompt - cache_read_tokens);
        Some(TokenUsage {
            input_tokens: prompt - cache_read_tokens - cache_write_tokens,
            output_tokens,
            cache_read_tokens,
            cache_write_tokens,
            reasoning_tokens: self.reasoning.get().max(unlisted).min(output_tokens),
            ..TokenUsage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of the `usage` of a call's chunks.
    fn usage(chunks: &[&str]) -> Option<TokenUsage> {
        let mut tally = Tally::default();
        chunks.iter().for_each(|json| tally.update(serde_json::from_str(json).expect("a usage")));
        tally.usage()
    }

    fn plain(input_tokens: u64, output_tokens: u64) -> Option<TokenUsage> {
        Some(TokenUsage { input_tokens, output_tokens, ..TokenUsage::default() })
    }

    #[test]
    fn openais_own_counts_are_split_into_what_has_its_own_price() {
        let reasoning = r#"{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,
            "prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":256,"audio_tokens":0,
                "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;
        let expected = TokenUsage {
            input_tokens: 86,
            output_tokens: 300,
            cache_read_tokens: 1920,
            reasoning_tokens: 256,
            ..TokenUsage::default()
        };
        assert_eq!(usage(&[reasoning]), Some(expected));

        // gpt-5.6 charges for writing: prompt = plain + read + written.
        let written = r#"{"prompt_tokens":5000,"completion_tokens":80,"total_tokens":5080,
            "prompt_tokens_details":{"cached_tokens":1610,"cache_write_tokens":2436,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":0}}"#;
        let expected = TokenUsage {
            input_tokens: 954,
            output_tokens: 80,
            cache_read_tokens: 1610,
            cache_write_tokens: 2436,
            ..TokenUsage::default()
        };
        assert_eq!(usage(&[written]), Some(expected));

        // Audio and predictions are in the sums already; a rejected prediction is charged as output.
        let parts = r#"{"prompt_tokens":120,"completion_tokens":60,"total_tokens":180,
            "prompt_tokens_details":{"cached_tokens":0,"audio_tokens":100},
            "completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":40,
                "accepted_prediction_tokens":5,"rejected_prediction_tokens":15}}"#;
        assert_eq!(usage(&[parts]), plain(120, 60));
    }

    #[test]
    fn reasoning_that_a_service_leaves_out_of_the_completion_is_counted_from_its_total() {
        // xAI: 32 + 9 + 94 = 135.
        let grok = r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,
            "prompt_tokens_details":{"text_tokens":32,"audio_tokens":0,"image_tokens":0,"cached_tokens":6},
            "completion_tokens_details":{"reasoning_tokens":94,"audio_tokens":0},"num_sources_used":0}"#;
        let expected = TokenUsage {
            input_tokens: 26,
            output_tokens: 103,
            cache_read_tokens: 6,
            reasoning_tokens: 94,
            ..TokenUsage::default()
        };
        assert_eq!(usage(&[grok]), Some(expected));
        // Gemini has no details.
        let gemini = r#"{"completion_tokens":12,"prompt_tokens":7,"total_tokens":519}"#;
        let expected =
            TokenUsage { input_tokens: 7, output_tokens: 512, reasoning_tokens: 500, ..TokenUsage::default() };
        assert_eq!(usage(&[gemini]), Some(expected));
    }

    #[test]
    fn compatible_services_are_read_as_they_write() {
        // Ollama, llama.cpp.
        assert_eq!(usage(&[r#"{"prompt_tokens":26,"completion_tokens":298,"total_tokens":324}"#]), plain(26, 298));
        // vLLM.
        let vllm = r#"{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null}"#;
        assert_eq!(usage(&[vllm]), plain(9, 3));
        let cached = |json| usage(&[json]).map(|usage| (usage.input_tokens, usage.cache_read_tokens));
        // DeepSeek, and Moonshot.
        let deepseek = r#"{"prompt_tokens":100,"completion_tokens":1,"total_tokens":101,
            "prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}"#;
        assert_eq!(cached(deepseek), Some((36, 64)));
        assert_eq!(cached(r#"{"prompt_tokens":100,"completion_tokens":1,"cached_tokens":64}"#), Some((36, 64)));
    }

    #[test]
    fn counts_that_come_in_several_chunks_are_put_together() {
        let growing = [
            r#"{"prompt_tokens":40,"completion_tokens":1,"total_tokens":41}"#,
            r#"{"prompt_tokens":40,"completion_tokens":2,"total_tokens":42}"#,
            r#"{"prompt_tokens":40,"completion_tokens":7,"total_tokens":47}"#,
        ];
        assert_eq!(usage(&growing), plain(40, 7));
        let apart =
            [r#"{"prompt_tokens":40,"completion_tokens":0}"#, "{}", r#"{"prompt_tokens":0,"completion_tokens":7}"#];
        assert_eq!(usage(&apart), plain(40, 7));
    }

    #[test]
    fn what_is_left_out_follows_from_the_rest_or_is_not_known() {
        assert_eq!(usage(&[]), None);
        assert_eq!(usage(&["{}"]), None);
        assert_eq!(usage(&[r#"{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}"#]), None);
        assert_eq!(usage(&[r#"{"total_tokens":30}"#]), None, "how it divides is not known");
        assert_eq!(usage(&[r#"{"completion_tokens":10,"total_tokens":30}"#]), plain(20, 10));
        assert_eq!(usage(&[r#"{"prompt_tokens":20,"total_tokens":30}"#]).map(|usage| usage.output_tokens), Some(10));
        assert_eq!(usage(&[r#"{"prompt_tokens":20}"#]), plain(20, 0));
    }

    #[test]
    fn nonsense_is_as_good_as_left_out() {
        let nonsense = r#"{"prompt_tokens":-5,"completion_tokens":12.0,"total_tokens":1e400,
            "prompt_tokens_details":"none","completion_tokens_details":[[]],"cached_tokens":{}}"#;
        assert_eq!(usage(&[nonsense]), plain(0, 12));
        let more_than_all = r#"{"prompt_tokens":10,"completion_tokens":5,
            "prompt_tokens_details":{"cached_tokens":50,"cache_write_tokens":50},
            "completion_tokens_details":{"reasoning_tokens":99}}"#;
        let expected =
            TokenUsage { output_tokens: 5, cache_read_tokens: 10, reasoning_tokens: 5, ..TokenUsage::default() };
        assert_eq!(usage(&[more_than_all]), Some(expected));
    }

    proptest! {
        #[test]
        fn whatever_a_service_says_the_parts_are_parts(counts in prop::collection::vec(0_u64..10_000, 6)) {
            let [prompt, completion, total, cached, written, reasoning] = counts[..] else { unreachable!("six") };
            let json = format!(
                r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},
                    "prompt_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":{written}}},
                    "completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
            );
            let usage = usage(&[&json]).expect("counts");
            prop_assert_eq!(usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens, prompt);
            prop_assert!(usage.reasoning_tokens <= usage.output_tokens && usage.output_tokens >= completion);
        }
    }
}
