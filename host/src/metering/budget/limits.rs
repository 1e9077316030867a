//! Which limits hold for whom.

use super::{Period, Scope};
use crate::config::{BudgetsConfig, Limit, Limits, PeerName};

/// The limits of a scope, each for its period.
pub(super) fn of(config: &BudgetsConfig, scope: &Scope) -> impl Iterator<Item = (Period, Limit)> + use<> {
    let limits = match scope {
        Scope::All => config.all,
        Scope::Session(_) => Limits { total: config.session, ..Limits::default() },
        Scope::Agent(name) => config.agents.get(&**name).copied().unwrap_or_default(),
        Scope::Channel(name) => config.channels.get(&**name).copied().unwrap_or_default(),
        Scope::Peer { channel, peer, .. } if !config.peers.is_empty() => {
            let name = PeerName { channel: channel.to_string(), peer: peer.to_string() };
            config.peers.get(&name).copied().unwrap_or(config.each_peer)
        }
        Scope::Peer { .. } => config.each_peer,
        Scope::Plugin(name) => config.plugins.get(name).copied().unwrap_or_default(),
    };
    let Limits { daily, monthly, total } = limits;
    [(Period::Day, daily), (Period::Month, monthly), (Period::Total, total)]
        .into_iter()
        .filter(|(_, limit)| *limit != Limit::default())
}

/// The scopes that the config names, but for peers: on which accounts those are, is not in it.
pub(super) fn named(config: &BudgetsConfig) -> impl Iterator<Item = Scope> {
    let agents = config.agents.keys().map(|name| Scope::Agent(name.as_str().into()));
    let channels = config.channels.keys().map(|name| Scope::Channel(name.as_str().into()));
    let plugins = config.plugins.keys().cloned().map(Scope::Plugin);
    std::iter::once(Scope::All).chain(agents).chain(channels).chain(plugins)
}

/// Whether nothing is limited at all.
pub(super) fn is_empty(config: &BudgetsConfig) -> bool {
    let someone = config.peers.values().chain([&config.each_peer]).any(|limits| *limits != Limits::default());
    let some = config.session != Limit::default() || someone;
    !some && named(config).all(|scope| of(config, &scope).next().is_none())
}
