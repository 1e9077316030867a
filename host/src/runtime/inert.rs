//! The inert base: what every component may import, because standard libraries do, and what
//! reaches nothing.
//!
//! wasmtime-wasi gives io, cli, filesystem (without a directory to open) and sockets (which deny
//! TCP, UDP and look-ups). Clocks and randomness are our own, so that they can stand still.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::bindings::logging;
use super::state::{Conditions, State};

/// The most random bytes of one request.
const MAX_RANDOM: u64 = 64 << 10;

/// Packages of the inert base, with the track of versions that is linked.
pub(super) const PACKAGES: &[(&str, u64, u64)] = &[
    ("wasi:cli", 0, 2),
    ("wasi:clocks", 0, 2),
    ("wasi:filesystem", 0, 2),
    ("wasi:io", 0, 2),
    ("wasi:random", 0, 2),
    ("wasi:sockets", 0, 2),
];

/// Links the inert base and the log.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<State, Own>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<State, Own>(linker, |state| state)?;
    random::add_to_linker::<State, Own>(linker, |state| state)?;
    insecure::add_to_linker::<State, Own>(linker, |state| state)?;
    insecure_seed::add_to_linker::<State, Own>(linker, |state| state)?;
    linker.allow_shadowing(false);
    logging::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Our own clocks and chance, in place of wasmtime-wasi's, which are implemented for its views.
struct Own;

impl HasData for Own {
    type Data<'a> = &'a mut State;
}

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = match self.conditions {
            Conditions::Live => crate::store::Timestamp::now(),
            Conditions::Standing { now, .. } => now,
        };
        let now = Duration::from_millis(now.0);
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(match self.conditions {
            Conditions::Live => u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Conditions::Standing { now, .. } => now.0.saturating_mul(1_000_000),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = monotonic_clock::Host::now(self)?;
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = match self.conditions {
            // A sleep past the call's own deadline need not be exact.
            Conditions::Live => Instant::now().checked_add(Duration::from_nanos(nanoseconds)),
            Conditions::Standing { .. } => None,
        };
        sleep(&mut self.table, until)
    }
}

/// A moment to wait for; none is already past.
struct Sleep(Option<Instant>);

#[wasmtime_wasi::async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        match self.0 {
            Some(until) => tokio::time::sleep_until(until).await,
            // A guest that polls in a loop must not keep others from their turn.
            None => tokio::task::yield_now().await,
        }
    }
}

fn sleep(table: &mut ResourceTable, until: Option<Instant>) -> wasmtime::Result<Resource<DynPollable>> {
    let sleep = table.push(Sleep(until))?;
    subscribe(table, sleep)
}

impl State {
    /// The next eight random bytes.
    fn chance(&mut self) -> wasmtime::Result<u64> {
        match &mut self.conditions {
            Conditions::Live => Ok(getrandom::u64()?),
            Conditions::Standing { seed, .. } => Ok(split_mix(seed)),
        }
    }

    fn chances(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        let length = usize::try_from(length.min(MAX_RANDOM + 1)).unwrap_or(usize::MAX);
        if length as u64 > MAX_RANDOM {
            wasmtime::bail!("more than {MAX_RANDOM} random bytes were asked for at once");
        }
        let mut bytes = vec![0; length];
        match &mut self.conditions {
            Conditions::Live => getrandom::fill(&mut bytes)?,
            Conditions::Standing { seed, .. } => {
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&split_mix(seed).to_le_bytes()[..chunk.len()]);
                }
            }
        }
        Ok(bytes)
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): any seed is a good one. It need not be unguessable: a
/// channel has nobody to guess it, and the seed is the plugin's own anyway.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl random::Host for State {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.chances(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.chance()
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.chances(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.chance()
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.chance()?, self.chance()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::grants::{Reach, Services};
    use crate::store::Timestamp;

    fn standing(seed: u64) -> State {
        let reach = Reach {
            plugin: crate::config::PluginName::unnamed(),
            grants: crate::config::GrantsConfig::default(),
            secrets: Default::default(),
            limits: crate::config::PluginLimits::default(),
            services: Services::detached(),
            asks_who: false,
            dirs: crate::runtime::dirs::Dirs::default(),
            egress: Default::default(),
        };
        let conditions = Conditions::Standing { now: Timestamp(1_700_000_000_123), seed };
        State::new(std::sync::Arc::new(reach), None, conditions, std::time::Instant::now())
    }

    #[test]
    fn chance_follows_from_the_seed() -> wasmtime::Result<()> {
        // The first outputs of the published generator for the seed 1234567.
        let mut seed = 1_234_567;
        assert_eq!(
            [split_mix(&mut seed), split_mix(&mut seed)],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
        assert_eq!(standing(7).chances(1_000)?, standing(7).chances(1_000)?);
        assert_ne!(standing(7).chances(16)?, standing(8).chances(16)?);
        assert!(standing(7).chances(u64::MAX).is_err());
        Ok(())
    }

    #[tokio::test]
    async fn where_time_stands_a_sleep_ends_at_once() -> wasmtime::Result<()> {
        let mut state = standing(0);
        let before = (wall_clock::Host::now(&mut state)?.nanoseconds, monotonic_clock::Host::now(&mut state)?);
        monotonic_clock::Host::subscribe_duration(&mut state, u64::MAX)?;
        let mut sleep = Sleep(None);
        sleep.ready().await;
        assert_eq!(before, (123_000_000, 1_700_000_000_123_000_000));
        assert_eq!(before.1, monotonic_clock::Host::now(&mut state)?);
        Ok(())
    }
}
