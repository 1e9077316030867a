//! Counting a request before it is sent: exactly where that can be known, and as an estimate that learns otherwise.
//!
//! [`Counter`] is all that others need. Texts are counted by OpenAI's published encodings ([`Encoding`]); a model
//! that has another gets the count of `o200k_base` times a factor, which follows what its provider counts. What stands
//! around texts, tools and images are counted by the providers' documentation, and the answer says where that leaves
//! doubt ([`Certainty`]). Counts of texts are remembered, so that a history is not counted again for each turn.

mod cache;
mod encoding;
mod factors;
mod family;
mod pairs;
mod picture;
mod request;
mod schema;
mod tally;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use self::cache::Cache;
use self::factors::Factors;
use self::family::{Family, Framing};
use self::tally::{Effort, Tally};
use crate::metering::text_tokens;
use crate::provider::Request;
use crate::store::SessionKey;

pub use self::encoding::Encoding;
pub use self::factors::FactorRecord;

/// The most bytes of text that are counted on a thread that others wait for: 0.2 to 0.6 ms for what people write,
/// under 2 ms for the worst that was found.
const AT_ONCE: usize = 16 << 10;

/// The most requests whose long texts are counted at a time; each thread keeps tools of about a megabyte.
const THREADS: usize = 2;

/// Who is asked, and in which conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The conversation that the request belongs to.
    pub session: &'a SessionKey,
    /// The provider's name in the config.
    pub provider: &'a str,
    /// The model, as the provider names it.
    pub model: &'a str,
}

/// Whether a count can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It is what the provider will count: texts alone, with a published encoding and in a documented frame.
    Exact,
    /// It may be off.
    Estimated,
}

/// What the input of a request is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens, all kinds of input together: fresh, read from a cache and written to one.
    pub input_tokens: u64,
    /// How sure that is.
    pub certainty: Certainty,
    /// Of it, tokens by our own count, before the model's factor. For [`Counter::learn`].
    base: u64,
    /// Of it, tokens that the provider's documentation counts: images, and the prompt that comes with tools.
    fixed: u64,
}

/// Counts requests, for all sessions together. Clones share what they know.
#[derive(Clone)]
pub struct Counter {
    shared: Arc<Shared>,
}

struct Shared {
    cache: Cache,
    factors: Factors,
    threads: Semaphore,
}

impl Counter {
    /// A counter that knows what was learnt before; of two records of a model, the later.
    #[must_use]
    pub fn new(learnt: impl IntoIterator<Item = FactorRecord>) -> Self {
        let shared = Shared { cache: Cache::new(), factors: Factors::new(learnt), threads: Semaphore::new(THREADS) };
        Self { shared: Arc::new(shared) }
    }

    /// Loads the tables for these models, so that the first request does not wait for them. Blocks, for some 15 ms
    /// an encoding: to be called on a thread of its own or before anything else runs.
    pub fn warm_up<'a>(&self, models: impl IntoIterator<Item = &'a str>) {
        models.into_iter().for_each(|model| Family::of(model).encoding.load());
    }

    /// What a request will take. More than 16 KiB of text that was not counted before, and tables that are
    /// not loaded yet, are left to another thread; where none is to be had, since the program ends, the texts
    /// are estimated by their length.
    pub async fn estimate(&self, asked: Asked<'_>, request: &Arc<Request>) -> Estimate {
        if let Some(estimate) = self.shared.estimate(asked, request, Effort::UpTo(AT_ONCE)) {
            return estimate;
        }
        let Ok(_permit) = self.shared.threads.acquire().await else { return self.rough(asked, request) };
        let (shared, whole) = (Arc::clone(&self.shared), Arc::clone(request));
        let (session, provider, model) = (asked.session.clone(), asked.provider.to_owned(), asked.model.to_owned());
        let counted = spawn_blocking(move || {
            let asked = Asked { session: &session, provider: &provider, model: &model };
            shared.estimate(asked, &whole, Effort::Any)
        });
        match counted.await {
            Ok(Some(estimate)) => estimate,
            _ => self.rough(asked, request),
        }
    }

    /// The same at once, by this thread, however long it takes: at 3 MB of text a second in the worst case.
    #[must_use]
    pub fn estimate_blocking(&self, asked: Asked<'_>, request: &Request) -> Estimate {
        let counted = self.shared.estimate(asked, request, Effort::Any);
        counted.unwrap_or_else(|| self.rough(asked, request))
    }

    /// What a text of the model's own takes: of an answer whose counts never came. Where it is longer than can be
    /// counted at once, or nothing is loaded to count it with, by its length.
    #[must_use]
    pub fn text(&self, asked: Asked<'_>, text: &str) -> u64 {
        let family = Family::of(asked.model);
        if text.len() > AT_ONCE || !family.encoding.is_loaded() {
            return text_tokens(text).into();
        }
        let base = family.encoding.count(text);
        match family.framing {
            // Its encoding is the one that we count with.
            Framing::Cookbook { .. } => base,
            _ => self.shared.factors.applied(asked, family.start, base),
        }
    }

    /// Takes in what a provider counted for a request that was estimated: all of its input, that from and to its
    /// cache included. Gives what is to be stored of the model; nothing, where nothing was learnt.
    ///
    /// Only counts of the provider's own belong here, of calls whose input was read to the end.
    #[must_use = "what was learnt is lost unless it is stored"]
    pub fn learn(&self, asked: Asked<'_>, estimate: &Estimate, counted: u64) -> Option<FactorRecord> {
        if estimate.certainty == Certainty::Exact {
            return None;
        }
        let of_texts = counted.saturating_sub(estimate.fixed);
        self.shared.factors.learn(asked, Family::of(asked.model).start, estimate.base, of_texts)
    }

    fn rough(&self, asked: Asked<'_>, request: &Request) -> Estimate {
        let roughly = self.shared.estimate(asked, request, Effort::Rough);
        roughly.unwrap_or(Estimate { input_tokens: 0, certainty: Certainty::Estimated, base: 0, fixed: 0 })
    }
}

impl Shared {
    /// Nothing, where it would be more than `effort`.
    fn estimate(&self, asked: Asked<'_>, request: &Request, effort: Effort) -> Option<Estimate> {
        let family = Family::of(asked.model);
        let mut tally = Tally::new(&self.cache, family, effort);
        if !tally.is_cut {
            request::count(request, family, &mut tally);
        }
        let Tally { base, fixed, is_exact, is_cut, .. } = tally;
        if is_cut {
            return None;
        }
        let (certainty, by_factor) = match is_exact {
            true => (Certainty::Exact, base),
            false => (Certainty::Estimated, self.factors.applied(asked, family.start, base)),
        };
        // What was not counted says nothing about the provider's count.
        let base = if effort == Effort::Rough { 0 } else { base };
        Some(Estimate { input_tokens: by_factor.saturating_add(fixed), certainty, base, fixed })
    }
}

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}
