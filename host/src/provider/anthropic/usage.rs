//! What Anthropic says of the tokens that a call consumed, and what that means.

use serde::Deserialize;

use crate::provider::count::{Count, Lenient};
use crate::store::TokenUsage;

/// The member `usage` of `message_start` and `message_delta`. What server tools were used is told, too; none are
/// ever asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Lenient<CacheCreation>,
    output_tokens_details: Lenient<OutputDetails>,
}

/// What was written to the cache, by how long it is kept. `message_delta` has no such thing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

/// Parts of the output.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}

/// The counts of a call so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    input: Count,
    output: Count,
    read: Count,
    written: Count,
    written_5m: Count,
    written_1h: Count,
    thinking: Count,
}

impl Tally {
    /// Takes in what an event says: cumulative counts, of which those that are missing or null stay as they were.
    pub(super) fn update(&mut self, usage: Usage) {
        let written = usage.cache_creation.0.unwrap_or_default();
        let output = usage.output_tokens_details.0.unwrap_or_default();
        for (count, news) in [
            (&mut self.input, usage.input_tokens),
            (&mut self.output, usage.output_tokens),
            (&mut self.read, usage.cache_read_input_tokens),
            (&mut self.written, usage.cache_creation_input_tokens),
            (&mut self.written_5m, written.ephemeral_5m_input_tokens),
            (&mut self.written_1h, written.ephemeral_1h_input_tokens),
            (&mut self.thinking, output.thinking_tokens),
        ] {
            count.update(news);
        }
    }

    /// What the call consumed. The API counts plain input, what was read and what was written apart from each
    /// other, and thinking within the output.
    pub(super) fn usage(&self) -> TokenUsage {
        let by_time = self.written_5m.get() + self.written_1h.get();
        let cache_write_tokens = self.written.said().filter(|sum| *sum > 0).unwrap_or(by_time);
        let output_tokens = self.output.get();
        TokenUsage {
            input_tokens: self.input.get(),
            output_tokens,
            cache_read_tokens: self.read.get(),
            cache_write_tokens,
            cache_write_1h_tokens: self.written_1h.get().min(cache_write_tokens),
            reasoning_tokens: self.thinking.get().min(output_tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of the `usage` of a call's events.
    fn usage(events: &[&str]) -> TokenUsage {
        let mut tally = Tally::default();
        events.iter().for_each(|json| tally.update(serde_json::from_str(json).expect("a usage")));
        tally.usage()
    }

    #[test]
    fn every_count_of_both_events_arrives_in_its_place() {
        let start = r#"{"input_tokens":21,"cache_creation_input_tokens":188086,"cache_read_input_tokens":2048,
            "cache_creation":{"ephemeral_5m_input_tokens":456,"ephemeral_1h_input_tokens":187630},
            "output_tokens":1,"service_tier":"standard","inference_geo":"global"}"#;
        let delta = r#"{"input_tokens":21,"cache_creation_input_tokens":188086,"cache_read_input_tokens":2048,
            "output_tokens":393,"output_tokens_details":{"thinking_tokens":250},
            "server_tool_use":{"web_search_requests":0,"web_fetch_requests":0}}"#;
        let started = TokenUsage {
            input_tokens: 21,
            output_tokens: 1,
            cache_read_tokens: 2048,
            cache_write_tokens: 188_086,
            cache_write_1h_tokens: 187_630,
            reasoning_tokens: 0,
        };
        assert_eq!(usage(&[start]), started);
        let ended = TokenUsage { output_tokens: 393, reasoning_tokens: 250, ..started };
        assert_eq!(usage(&[start, delta]), ended);
    }

    #[test]
    fn an_older_api_tells_less() {
        let expected = TokenUsage { input_tokens: 25, output_tokens: 15, ..TokenUsage::default() };
        assert_eq!(usage(&[r#"{"input_tokens":25,"output_tokens":1}"#, r#"{"output_tokens":15}"#]), expected);
    }

    #[test]
    fn what_is_null_stays_and_what_is_told_later_counts() {
        let start = r#"{"input_tokens":472,"cache_read_input_tokens":2048,"cache_creation_input_tokens":12,
            "cache_creation":null,"output_tokens":2,"server_tool_use":null,"output_tokens_details":null}"#;
        let delta = r#"{"input_tokens":null,"output_tokens":89,"cache_read_input_tokens":2050}"#;
        let expected = TokenUsage {
            input_tokens: 472,
            output_tokens: 89,
            cache_read_tokens: 2050,
            cache_write_tokens: 12,
            ..TokenUsage::default()
        };
        assert_eq!(usage(&[start, delta]), expected);
    }

    #[test]
    fn compatible_services_may_begin_or_end_with_zeros() {
        let (zeros, counts) = (r#"{"input_tokens":0,"output_tokens":0}"#, r#"{"input_tokens":30,"output_tokens":4}"#);
        let expected = TokenUsage { input_tokens: 30, output_tokens: 4, ..TokenUsage::default() };
        assert_eq!(usage(&[zeros, counts]), expected);
        assert_eq!(usage(&[counts, zeros]), expected);
        assert_eq!(usage(&[]), TokenUsage::default());
    }

    #[test]
    fn parts_without_their_sum_are_added_up_and_never_exceed_it() {
        let parts = r#"{"cache_creation":{"ephemeral_5m_input_tokens":5,"ephemeral_1h_input_tokens":7}}"#;
        let counted = usage(&[parts]);
        assert_eq!((counted.cache_write_tokens, counted.cache_write_1h_tokens), (12, 7));
        let hostile = r#"{"input_tokens":-1,"output_tokens":10.0,"cache_creation_input_tokens":5,
            "cache_read_input_tokens":1e999,"cache_creation":{"ephemeral_1h_input_tokens":9},
            "output_tokens_details":{"thinking_tokens":99999999999999999999}}"#;
        let expected =
            TokenUsage { output_tokens: 10, cache_write_tokens: 5, cache_write_1h_tokens: 5, ..TokenUsage::default() };
        assert_eq!(usage(&[hostile]), expected);
    }
}
