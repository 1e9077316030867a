//! `exoclaw data`: what the owner does with a store from outside of a gateway.

mod export;
mod import;
mod lines;
mod maintain;
mod place;
mod progress;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::storage::{self, Storage};
use super::{CliError, Exit};
use crate::config::{Loaded, StorageUrl};
use crate::store::sqlite::OpenError;

/// `exoclaw data`.
#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Write everything that a store holds, as JSON Lines
    #[command(after_help = "\
The first line says which version wrote it, the last one how many records there are. No gateway may use the
store meanwhile; of one in use, make a copy with `exoclaw data backup` and export that.

Examples:
  exoclaw data export all.jsonl
  exoclaw data export | zstd > all.jsonl.zst
  exoclaw data export --store sqlite:monday.db all.jsonl")]
    Export {
        /// The file to write [default: standard output]
        file: Option<PathBuf>,
        #[command(flatten)]
        store: StoreArgs,
        /// Overwrite the file, if it is there
        #[arg(long)]
        force: bool,
    },
    /// Store what an export holds; what is there already stays as it is
    #[command(after_help = "\
A file is looked through before anything of it is stored. An import that was cut can be run again.

Examples:
  exoclaw data import all.jsonl
  zstd -dc all.jsonl.zst | exoclaw data import -")]
    Import {
        /// An export; `-` for standard input
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Copy a store to a file, also while a gateway uses it
    #[command(after_help = "\
The copy is of one moment, and a store itself: put it in the place of the other to restore it, or name it with
`--store sqlite:FILE`.

Example:
  exoclaw data backup monday.db")]
    Backup {
        /// The copy
        file: PathBuf,
        #[command(flatten)]
        store: StoreArgs,
        /// Overwrite the file, if it is there
        #[arg(long)]
        force: bool,
    },
    /// Look whether a store is whole
    #[command(after_help = "Exits with 0 where it is, with 1 where it is not.")]
    Verify {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Give the disk back what a store does not need any more
    #[command(after_help = "\
No gateway may use the store meanwhile. Until it is done, it takes up to twice the room that the store has.")]
    Compact {
        #[command(flatten)]
        store: StoreArgs,
    },
}

/// Which store.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct StoreArgs {
    /// The store, such as sqlite:copy.db [default: from the config file]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// Runs a command. It blocks: there is nothing else to do in this process.
pub(super) fn run(command: DataCommand, mut loaded: Loaded) -> Result<Exit, CliError> {
    let (DataCommand::Export { store, .. }
    | DataCommand::Import { store, .. }
    | DataCommand::Backup { store, .. }
    | DataCommand::Verify { store }
    | DataCommand::Compact { store }) = &command;
    if let Some(url) = &store.store {
        loaded.config.storage.url = url_of(url, &loaded)?;
    }
    let path = storage::file(&loaded.config, &loaded.home)?.ok_or_else(|| {
        CliError::Usage(
            "a store in memory cannot be reached from here: it is the gateway's own, and goes with it; name another \
             with `--store sqlite:PATH`"
                .to_owned(),
        )
    })?;
    let to = match &command {
        DataCommand::Export { file, .. } => file.as_deref(),
        DataCommand::Backup { file, .. } => Some(file.as_path()),
        _ => None,
    };
    if let Some(to) = to.filter(|to| is_same(to, &path)) {
        return Err(CliError::Usage(format!("{} is the store itself; choose another name", to.display())));
    }
    match command {
        DataCommand::Export { file, force, .. } => export::run(file.as_deref(), force, &path, &loaded),
        DataCommand::Import { file, .. } => import::run(&file, &loaded),
        DataCommand::Backup { file, force, .. } => maintain::backup(&path, &file, force),
        DataCommand::Verify { .. } => maintain::verify(&path),
        DataCommand::Compact { .. } => maintain::compact(&storage::options(&loaded.config, &path)),
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// An address on the command line: its path starts where the shell is.
fn url_of(text: &str, loaded: &Loaded) -> Result<StorageUrl, CliError> {
    let here = std::env::current_dir()?;
    StorageUrl::parse(text, |path| loaded.home.resolve(path, &here))
        .map_err(|error| CliError::Usage(format!("`--store {text}`: {error}; {}", error.help())))
}

/// A store that is open, and what runs its operations.
struct Session {
    runtime: tokio::runtime::Runtime,
    storage: Storage,
}

impl Session {
    /// Opens the config's store, which is made where there is none.
    fn open(loaded: &Loaded) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let storage = runtime.block_on(Storage::open_aside(&loaded.config, &loaded.home))?;
        Ok(Self { runtime, storage })
    }

    /// Opens the config's store, which must be there.
    fn existing(path: &Path, loaded: &Loaded) -> Result<Self, CliError> {
        match path.try_exists() {
            Ok(false) => Err(OpenError::Missing { path: path.to_owned() }.into()),
            // What is in the way is told by who opens it.
            Ok(true) | Err(_) => Self::open(loaded),
        }
    }
}
