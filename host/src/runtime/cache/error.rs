//! Why compiled code cannot be kept on disk.

use std::io;
use std::path::PathBuf;

/// Why compiled code cannot be kept. Plugins are compiled instead.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder cannot be made or opened.
    #[error("the folder for compiled code {}: {error}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// It leads somewhere else.
    #[error("{} is not a folder but {found}; remove it, and a folder is made in its place", path.display())]
    NotAFolder {
        /// What should be the folder.
        path: PathBuf,
        /// What it is: `a symbolic link`, `a file`.
        found: &'static str,
    },
    /// It is somebody else's, who could put anything into it.
    #[error(
        "the folder for compiled code {} belongs to user {owner}, not to user {user} who runs this; remove it, and one is made",
        path.display()
    )]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others could have put anything into it.
    #[error(
        "the folder for compiled code {} is open to others (mode {mode:04o}), who could have put code into it; \
         remove it with all that is in it, and it is made again with mode 0700",
        path.display()
    )]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The key is not one that we made.
    #[error("the key of compiled code {}: {why}; remove the folder that it is in, and both are made again", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing can be written there.
    #[error("{}: {error}", path.display())]
    Write {
        /// The file that was to be.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The code is larger than any that is kept.
    #[error("the code has {0} bytes, and at most {max} are kept", max = super::MAX_FILE)]
    Size(u64),
    /// The engine cannot put it into bytes.
    #[error("the engine does not hand out its code: {0}")]
    Serialize(String),
    /// It was compiled by another engine than the one that it is kept for.
    #[error("the code is another engine's")]
    Engine,
    /// Folders have no owner and no mode here.
    #[error("this system cannot tell whether a folder is its owner's alone")]
    Platform,
}
