//! Why the sandbox could not start, a plugin not load, a call not answer.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ByteSize, PluginName};

use super::imports::Ungranted;
use super::schema::{SchemaError, Violations};

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Wasmtime refused its configuration, also without a pool.
    #[error("the WebAssembly engine did not start: {0}")]
    Engine(String),
    /// No thread for the engine's clock.
    #[error("the WebAssembly engine's clock did not start: {0}; raise the limit on threads (`ulimit -u`)")]
    Thread(#[source] std::io::Error),
}

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}`: {problem}")]
pub struct LoadError {
    /// Its name in the config.
    pub plugin: PluginName,
    /// What is wrong with it.
    pub problem: Box<LoadProblem>,
}

/// What is wrong with a plugin.
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// No such name is in the binary.
    #[error("`bundled:{name}` is not in this binary; it has {known}")]
    Bundled {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: std::io::Error,
    },
    /// The file is larger than any plugin.
    #[error("the component has {0} bytes, and {max} are allowed", max = super::load::MAX_COMPONENT)]
    Size(u64),
    /// The pinned digest is another.
    #[error("its SHA-256 is {found}, and the config pins {pinned}: the file is not the one that was pinned")]
    Digest {
        /// The config's, in hexadecimal.
        pinned: String,
        /// The file's, in hexadecimal.
        found: String,
    },
    /// Machine code.
    #[error("this is compiled machine code, which is never loaded; give the component (.wasm) itself")]
    Precompiled,
    /// A core module.
    #[error(
        "this is a core module, not a component; build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// Nothing of WebAssembly.
    #[error("its file is not WebAssembly; `path` must name a component, as a build for `wasm32-wasip2` makes it")]
    NotWasm,
    /// Invalid, or of features that are off.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It asks for more than it was granted.
    #[error("it imports what it was not granted: {0}")]
    Imports(Ungranted),
    /// A folder of its grants is not there, or not one.
    #[error(
        "the folder {} of its grant `dirs` can't be opened: {error}; make it, or correct `dirs` under its [plugins.grants]",
        path.display()
    )]
    Dir {
        /// The folder.
        path: PathBuf,
        /// The system's word.
        error: String,
    },
    /// It is no plugin.
    #[error(
        "it exports {found}; a plugin exports either `exoclaw:plugin/tool@0.1.0` or `exoclaw:plugin/channel@0.1.0`"
    )]
    Exports {
        /// What it exports.
        found: String,
    },
    /// Its imports or exports have other types than the contract's.
    #[error("it does not fit the contract exoclaw:plugin@0.1: {0}")]
    Contract(String),
    /// It consists of too much.
    #[error("it has {memories} memories and {tables} tables, more than one call may take")]
    Resources {
        /// Linear memories of one instance.
        memories: u32,
        /// Tables of one instance.
        tables: u32,
    },
    /// It did not answer what it was asked at load.
    #[error("`{function}` failed: {error}")]
    Call {
        /// What was asked.
        function: &'static str,
        /// What came of it.
        error: CallError,
    },
    /// Its own schema of its settings is none.
    #[error("the JSON Schema of its settings: {0}")]
    SettingsSchema(SchemaError),
    /// The config's settings do not fit its schema.
    #[error("its settings in the config: {0}")]
    Settings(Violations),
    /// A tool plugin without tools, or with too many.
    #[error("it defines {0} tools; 1 to {max} are allowed", max = super::load::MAX_TOOLS)]
    ToolCount(usize),
    /// A name that models do not take.
    #[error("it defines a tool named {0:?}; a name is 1 to 64 of a-z, A-Z, 0-9, `_` and `-`")]
    ToolName(String),
    /// Two tools of one name.
    #[error("it defines the tool `{0}` twice")]
    DuplicateTool(String),
    /// Two plugins with tools of one name.
    #[error("its tool `{tool}` has the name of a tool of plugin `{other}`; load one of the two")]
    Collision {
        /// The name.
        tool: String,
        /// The plugin that had it first.
        other: PluginName,
    },
    /// A title or description that is none, or a book.
    #[error("the tool `{tool}` has a {part} of {bytes} bytes; 1 to {max} are allowed")]
    ToolText {
        /// The tool.
        tool: String,
        /// `title` or `description`.
        part: &'static str,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// A schema of a tool that is none.
    #[error("the tool `{tool}`, its {part}: {error}")]
    ToolSchema {
        /// The tool.
        tool: String,
        /// `input-schema` or `output-schema`.
        part: &'static str,
        /// What is wrong with it.
        error: SchemaError,
    },
}

/// Where a limit of a plugin stands in the config.
const LIMITS: &str = "`[limits.plugin]` or the plugin's own `[plugins.limits]`";

/// Why a call has no result. The texts are fit for a model to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The arguments do not fit; the plugin was not called.
    #[error("the arguments do not fit the tool's schema: {0}")]
    InvalidArguments(Violations),
    /// The arguments are too long; the plugin was not called.
    #[error("the arguments have {bytes} bytes, and {limit} are allowed")]
    ArgumentsTooLarge {
        /// Their length.
        bytes: usize,
        /// What is allowed.
        limit: ByteSize,
    },
    /// The plugin answered with an error.
    #[error("{0}")]
    Plugin(PluginError),
    /// The plugin's code failed.
    #[error("the plugin crashed: {0}")]
    Trap(TrapClass),
    /// The plugin called `exit`.
    #[error("the plugin exited with status {0} instead of answering")]
    Exit(i32),
    /// It ran for longer than it may.
    #[error("the plugin took longer than its limit of {0:?} and was stopped (its owner sets `time` in {LIMITS})")]
    Timeout(Duration),
    /// It computed for longer than it may.
    #[error(
        "the plugin computed for longer than its limit of {0:?} and was stopped (its owner sets `cpu` in {LIMITS})"
    )]
    Cpu(Duration),
    /// It asked for more memory than it may have, and failed.
    #[error(
        "the plugin needed more memory than its limit of {0} and was stopped (its owner sets `memory` in {LIMITS})"
    )]
    Memory(ByteSize),
    /// It called the host without end.
    #[error("the plugin called the host more than {0} times and was stopped (its owner sets `host_calls` in {LIMITS})")]
    HostCalls(u32),
    /// It took more of the host's handles (timers, streams, requests) than one call may hold.
    #[error("the plugin held more than {0} of the host's handles at once and was stopped")]
    Handles(usize),
    /// What it returned, or handed to the host, is not of the type that its interface says.
    #[error("the plugin broke its interface: {0}")]
    Abi(String),
    /// It returned, or handed to the host, too much.
    #[error("the plugin's result is larger than its limit of {0} (its owner sets `result` in {LIMITS})")]
    ResultTooLarge(ByteSize),
    /// It returned what is not what it says.
    #[error("the plugin's result is invalid: {0}")]
    InvalidResult(String),
    /// All slots stayed taken for as long as a call may take.
    #[error(
        "too many calls run at once; try again later (its owner sets `concurrency` in {LIMITS}, and `turns` in \
         `[limits]`)"
    )]
    Busy,
    /// It was called too often; this call did not reach it.
    #[error(
        "the plugin may be called {limit} times a minute; try again in {retry_in:?} (its owner sets `rate` in {LIMITS})"
    )]
    Rate {
        /// Calls a minute.
        limit: u32,
        /// When there is room for one more, in whole milliseconds.
        retry_in: Duration,
    },
    /// It failed again and again; this call did not reach it.
    #[error("the plugin keeps failing and is not called for now; try again in {retry_in:?}; its last failure: {last}")]
    Quarantined {
        /// When it is tried again, in whole seconds.
        retry_in: Duration,
        /// How it failed.
        last: String,
    },
    /// The host could not do what the guest asked of it.
    #[error("the call failed in the host: {0}")]
    Host(String),
}

impl CallError {
    /// The same in words that hold nothing of what the call was about, for those who had no part
    /// in it.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::InvalidResult(_) => "the plugin's result is invalid".into(),
            Self::Abi(_) => "the plugin broke its interface".into(),
            Self::Host(_) => "the call failed in the host".into(),
            Self::Plugin(_) => "the plugin answered with an error".into(),
            Self::InvalidArguments(_) => "the arguments do not fit the tool's schema".into(),
            other => other.to_string(),
        }
    }
}

/// An error that a plugin returns: `types.error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// `invalid-input`.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// `unsupported`.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// `unavailable`.
    #[error("not available now; try again in {0:?}")]
    Unavailable(Duration),
    /// `failed`.
    #[error("{0}")]
    Failed(String),
}

/// How a plugin's code failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TrapClass {
    /// It reached code that it says is unreachable: a panic or an abort, mostly.
    #[error("it panicked or aborted")]
    Unreachable,
    /// It called too deep.
    #[error("its stack overflowed")]
    Stack,
    /// It reached beyond a memory or a table.
    #[error("it reached beyond its memory")]
    Bounds,
    /// It divided by zero or overflowed.
    #[error("its arithmetic failed")]
    Arithmetic,
    /// Anything else: a call of the wrong type, a null reference, a broken promise of its ABI.
    #[error("its code is broken")]
    Other,
}

impl From<wasmtime::Trap> for TrapClass {
    fn from(trap: wasmtime::Trap) -> Self {
        use wasmtime::Trap;
        match trap {
            Trap::UnreachableCodeReached => Self::Unreachable,
            Trap::StackOverflow => Self::Stack,
            Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::HeapMisaligned => Self::Bounds,
            Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => Self::Arithmetic,
            _ => Self::Other,
        }
    }
}
