//! What of a request its provider is asked to keep, since the next one will begin with it.
//!
//! A provider that is sent the beginning of an earlier request again charges less for it, where it kept
//! it. Anthropic keeps what is marked, and charges for the keeping; OpenAI keeps what it sees fit. Whether a
//! mark pays is decided here, and in no provider's terms.
//!
//! Per token of the beginning, in parts of the price of plain input (Anthropic's price list, August 2026): a
//! read costs 0.1, being written 1.25 for five minutes or 2 for an hour; a read renews the time for nothing. So
//! writing costs 0.25 or 1 more than not to write, each read saves 0.9, and writing pays where more than
//! 0.25 / 0.9 = 0.28 or 1 / 0.9 = 1.1 reads are to be expected in time. That gives the rules of
//! [`CachePolicy::new`].

use std::fmt;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::time::Duration;

use crate::config::PromptCache;
use crate::store::SessionKey;

/// How long a provider keeps the beginning of a request after it last saw it. The longer is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheLifetime {
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    OneHour,
}

impl CacheLifetime {
    /// As a time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_secs(5 * 60),
            Self::OneHour => Duration::from_secs(60 * 60),
        }
    }

    fn of(setting: PromptCache) -> Option<Self> {
        match setting {
            PromptCache::Off => None,
            PromptCache::FiveMinutes => Some(Self::FiveMinutes),
            PromptCache::OneHour => Some(Self::OneHour),
        }
    }
}

/// Whether a model is offered tools, and so may be asked again within the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// It may call some.
    Offered,
    /// There are none.
    None,
}

/// What of a request is worth keeping, and how long. The conversation is never kept longer than what stands
/// before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CachePolicy {
    /// The tools and the system prompt, with which all of an agent's requests begin.
    pub shared: Option<CacheLifetime>,
    /// The conversation so far, with which the session's next request begins.
    pub conversation: Option<CacheLifetime>,
    /// Told to providers that bring requests of one key to one machine.
    pub key: Option<CacheKey>,
}

impl CachePolicy {
    /// The policy of a turn, from what the owner set and how long before the turn the session was last
    /// active; `None` where it never was.
    ///
    /// - Tools and system prompt are marked always: all sessions of the agent, and all steps of a turn, read them.
    /// - The conversation is marked for the owner's time where the session was active within that time: its
    ///   next message is as likely to come in time as this one was, and each token stays in the conversation for
    ///   many turns, hence is read many times for its one writing.
    /// - After a longer pause it is marked for five minutes if the model has tools: one call of a tool in three
    ///   turns pays for it, or one further message in three. An hour would take more than one read.
    /// - After a longer pause and without tools it is not marked: nothing says that a second request follows.
    #[must_use]
    pub fn new(setting: PromptCache, pause: Option<Duration>, tools: Tools, key: CacheKey) -> Self {
        let Some(lifetime) = CacheLifetime::of(setting) else { return Self::default() };
        let active = pause.is_some_and(|pause| pause < lifetime.duration());
        let conversation = match tools {
            _ if active => Some(lifetime),
            Tools::Offered => Some(CacheLifetime::FiveMinutes),
            Tools::None => None,
        };
        Self { shared: Some(lifetime), conversation, key: Some(key) }
    }

    /// The dearest writing that a request with this policy may be charged for: all of its input may be written
    /// at this rate. Nothing, where it has nothing kept.
    #[must_use]
    pub fn dearest(&self) -> Option<CacheLifetime> {
        self.shared.max(self.conversation)
    }
}

/// What requests that begin alike have in common, without telling whose they are: the same for all requests of
/// a session while the process lives, and another in the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey(u64);

impl CacheKey {
    /// The key of a session.
    #[must_use]
    pub fn of(session: &SessionKey) -> Self {
        // Its seed never leaves the process, so that a provider can't try out whose name gives the key.
        static SEED: OnceLock<std::hash::RandomState> = OnceLock::new();
        Self(SEED.get_or_init(std::hash::RandomState::new).hash_one(session))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CacheLifetime::{FiveMinutes, OneHour};

    const MINUTE: Duration = Duration::from_secs(60);

    fn session(key: &str) -> SessionKey {
        key.parse().expect("a session key")
    }

    fn conversation(setting: PromptCache, pause: Option<Duration>, tools: Tools) -> Option<CacheLifetime> {
        let policy = CachePolicy::new(setting, pause, tools, CacheKey::of(&session("a:b:c:d")));
        assert_eq!(policy.shared, CacheLifetime::of(setting), "tools and system prompt are always worth it");
        assert!(policy.conversation <= policy.shared, "the API refuses a longer time behind a shorter one");
        policy.conversation
    }

    #[test]
    fn an_active_session_is_kept_for_the_time_that_the_owner_set() {
        for tools in [Tools::Offered, Tools::None] {
            assert_eq!(conversation(PromptCache::FiveMinutes, Some(4 * MINUTE), tools), Some(FiveMinutes));
            assert_eq!(conversation(PromptCache::OneHour, Some(59 * MINUTE), tools), Some(OneHour));
        }
    }

    #[test]
    fn after_a_pause_only_the_prospect_of_a_tools_results_pays_for_keeping_a_conversation() {
        for pause in [None, Some(60 * MINUTE)] {
            for setting in [PromptCache::FiveMinutes, PromptCache::OneHour] {
                assert_eq!(conversation(setting, pause, Tools::Offered), Some(FiveMinutes));
                assert_eq!(conversation(setting, pause, Tools::None), None);
            }
        }
    }

    #[test]
    fn switched_off_it_keeps_nothing_and_names_nobody() {
        let key = CacheKey::of(&session("a:b:c:d"));
        let policy = CachePolicy::new(PromptCache::Off, Some(MINUTE), Tools::Offered, key);
        assert_eq!((policy, policy.dearest()), (CachePolicy::default(), None));
    }

    #[test]
    fn what_is_set_aside_for_a_request_is_the_dearest_of_its_marks() {
        let key = CacheKey::of(&session("a:b:c:d"));
        let policy = |setting, pause| CachePolicy::new(setting, pause, Tools::Offered, key).dearest();
        assert_eq!(policy(PromptCache::FiveMinutes, None), Some(FiveMinutes));
        assert_eq!(policy(PromptCache::OneHour, None), Some(OneHour));
    }

    #[test]
    fn sessions_have_keys_of_their_own_that_stay_and_do_not_name_them() {
        let [one, other] = ["a:b:c:d", "a:b:c:e"].map(|key| CacheKey::of(&session(key)));
        assert_eq!(one, CacheKey::of(&session("a:b:c:d")));
        assert_ne!(one, other);
        assert_eq!(one.to_string().len(), 16);
    }
}
