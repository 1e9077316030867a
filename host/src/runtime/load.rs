//! From bytes to a plugin that can be called, or to the reason why not.
//!
//! The bytes are read once, and what was read is hashed, compiled, asked to describe itself and
//! kept: a file that changes afterwards changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Engine, Precompiled};

use super::cache::{Code, CodeCache, CodeInfo, CodeOrigin, Compiler};
use super::capability;
use super::channel::ChannelSide;
use super::dirs::Dirs;
use super::egress::Egress;
use super::egress_secrets::SecretRules;
use super::engine::{self, Allocation, Machine};
use super::error::{LoadError, LoadProblem, RuntimeError};
use super::grants::{Reach, Secrets, Services};
use super::imports::{self, Import, Linkage};
use super::inert;
use super::invoke::Invoker;
use super::plugin::{Plugin, Side};
use super::schema::Schema;
use super::state::State;
use super::tool::{Belief, ToolSide};
use crate::config::{GrantsConfig, LimitsConfig, PluginConfig, PluginLimits, PluginName, PluginPath};

/// The largest component, in bytes. Python's have 20 to 40 MB.
pub(super) const MAX_COMPONENT: u64 = 128 << 20;

/// The most tools of one plugin: every one costs tokens in every call of a model.
pub(super) const MAX_TOOLS: usize = 64;

/// What to load, as the owner wants it.
#[derive(Debug, Clone)]
pub struct PluginSpec {
    /// Its name here.
    pub name: PluginName,
    /// Where its bytes are.
    pub source: Source,
    /// The SHA-256 that they must have.
    pub sha256: Option<[u8; 32]>,
    /// Handed to the plugin as JSON.
    pub settings: Map<String, Value>,
    /// What one call may take.
    pub limits: PluginLimits,
    /// What it may reach.
    pub grants: GrantsConfig,
    /// The secrets of its grants, as far as there are any.
    pub secrets: Secrets,
    /// Whether it is loaded to run, or to be looked at.
    pub linkage: Linkage,
    /// Whose word on what its tools do counts.
    pub hints: Trust,
}

/// Where a component's bytes are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In this binary.
    Bundled(&'static exoclaw_bundle::Guest),
    /// In a file.
    File(PathBuf),
    /// In memory already.
    Bytes(Arc<[u8]>),
}

/// Whether a plugin's hints (`read-only`, `idempotent`) count where its grants could write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// They are only its word.
    Unproven,
    /// The owner vouches for them.
    Owner,
}

impl PluginSpec {
    /// A plugin with the usual limits and no grants.
    #[must_use]
    pub fn new(name: PluginName, source: Source) -> Self {
        Self {
            name,
            source,
            sha256: None,
            settings: Map::new(),
            limits: PluginLimits::default(),
            grants: GrantsConfig::default(),
            secrets: Secrets::default(),
            linkage: Linkage::Granted,
            hints: Trust::Unproven,
        }
    }

    /// What a table of `[[plugins]]` asks for, but for its secrets, which are still to be found.
    ///
    /// # Errors
    /// It names a bundled plugin that there is not.
    pub fn from_config(config: &PluginConfig) -> Result<Self, LoadError> {
        let source = match &config.path {
            PluginPath::File(path) => Source::File(path.clone()),
            PluginPath::Bundled(name) => Source::Bundled(exoclaw_bundle::find(name).ok_or_else(|| LoadError {
                plugin: config.name.clone(),
                problem: Box::new(LoadProblem::Bundled { name: name.clone(), known: bundled() }),
            })?),
        };
        Ok(Self {
            name: config.name.clone(),
            source,
            sha256: config.sha256,
            settings: config.settings.clone(),
            limits: config.limits,
            grants: config.grants.clone(),
            secrets: Secrets::default(),
            linkage: Linkage::Granted,
            hints: if config.trust_hints { Trust::Owner } else { Trust::Unproven },
        })
    }
}

fn bundled() -> String {
    exoclaw_bundle::GUESTS.iter().map(|guest| guest.name).collect::<Vec<_>>().join(", ")
}

/// The sandbox: loads plugins and runs their calls. Cheap to clone; all clones share one engine.
#[derive(Clone)]
pub struct Runtime {
    machine: Arc<Machine>,
    linker: Arc<Linker<State>>,
    services: Services,
    compiler: Compiler,
}

impl Runtime {
    /// An engine with a slot for each turn that may run at once.
    ///
    /// # Errors
    /// Wasmtime or the system refuses.
    pub fn new(limits: &LimitsConfig, services: Services) -> Result<Self, RuntimeError> {
        Self::on(Machine::new(limits.turns)?, services)
    }

    /// A runtime with a pool of exactly so many slots, few enough for tools that can't map the usual
    /// terabytes of address space. What weighs more than one slot may find no room in it.
    ///
    /// # Errors
    /// Wasmtime or the system refuses.
    pub fn with_slots(slots: usize, services: Services) -> Result<Self, RuntimeError> {
        Self::on(Machine::with(Allocation::Pool, slots)?, services)
    }

    pub(super) fn on(machine: Machine, services: Services) -> Result<Self, RuntimeError> {
        let mut linker = Linker::new(&machine.engine);
        inert::link(&mut linker).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let compiler = Compiler::new(&machine.engine, None);
        Ok(Self { machine: Arc::new(machine), linker: Arc::new(linker), services, compiler })
    }

    /// Takes compiled code from this folder, and keeps there what it compiles.
    #[must_use]
    pub fn with_code_cache(mut self, cache: Option<CodeCache>) -> Self {
        self.compiler = Compiler::new(&self.machine.engine, cache);
        self
    }

    /// Compiles a component for a later load, where that was not done before, and runs nothing of
    /// it. None: it is right, and this runtime has no cache to keep its code in.
    ///
    /// # Errors
    /// It cannot be read, is not the one that is pinned, or does not compile.
    pub async fn compile_ahead(&self, spec: PluginSpec) -> Result<Option<CodeInfo>, LoadError> {
        let code = self.compiler.code(spec.source, spec.sha256).await;
        code.map(Code::into_info).map_err(|problem| LoadError { plugin: spec.name, problem: Box::new(problem) })
    }

    /// Where instances come from.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.machine.allocation
    }

    /// The engine, for what measures it: its pool's gauges, a baseline beside it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.machine.engine
    }

    /// Loads one plugin: compiles it, holds its imports against its grants, and asks it what it is
    /// and does.
    ///
    /// # Errors
    /// The first thing that is wrong with it; where several imports are, all of them.
    pub async fn load(&self, spec: PluginSpec) -> Result<Arc<Plugin>, LoadError> {
        let name = spec.name.clone();
        self.load_spec(spec)
            .await
            .map(Arc::new)
            .map_err(|problem| LoadError { plugin: name, problem: Box::new(problem) })
    }

    async fn load_spec(&self, spec: PluginSpec) -> Result<Plugin, LoadProblem> {
        let compiled = self.compile(spec.source, spec.sha256, spec.grants.clone(), spec.linkage).await?;
        // What is only looked at is not entrusted with anything.
        let secrets = match spec.linkage {
            Linkage::Granted => SecretRules::new(&spec.grants, &spec.secrets),
            Linkage::Refusing => SecretRules::default(),
        };
        let reach = Reach {
            dirs: Dirs::open(&spec.grants.dirs).await?,
            egress: Egress::new(&spec.grants, &self.services),
            plugin: spec.name,
            grants: spec.grants,
            secrets,
            limits: spec.limits,
            services: self.services.clone(),
            asks_who: compiled.imports.iter().any(|import| import.provision.asks_who()),
        };
        let invoker = Invoker::new(self.machine.clone(), Arc::new(reach), compiled.weight);
        let settings = Value::Object(spec.settings).to_string();
        let side = match compiled.kind {
            Kind::Tool => {
                let writes = compiled.imports.iter().any(|import| import.provision.writes());
                let belief = if spec.hints == Trust::Owner || !writes { Belief::Counts } else { Belief::Withheld };
                Side::Tool(ToolSide::load(compiled.pre, &invoker, &settings, belief).await?)
            }
            Kind::Channel => Side::Channel(Arc::new(ChannelSide::load(compiled.pre, &invoker, &settings).await?)),
        };
        Ok(Plugin {
            invoker,
            side,
            settings,
            source: compiled.source,
            size: compiled.size,
            sha256: compiled.sha256,
            code: compiled.code,
            imports: compiled.imports,
            exports: compiled.exports,
        })
    }

    async fn compile(
        &self,
        source: Source,
        pinned: Option<[u8; 32]>,
        grants: GrantsConfig,
        linkage: Linkage,
    ) -> Result<Compiled, LoadProblem> {
        let code = self.compiler.code(source, pinned).await?;
        let (machine, linker) = (self.machine.clone(), self.linker.clone());
        let work = move || Compiled::new(&machine, &linker, code, &grants, linkage);
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(LoadProblem::Compile(format!("the compiler did not finish: {error}"))))
    }
}

enum Kind {
    Tool,
    Channel,
}

/// A component that fits, before it has said a word.
struct Compiled {
    kind: Kind,
    pre: InstancePre<State>,
    weight: u32,
    source: String,
    size: usize,
    sha256: [u8; 32],
    code: CodeOrigin,
    imports: Vec<Import>,
    exports: Vec<String>,
}

impl Compiled {
    fn new(
        machine: &Machine,
        linker: &Linker<State>,
        code: Code,
        grants: &GrantsConfig,
        linkage: Linkage,
    ) -> Result<Self, LoadProblem> {
        let engine = &machine.engine;
        let Code { component, source, size, sha256, origin, .. } = code;
        let imports = imports::check(engine, &component, grants, linkage).map_err(LoadProblem::Imports)?;
        let exports = imports::exports(engine, &component);
        let kind = kind(&exports)?;
        let weight = match component.resources_required() {
            Some(required) => engine::weight(&required)
                .ok_or(LoadProblem::Resources { memories: required.num_memories, tables: required.num_tables })?,
            None => 1,
        };
        let provisions: Vec<_> = imports.iter().map(|import| import.provision).collect();
        let mut linker = linker.clone();
        capability::link(&mut linker, &provisions).map_err(|error| LoadProblem::Contract(format!("{error:#}")))?;
        let pre = linker.instantiate_pre(&component).map_err(|error| LoadProblem::Contract(format!("{error:#}")))?;
        Ok(Self { kind, pre, weight, source, size, sha256, code: origin, imports, exports })
    }
}

fn kind(exports: &[String]) -> Result<Kind, LoadProblem> {
    let has = |interface| exports.iter().any(|name| imports::is_ours(name, interface));
    match (has("exoclaw:plugin/tool"), has("exoclaw:plugin/channel")) {
        (true, false) => Ok(Kind::Tool),
        (false, true) => Ok(Kind::Channel),
        _ if exports.is_empty() => Err(LoadProblem::Exports { found: "nothing".into() }),
        _ => Err(LoadProblem::Exports { found: exports.join(", ") }),
    }
}

pub(super) fn read(source: Source) -> Result<(String, Bytes), LoadProblem> {
    match source {
        Source::Bundled(guest) => Ok((format!("bundled:{}", guest.name), Bytes::Static(guest.bytes))),
        Source::Bytes(bytes) => Ok(("bytes".into(), Bytes::Shared(bytes))),
        Source::File(path) => {
            let shown = path.display().to_string();
            let bytes = read_file(&path).map_err(|error| LoadProblem::Read { path, error })?;
            if bytes.len() as u64 > MAX_COMPONENT {
                return Err(LoadProblem::Size(bytes.len() as u64));
            }
            Ok((shown, Bytes::Owned(bytes)))
        }
    }
}

/// At most one byte more than is allowed, whatever the file says of its size.
fn read_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_COMPONENT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) enum Bytes {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A component begins with `\0asm`, version 13, layer 1; a core module has version 1, layer 0
/// (component-model `Binary.md`, "Component Definitions").
pub(super) fn refuse_other_formats(bytes: &[u8]) -> Result<(), LoadProblem> {
    if let Some(Precompiled::Module | Precompiled::Component) = Engine::detect_precompiled(bytes) {
        return Err(LoadProblem::Precompiled);
    }
    match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => Ok(()),
        Some(b"\0asm\x01\0\0\0") => Err(LoadProblem::CoreModule),
        _ => Err(LoadProblem::NotWasm),
    }
}

/// The schema of a plugin's settings, after the settings were held against it.
pub(super) fn check_settings(schema: &str, settings: &str) -> Result<Schema, LoadProblem> {
    let schema = Schema::compile(schema).map_err(LoadProblem::SettingsSchema)?;
    schema.check_text(settings).map_err(LoadProblem::Settings)?;
    Ok(schema)
}

#[cfg(test)]
mod tests;
