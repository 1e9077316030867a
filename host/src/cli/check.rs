//! `exoclaw config check`.

use std::path::PathBuf;

use super::{CliError, Exit, output};
use crate::config::{Config, Loaded};

pub(super) fn run(file: Option<PathBuf>) -> Result<Exit, CliError> {
    output::print(summary(&Config::load(file)?).as_bytes())?;
    Ok(Exit::Done)
}

fn summary(loaded: &Loaded) -> String {
    let Loaded { config, path, home } = loaded;
    match path {
        Some(path) => format!(
            "{} is right: {}, {}, {}\n",
            path.display(),
            counted(config.agents.len(), "agent"),
            counted(config.plugins.len(), "plugin"),
            counted(config.bindings.len(), "binding")
        ),
        None => {
            let place = home.config_file().map_or("~/.exoclaw/config.toml".into(), |path| path.display().to_string());
            format!("there is no config file at {place}: the defaults hold\n")
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
