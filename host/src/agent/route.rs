//! Which agent answers whom.
//!
//! A binding matches where every part that it names is the same; of those that match, the most
//! specific decides: by peer before guild, team, account and channel. The parts that a binding
//! names form a mask whose numerical order is that precedence, so a look-up probes one hash map
//! once for each mask in use, from the highest down, and does not grow with the bindings. The map's
//! hasher is keyed at random, since peers choose their own names.

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;

use super::Peer;
use crate::config::{AgentName, BindingConfig};

const PEER: u8 = 1 << 4;
const GUILD: u8 = 1 << 3;
const TEAM: u8 = 1 << 2;
const ACCOUNT: u8 = 1 << 1;
const CHANNEL: u8 = 1;

/// The bindings, ready to be asked.
#[derive(Debug)]
pub struct Router {
    bindings: HashMap<Key, AgentName>,
    /// The masks in use, highest first.
    masks: Vec<u8>,
    default: AgentName,
}

/// Two bindings that say different things of the same peers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("two [[bindings]] match exactly the same and name different agents, `{first}` and `{second}`; remove one")]
pub struct Contradiction {
    /// The agent of the first.
    pub first: AgentName,
    /// The agent of the second.
    pub second: AgentName,
}

/// The parts that a binding names; the others are empty.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    mask: u8,
    parts: [Box<str>; 5],
}

/// The same, borrowed from a peer.
struct Probe<'a> {
    mask: u8,
    parts: [&'a str; 5],
}

fn hash_parts<'a, H: Hasher>(mask: u8, parts: impl Iterator<Item = &'a str>, state: &mut H) {
    mask.hash(state);
    for (index, part) in parts.enumerate() {
        if mask & (PEER >> index) != 0 {
            part.hash(state);
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_parts(self.mask, self.parts.iter().map(AsRef::as_ref), state);
    }
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_parts(self.mask, self.parts.iter().copied(), state);
    }
}

impl hashbrown::Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let named = |index: usize| self.mask & (PEER >> index) != 0;
        self.mask == key.mask && (0..5).all(|index| !named(index) || *self.parts[index] == *key.parts[index])
    }
}

impl Router {
    /// Prepares the bindings; who matches none gets `default`.
    ///
    /// # Errors
    /// Two bindings contradict each other.
    pub fn new(bindings: &[BindingConfig], default: AgentName) -> Result<Self, Contradiction> {
        let mut router = Self { bindings: HashMap::with_capacity(bindings.len()), masks: Vec::new(), default };
        for binding in bindings {
            let named = [&binding.peer, &binding.guild, &binding.team, &binding.account, &binding.channel];
            let bit = |(index, part): (usize, &&Option<String>)| if part.is_some() { PEER >> index } else { 0 };
            let key = Key {
                mask: named.iter().enumerate().map(bit).sum(),
                parts: named.map(|part| part.as_deref().unwrap_or_default().into()),
            };
            if !router.masks.contains(&key.mask) {
                router.masks.push(key.mask);
            }
            match router.bindings.get(&key) {
                Some(first) if *first != binding.agent => {
                    return Err(Contradiction { first: first.clone(), second: binding.agent.clone() });
                }
                _ => router.bindings.insert(key, binding.agent.clone()),
            };
        }
        router.masks.sort_unstable_by(|one, two| two.cmp(one));
        Ok(router)
    }

    /// The agent for a peer.
    #[must_use]
    pub fn resolve(&self, peer: &Peer) -> &AgentName {
        let guild = peer.guild.as_deref();
        let team = peer.team.as_deref();
        let there =
            PEER | ACCOUNT | CHANNEL | if guild.is_some() { GUILD } else { 0 } | if team.is_some() { TEAM } else { 0 };
        let parts = [&*peer.peer, guild.unwrap_or_default(), team.unwrap_or_default(), &*peer.account, &*peer.channel];
        let usable = self.masks.iter().filter(|&&mask| mask & !there == 0);
        usable.copied().find_map(|mask| self.bindings.get(&Probe { mask, parts })).unwrap_or(&self.default)
    }

    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agent(name: &str) -> AgentName {
        name.parse().expect("a name")
    }

    fn binding(name: &str, parts: [Option<&str>; 5]) -> BindingConfig {
        let [channel, account, team, guild, peer] = parts.map(|part| part.map(str::to_owned));
        BindingConfig { agent: agent(name), channel, account, team, guild, peer }
    }

    fn peer(channel: &str, account: &str, team: Option<&str>, guild: Option<&str>, peer: &str) -> Peer {
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Peer {
            channel: channel.into(),
            account: account.into(),
            peer: peer.into(),
            guild: owned(guild),
            team: owned(team),
        }
    }

    #[test]
    fn the_most_specific_binding_decides() -> Result<(), Contradiction> {
        let bindings = [
            binding("channel", [Some("chat"), None, None, None, None]),
            binding("account", [None, Some("acc"), None, None, None]),
            binding("team", [None, None, Some("t"), None, None]),
            binding("guild", [Some("chat"), None, None, Some("g"), None]),
            binding("person", [None, None, None, None, Some("p")]),
            binding("exact", [Some("chat"), None, None, None, Some("p")]),
        ];
        let router = Router::new(&bindings, agent("default"))?;
        let resolve = |peer: Peer| router.resolve(&peer).as_str().to_owned();
        assert_eq!(resolve(peer("chat", "acc", Some("t"), Some("g"), "p")), "exact");
        assert_eq!(resolve(peer("other", "acc", Some("t"), Some("g"), "p")), "person");
        assert_eq!(resolve(peer("chat", "acc", Some("t"), Some("g"), "q")), "guild");
        assert_eq!(resolve(peer("other", "acc", Some("t"), Some("g"), "q")), "team");
        assert_eq!(resolve(peer("other", "acc", None, None, "q")), "account");
        assert_eq!(resolve(peer("chat", "x", None, None, "q")), "channel");
        assert_eq!(resolve(peer("other", "x", None, None, "q")), "default");
        Ok(())
    }

    #[test]
    fn an_empty_name_is_not_an_absent_one() -> Result<(), Contradiction> {
        let router = Router::new(&[binding("empty", [None, None, None, Some(""), None])], agent("default"))?;
        assert_eq!(router.resolve(&peer("c", "a", None, None, "p")).as_str(), "default");
        assert_eq!(router.resolve(&peer("c", "a", None, Some(""), "p")).as_str(), "empty");
        Ok(())
    }

    #[test]
    fn bindings_that_contradict_each_other_are_refused() {
        let bindings = [binding("one", [Some("c"); 5]), binding("two", [Some("c"); 5])];
        let error = Router::new(&bindings, agent("default")).err();
        assert_eq!(error, Some(Contradiction { first: agent("one"), second: agent("two") }));
    }

    fn part() -> impl Strategy<Value = Option<&'static str>> {
        prop::option::of(prop::sample::select(vec!["a", "b", ""]))
    }

    proptest! {
        #[test]
        fn a_look_up_finds_what_a_scan_over_all_bindings_finds(
            parts in prop::collection::vec(prop::array::uniform5(part()), 0..40),
            who in prop::array::uniform5(part()),
        ) {
            let bindings: Vec<_> = parts.iter().enumerate()
                .map(|(index, parts)| binding(&format!("a{index}"), *parts))
                .collect();
            let Ok(router) = Router::new(&bindings, agent("default")) else { return Ok(()) };
            let [channel, account, team, guild, name] = who;
            let peer = peer(channel.unwrap_or("c"), account.unwrap_or("c"), team, guild, name.unwrap_or("c"));
            let given = [Some(&*peer.peer), peer.guild.as_deref(), peer.team.as_deref(), Some(&*peer.account), Some(&*peer.channel)];
            let scan = bindings.iter().filter_map(|binding| {
                let wanted = [&binding.peer, &binding.guild, &binding.team, &binding.account, &binding.channel];
                let matches = wanted.iter().zip(given).all(|(wanted, given)| wanted.is_none() || wanted.as_deref() == given);
                let rank: Vec<bool> = wanted.iter().map(|part| part.is_some()).collect();
                matches.then_some((rank, &binding.agent))
            }).max_by(|one, two| one.0.cmp(&two.0)).map_or(agent("default"), |(_, agent)| agent.clone());
            prop_assert_eq!(router.resolve(&peer), &scan);
        }
    }
}
