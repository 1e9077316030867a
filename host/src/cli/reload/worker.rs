//! Does the reloads, one after the other.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::files::Watched;
use super::{Parts, Records, Request};
use crate::cli::plugins;
use crate::config::{Config, LimitsConfig, Loaded, PluginConfig, PluginName, PluginPath};
use crate::gateway::{PluginReload, ReloadError, ReloadOutcome, ReloadReport};
use crate::runtime::{Change, Plugin, Registry, Runtime};

/// How long one plugin may take to be read, compiled and asked what it is. Compiling Python takes
/// tens of seconds on a small machine.
const LOAD: Duration = Duration::from_secs(300);

/// How long the config file may take to be read.
const READ: Duration = Duration::from_secs(30);

/// The longest reason that is told, in bytes.
const MAX_REASON: usize = 4 << 10;

pub(super) struct Worker {
    registry: Registry,
    runtime: Runtime,
    /// What the gateway was started with.
    loaded: Loaded,
    /// The tables of `[[plugins]]` as last read.
    tables: Vec<PluginConfig>,
    /// The table that each plugin runs by.
    running: BTreeMap<PluginName, PluginConfig>,
    files: watch::Sender<Watched>,
    records: Records,
}

impl Worker {
    /// Also gives the files of the plugins, as they change with the config.
    pub(super) fn new(parts: Parts, records: Records) -> (Self, watch::Receiver<Watched>) {
        let Parts { registry, runtime, loaded } = parts;
        let tables = loaded.config.plugins.clone();
        let running = tables.iter().map(|table| (table.name.clone(), table.clone())).collect();
        let (files, watched) = watch::channel(files(&tables));
        (Self { registry, runtime, loaded, tables, running, files, records }, watched)
    }

    /// Serves requests until nobody can make any.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            // Whoever asked may have left.
            match request {
                Request::Everything(done) => {
                    let report = self.everything().await;
                    let _ = done.map(|done| done.send(report));
                }
                Request::One(name, done) => {
                    let _ = done.send(self.one(&name).await);
                }
                Request::Changed(name) => self.changed(&name).await,
            }
        }
    }

    /// Has the plugins follow the config file.
    async fn everything(&mut self) -> ReloadReport {
        let config = match self.read_config().await {
            Ok(config) => config,
            Err(problem) => {
                warn!(problem, "the config file was not read again; everything is as it was");
                return ReloadReport { problem: Some(problem), ..ReloadReport::default() };
            }
        };
        let restart = needing_restart(&self.loaded.config, &config);
        if !restart.is_empty() {
            warn!(tables = restart.join(" "), "these tables of the config file changed; restart to use them");
        }
        self.tables = config.plugins;
        self.files.send_replace(files(&self.tables));

        let mut plugins = Vec::new();
        let mut changes = Vec::new();
        let before = self.registry.snapshot();
        let is_wanted = |name: &PluginName| self.tables.iter().any(|table| table.name == *name);
        let gone = before.plugins().iter().map(|plugin| plugin.name()).filter(|name| !is_wanted(name));
        changes.extend(gone.cloned().map(Change::Remove));
        for table in self.tables.clone() {
            match self.is_current(&table).await {
                true => plugins.push(self.told(&table.name, Done::Unchanged)),
                false => match self.load(&table).await {
                    Ok(plugin) => changes.push(Change::Put(plugin)),
                    Err(reason) => plugins.push(self.told(&table.name, Done::Refused(reason))),
                },
            }
        }
        plugins.extend(self.switch(changes).await);
        self.records
            .retain(|name| self.running.contains_key(name) || self.tables.iter().any(|table| table.name == *name));
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        ReloadReport { plugins, restart: restart.into_iter().map(str::to_owned).collect(), problem: None }
    }

    /// Loads one plugin anew, whether or not it has changed.
    async fn one(&mut self, name: &PluginName) -> Result<ReloadReport, ReloadError> {
        let table = self.table(name).ok_or_else(|| ReloadError::Unknown(name.to_string()))?;
        let plugins = match self.load(&table).await {
            Ok(plugin) => self.switch(vec![Change::Put(plugin)]).await,
            Err(reason) => vec![self.told(name, Done::Refused(reason))],
        };
        Ok(ReloadReport { plugins, ..ReloadReport::default() })
    }

    /// Loads a plugin whose file has changed, if what is in it has.
    async fn changed(&mut self, name: &PluginName) {
        let Some(table) = self.table(name) else { return };
        if self.is_current(&table).await {
            self.told(name, Done::Unchanged);
            return;
        }
        match self.load(&table).await {
            Ok(plugin) => drop(self.switch(vec![Change::Put(plugin)]).await),
            Err(reason) => drop(self.told(name, Done::Refused(reason))),
        }
    }

    /// The table of a plugin as last read; of one that is in the file no more and still runs, the one
    /// that it runs by.
    fn table(&self, name: &PluginName) -> Option<PluginConfig> {
        self.tables.iter().find(|table| table.name == *name).or_else(|| self.running.get(name)).cloned()
    }

    /// Whether a plugin runs as its table and its file have it.
    async fn is_current(&self, table: &PluginConfig) -> bool {
        if self.running.get(&table.name) != Some(table) {
            return false;
        }
        let PluginPath::File(path) = &table.path else { return true };
        let path = path.clone();
        let digest = tokio::task::spawn_blocking(move || digest(&path));
        match timeout(LOAD, digest).await {
            Ok(Ok(Ok(digest))) => self.sha256(&table.name).is_some_and(|running| running == digest),
            // Loading it will tell.
            _ => false,
        }
    }

    async fn load(&self, table: &PluginConfig) -> Result<Arc<Plugin>, String> {
        match timeout(LOAD, plugins::load_one(&self.runtime, table, &self.loaded.home)).await {
            Ok(loaded) => loaded.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it did not load within {LOAD:?}")),
        }
    }

    /// Makes all changes together; where that cannot be, each that can be made alone.
    async fn switch(&mut self, changes: Vec<Change>) -> Vec<PluginReload> {
        let before = self.registry.snapshot();
        let previous = |name: &PluginName| before.plugin(name.as_str()).map(|plugin| plugin.info().sha256);
        let together = self.registry.apply(&changes).await;
        let mut plugins = Vec::with_capacity(changes.len());
        for change in &changes {
            let outcome = match &together {
                Ok(()) => Ok(()),
                Err(error) if changes.len() == 1 => Err(error.to_string()),
                Err(_) => self.registry.apply(std::slice::from_ref(change)).await.map_err(|error| error.to_string()),
            };
            let name = change.name();
            if outcome.is_ok() {
                match change {
                    Change::Put(_) => self.running.extend(self.table(name).map(|table| (name.clone(), table))),
                    Change::Remove(_) => drop(self.running.remove(name)),
                }
            }
            let done = match outcome {
                Ok(()) => Done::Switched { previous: previous(name) },
                Err(reason) => Done::Refused(reason),
            };
            plugins.push(self.told(name, done));
        }
        plugins
    }

    /// Keeps and logs what became of a plugin.
    fn told(&self, name: &PluginName, done: Done) -> PluginReload {
        let sha256 = self.sha256(name);
        let (outcome, previous_sha256, reason) = match done {
            Done::Unchanged => (ReloadOutcome::Unchanged, sha256.clone(), None),
            Done::Refused(mut reason) => {
                reason.truncate(reason.floor_char_boundary(MAX_REASON));
                (ReloadOutcome::Refused, sha256.clone(), Some(reason))
            }
            Done::Switched { previous: None } => (ReloadOutcome::Added, None, None),
            Done::Switched { previous } if sha256.is_none() => (ReloadOutcome::Removed, previous, None),
            Done::Switched { previous } => (ReloadOutcome::Reloaded, previous, None),
        };
        let reload = PluginReload { name: name.to_string(), outcome, sha256, previous_sha256, reason };
        self.records.keep(name, &reload);
        let (sha256, previous) = (reload.sha256.as_deref(), reload.previous_sha256.as_deref());
        match &reload.reason {
            Some(reason) => {
                warn!(plugin = %name, reason = reason.as_str(), "the plugin was not replaced; what ran before runs on");
            }
            None if outcome == ReloadOutcome::Unchanged => {}
            None => info!(plugin = %name, ?outcome, sha256, previous, "the plugins changed"),
        }
        reload
    }

    fn sha256(&self, name: &PluginName) -> Option<String> {
        self.registry.snapshot().plugin(name.as_str()).map(|plugin| plugin.info().sha256)
    }

    async fn read_config(&self) -> Result<Config, String> {
        let loaded = self.loaded.clone();
        let read = tokio::task::spawn_blocking(move || loaded.read_again().map_err(|error| words(&error)));
        match timeout(READ, read).await {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => Err(format!("the config file was not read: {error}")),
            Err(_) => Err(format!("the config file was not read within {READ:?}")),
        }
    }
}

/// What became of one plugin.
enum Done {
    Unchanged,
    Refused(String),
    Switched {
        /// The digest of what ran before.
        previous: Option<String>,
    },
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn files(tables: &[PluginConfig]) -> Watched {
    let file = |table: &PluginConfig| match &table.path {
        PluginPath::File(path) => Some((table.name.clone(), PathBuf::clone(path))),
        PluginPath::Bundled(_) => None,
    };
    tables.iter().filter_map(file).collect()
}

/// SHA-256 of a file, in lower-case hexadecimal.
fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(data_encoding::HEXLOWER.encode(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// The tables in which two configs differ, but for `[[plugins]]` and what those take over.
fn needing_restart(was: &Config, now: &Config) -> Vec<&'static str> {
    // Every table is named here, so that a new one cannot be forgotten.
    let Config {
        gateway,
        agents,
        providers,
        plugins: _,
        channels,
        bindings,
        delivery,
        budgets,
        prices,
        storage,
        net,
        limits,
        telemetry,
    } = now;
    let limits = LimitsConfig { plugin: was.limits.plugin, ..limits.clone() };
    let same = [
        ("gateway", *gateway == was.gateway),
        ("agents", *agents == was.agents),
        ("providers", *providers == was.providers),
        ("channels", *channels == was.channels),
        ("bindings", *bindings == was.bindings),
        ("delivery", *delivery == was.delivery),
        ("budgets", *budgets == was.budgets),
        ("prices", *prices == was.prices),
        ("storage", *storage == was.storage),
        ("net", *net == was.net),
        ("limits", limits == was.limits),
        ("telemetry", *telemetry == was.telemetry),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(table, _)| table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByteSize;

    #[test]
    fn tables_of_plugins_need_no_restart_and_others_are_named() {
        let was = Config::default();
        let mut now = was.clone();
        now.plugins.clear();
        now.limits.plugin.memory = ByteSize::mib(1);
        assert_eq!(needing_restart(&was, &now), [""; 0]);
        now.limits.turns += 1;
        now.gateway.port += 1;
        assert_eq!(needing_restart(&was, &now), ["gateway", "limits"]);
    }
}
