//! From what was typed to a component that can be looked at, tested or called.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::super::{CliError, plugins};
use super::args::Subject;
use crate::config::{Config, GrantsConfig, Loaded, PluginName};
use crate::runtime::{Linkage, LoadError, LoadProblem, PluginSpec, Runtime, Source};
use crate::store::SessionKey;

/// The longest text that is read from a file or from standard input, in bytes.
const MAX_TEXT: u64 = 16 << 20;

/// Whether this is a file or a bundled plugin. Names of plugins have neither dots nor slashes.
pub(in crate::cli) fn is_component(text: &str) -> bool {
    text.contains(['.', '/', ':', std::path::MAIN_SEPARATOR])
}

/// A file, or `bundled:NAME`; and a name for it.
pub(super) fn source(text: &str) -> Result<(Source, PluginName), CliError> {
    let Some(name) = text.strip_prefix("bundled:") else {
        let path = Path::new(text);
        return Ok((Source::File(path.to_owned()), plugins::name_of(path)));
    };
    let guest = exoclaw_bundle::find(name).ok_or_else(|| {
        let known: Vec<&str> = exoclaw_bundle::GUESTS.iter().map(|guest| guest.name).collect();
        CliError::Usage(format!("`{text}` is not in this binary; it has {}", known.join(", ")))
    })?;
    Ok((Source::Bundled(guest), plugins::name_of(Path::new(name))))
}

impl Subject {
    /// The component with what it runs under: nothing, unless it is granted. `linkage` says what
    /// becomes of what it imports and was not granted.
    pub(super) async fn spec(&self, loaded: &Loaded, linkage: Linkage) -> Result<PluginSpec, CliError> {
        let (source, name) = source(&self.file)?;
        let mut spec = match &self.like {
            // The digest that the config pins is that of another file.
            Some(like) => PluginSpec { source, sha256: None, ..plugins::configured(like, loaded).await? },
            None => PluginSpec {
                limits: loaded.config.limits.plugin,
                grants: self.grants()?,
                linkage,
                ..PluginSpec::new(name, source)
            },
        };
        if let Some(settings) = &self.settings {
            spec.settings = object(&text(settings)?)?;
        }
        // How often and how many at once is what a gateway is protected from, and this is none.
        spec.limits.rate = u32::MAX;
        spec.secrets = plugins::found_secrets(&spec, &loaded.home).await?;
        Ok(spec)
    }

    fn grants(&self) -> Result<GrantsConfig, CliError> {
        if self.grant.is_empty() {
            return Ok(GrantsConfig::default());
        }
        let lines = self.grant.join("\n");
        let text = format!("[[plugins]]\nname = \"granted\"\npath = \"bundled:echo\"\n[plugins.grants]\n{lines}\n");
        let mut config = Config::parse(&text, Path::new("--grant")).map_err(crate::config::LoadError::Invalid)?;
        match (config.plugins.pop(), config.plugins.is_empty()) {
            (Some(plugin), true) if plugin.name.as_str() == "granted" => Ok(plugin.grants),
            _ => Err(CliError::Usage("--grant takes lines of [plugins.grants] and nothing else".into())),
        }
    }

    /// Where it runs: with a way out only for those who may send something.
    pub(super) async fn runtime(
        &self,
        spec: &PluginSpec,
        loaded: &Loaded,
        session: &SessionKey,
        at_once: usize,
    ) -> Result<Runtime, CliError> {
        plugins::workshop(loaded, session, !spec.grants.http.is_empty(), at_once).await
    }
}

/// What keeps a component from being tried: the owner's mistake, mostly.
pub(super) fn refused(error: LoadError) -> CliError {
    match *error.problem {
        LoadProblem::Settings(_) => CliError::Usage(format!("{error}\ngive others with --settings")),
        LoadProblem::Bundled { .. } | LoadProblem::Read { .. } | LoadProblem::Digest { .. } => {
            CliError::Usage(error.to_string())
        }
        _ => CliError::failed(error),
    }
}

/// What an argument stands for: itself, the content of `@FILE`, or with `-` standard input.
pub(super) fn text(argument: &str) -> Result<String, CliError> {
    let read = |reader: &mut dyn std::io::Read, what: &str| {
        let mut text = String::new();
        let result = reader.take(MAX_TEXT + 1).read_to_string(&mut text);
        match result {
            Ok(_) if text.len() as u64 > MAX_TEXT => Err(CliError::Usage(format!("{what} is longer than 16 MiB"))),
            Ok(_) => Ok(text),
            Err(error) => Err(CliError::Usage(format!("cannot read {what}: {error}"))),
        }
    };
    match (argument, argument.strip_prefix('@')) {
        ("-", _) => read(&mut std::io::stdin().lock(), "standard input"),
        (_, Some(path)) => {
            let mut file =
                std::fs::File::open(path).map_err(|error| CliError::Usage(format!("cannot read {path}: {error}")))?;
            read(&mut file, path)
        }
        (text, None) => Ok(text.to_owned()),
    }
}

fn object(text: &str) -> Result<Map<String, Value>, CliError> {
    serde_json::from_str(text)
        .map_err(|error| CliError::Usage(format!("the settings must be a JSON object, such as {{\"a\": 1}}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(grant: &[&str]) -> Subject {
        let grant = grant.iter().map(|line| (*line).to_owned()).collect();
        Subject { file: "bundled:echo".into(), settings: None, like: None, grant }
    }

    #[test]
    fn grants_are_written_as_in_the_config() {
        let grants = subject(&["store = true", "http = [\"api.example.com\"]"]).grants().unwrap();
        assert!(grants.store && grants.http.len() == 1);
        let wrong = subject(&["stor = true"]).grants().unwrap_err();
        assert_eq!(wrong.exit(), super::super::super::Exit::Usage);
        assert!(wrong.to_string().contains("store"), "{wrong}");
        let more = "store = true\n[[plugins]]\nname = \"granted\"\npath = \"bundled:clock\"";
        assert!(subject(&[more]).grants().is_err());
    }

    #[test]
    fn components_are_told_from_names() {
        assert!(is_component("./a") && is_component("a.wasm") && is_component("bundled:echo") && !is_component("echo"));
        assert!(source("bundled:ecko").unwrap_err().to_string().contains("echo"));
    }
}
