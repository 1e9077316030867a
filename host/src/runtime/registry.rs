//! The plugins of a running gateway: which there are now, and how one takes another's place.
//!
//! There is always one whole set, a [`Toolbox`], and a change makes another and puts it in the
//! first one's place at once. Whoever has taken a snapshot, or a tool out of one, keeps what it has
//! until it lets go: a call that runs ends on the plugin that it began on, and that plugin is gone
//! with the last of its calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::PluginName;

use super::error::LoadError;
use super::plugin::Plugin;
use super::toolbox::Toolbox;

/// How long all guards together may think about a change.
const GUARDS: Duration = Duration::from_secs(30);

/// The plugins that there are. Cheap to clone; all clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Locked for as long as a snapshot is cloned or replaced, and no longer.
    current: watch::Sender<Toolbox>,
    guards: Mutex<Vec<Arc<dyn SwapGuard>>>,
    /// One change at a time: each is thought through on the set that it changes.
    changing: tokio::sync::Mutex<()>,
}

/// What is to become of one plugin.
#[derive(Debug, Clone)]
pub enum Change {
    /// It takes the place of the one of its name, or is new.
    Put(Arc<Plugin>),
    /// It goes.
    Remove(PluginName),
}

impl Change {
    /// The plugin's name.
    #[must_use]
    pub fn name(&self) -> &PluginName {
        match self {
            Self::Put(plugin) => plugin.name(),
            Self::Remove(name) => name,
        }
    }
}

/// Has a word in every change before it happens: an agent that needs a tool, the driver of a
/// channel whose state has to be understood by the next version.
pub trait SwapGuard: Send + Sync + 'static {
    /// Whether the change may happen. While this is asked, nothing has changed, and no other change
    /// begins. The future is dropped where it takes too long.
    ///
    /// # Errors
    /// Why it may not.
    fn consider<'a>(&'a self, proposal: &'a Proposal) -> BoxFuture<'a, Result<Consent, Objection>>;
}

/// A change, as it would be.
#[derive(Debug)]
pub struct Proposal {
    /// What there is.
    pub now: Toolbox,
    /// What there would be.
    pub next: Toolbox,
}

impl Proposal {
    /// The plugins that would give way, each with the one of its name that takes its place.
    pub fn replaced(&self) -> impl Iterator<Item = (&Arc<Plugin>, &Arc<Plugin>)> {
        let old = self.now.plugins().iter();
        let pairs = old.filter_map(|old| Some((old, self.next.plugin(old.name().as_str())?)));
        pairs.filter(|(old, new)| !Arc::ptr_eq(old, new))
    }
}

/// A guard's yes, with what it does in the moment of the change. Dropped where the change does not
/// happen after all: what it holds (a lock on a channel's state) is let go either way.
pub struct Consent(Option<Box<dyn FnOnce() + Send>>);

impl Consent {
    /// With nothing to do.
    #[must_use]
    pub fn plain() -> Self {
        Self(None)
    }

    /// `then` is called right after the change. It must not wait.
    #[must_use]
    pub fn with(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

/// A guard's no, in words for the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Objection(pub String);

/// Why nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Two plugins would have tools of one name.
    #[error(transparent)]
    Collision(#[from] LoadError),
    /// Someone needs what would be gone.
    #[error(transparent)]
    Refused(#[from] Objection),
    /// The guards did not come to a word.
    #[error("what depends on the plugin did not agree to the change within {0:?}")]
    Undecided(Duration),
}

impl Registry {
    /// A registry of these plugins.
    #[must_use]
    pub fn new(plugins: Toolbox) -> Self {
        let inner = Inner { current: watch::Sender::new(plugins), ..Inner::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The plugins as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Toolbox {
        self.inner.current.borrow().clone()
    }

    /// From now on `guard` has a word in every change.
    pub fn attach(&self, guard: Arc<dyn SwapGuard>) {
        self.inner.guards.lock().unwrap_or_else(PoisonError::into_inner).push(guard);
    }

    /// Puts one plugin in the place of the one of its name.
    ///
    /// # Errors
    /// As for [`Registry::apply`].
    pub async fn replace(&self, plugin: Arc<Plugin>) -> Result<(), SwapError> {
        self.apply(&[Change::Put(plugin)]).await
    }

    /// Makes all of these changes at once, or none. Dropping the future before it is done makes
    /// none.
    ///
    /// # Errors
    /// Two plugins would have a tool of one name, or a guard objects. Nothing has changed.
    pub async fn apply(&self, changes: &[Change]) -> Result<(), SwapError> {
        let _turn = self.inner.changing.lock().await;
        let now = self.snapshot();
        let next = now.after(changes)?;
        let proposal = Proposal { now, next };
        let guards = self.inner.guards.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = async {
            let mut consents = Vec::with_capacity(guards.len());
            for guard in &guards {
                consents.push(guard.consider(&proposal).await?);
            }
            Ok::<_, Objection>(consents)
        };
        let consents = timeout(GUARDS, asked).await.map_err(|_| SwapError::Undecided(GUARDS))??;
        // Nothing waits from here on, so that the change happens whole.
        self.inner.current.send_replace(proposal.next);
        consents.into_iter().filter_map(|consent| consent.0).for_each(|then| then());
        Ok(())
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.snapshot().plugins()).finish()
    }
}
