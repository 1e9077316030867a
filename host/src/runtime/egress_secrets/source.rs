//! The secrets of a plugin's grants, from where its owner says that they are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::{PluginName, SecretGrant, SecretSource};
use crate::home::Home;
use crate::secrets::{CommandError, MIN_PLUGIN_SECRET, Secret, SecretError, command, credentials};

/// What keeps a plugin's secrets from being used: all of it, so that one look mends it.
#[derive(Debug, thiserror::Error)]
pub struct Unresolved {
    /// Whose they are.
    pub plugin: PluginName,
    /// By the names that the plugin has for them. Never empty.
    pub secrets: BTreeMap<String, SourceError>,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secrets.len() {
            1 => write!(f, "plugin `{}`: a secret that its grants name cannot be used", self.plugin)?,
            count => write!(f, "plugin `{}`: {count} secrets that its grants name cannot be used", self.plugin)?,
        }
        for (name, error) in &self.secrets {
            write!(f, "\n  `{name}`: {error}")?;
        }
        Ok(())
    }
}

/// Why one secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is nowhere.
    #[error("it is not there; {0}")]
    Missing(Remedy),
    /// It is there, and is of no use.
    #[error(transparent)]
    Unusable(#[from] SecretError),
    /// Its program failed.
    #[error("no secret from the program `{program}`: {error}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// Why.
        error: CommandError,
    },
    /// Too short.
    #[error(
        "it is shorter than {MIN_PLUGIN_SECRET} bytes, so that it could be guessed, and an echo of it not be told from \
         other text; have a longer one made"
    )]
    Short,
    /// The task that reads files was lost, since the gateway goes down.
    #[error("it was not read, since the gateway is going down")]
    Stopped,
}

/// Where a missing secret is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    variable: Option<String>,
    /// None: there is no home folder.
    file: Option<String>,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = match &self.variable {
            Some(variable) => {
                write!(f, "set the variable {variable}")?;
                ", or "
            }
            None => "",
        };
        match &self.file {
            Some(file) => write!(f, "{join}put it into the file {file}, with mode 0600 in a folder of mode 0700"),
            None => write!(f, "{join}set HOME or EXOCLAW_HOME, in whose `credentials` folder it is looked for"),
        }
    }
}

/// Finds every secret of a plugin's grants. Programs run one after the other, at most 30 s each:
/// two that ask for the same key's touch at once would confuse whoever sits there.
///
/// # Errors
/// Some are missing or of no use: all of those.
pub async fn resolve(
    plugin: &PluginName,
    grants: &BTreeMap<String, SecretGrant>,
    home: &Home,
) -> Result<BTreeMap<String, Secret>, Unresolved> {
    let mut found = BTreeMap::new();
    let mut failed = BTreeMap::new();
    for (name, grant) in grants {
        match one(plugin, name, &grant.source, home, command::DEADLINE).await {
            Ok(secret) => drop(found.insert(name.clone(), secret)),
            Err(error) => drop(failed.insert(name.clone(), error)),
        }
    }
    if failed.is_empty() { Ok(found) } else { Err(Unresolved { plugin: plugin.clone(), secrets: failed }) }
}

async fn one(
    plugin: &PluginName,
    name: &str,
    source: &SecretSource,
    home: &Home,
    deadline: Duration,
) -> Result<Secret, SourceError> {
    let secret = match source {
        SecretSource::Environment(variable) => stored(format!("{plugin}.{name}"), variable.clone(), home).await?,
        SecretSource::File(file) => stored(file.clone(), String::new(), home).await?,
        SecretSource::Command(argv) => printed(argv, deadline).await?,
    };
    if secret.expose().len() < MIN_PLUGIN_SECRET { Err(SourceError::Short) } else { Ok(secret) }
}

/// From the environment or a file, away from the threads that serve.
async fn stored(name: String, variable: String, home: &Home) -> Result<Secret, SourceError> {
    let home = home.clone();
    let work = move || match credentials::load(&name, &variable, &home)? {
        Some(secret) => Ok(secret),
        None => Err(SourceError::Missing(Remedy {
            variable: Some(variable).filter(|variable| !variable.is_empty()),
            file: home.credentials().map(|folder| folder.join(format!("{name}.key")).display().to_string()),
        })),
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(SourceError::Stopped))
}

async fn printed(argv: &[String], deadline: Duration) -> Result<Secret, SourceError> {
    let program = || argv.first().cloned().unwrap_or_default();
    let line = command::first_line(argv, deadline)
        .await
        .map_err(|error| SourceError::Command { program: program(), error })?;
    Ok(credentials::key(line, || format!("the first line of the program {}", program()))?)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn home(root: &std::path::Path) -> Home {
        Home::find(&|name| (name == "EXOCLAW_HOME").then(|| root.into()))
    }

    fn grants(sources: &[(&str, SecretSource)]) -> BTreeMap<String, SecretGrant> {
        let hosts = vec!["api.example.com".parse().unwrap()];
        let grant = |source: &SecretSource| SecretGrant { source: source.clone(), hosts: hosts.clone(), place: None };
        sources.iter().map(|(name, source)| ((*name).to_owned(), grant(source))).collect()
    }

    fn key(root: &std::path::Path, name: &str, text: &str, mode: u32) {
        let folder = root.join("credentials");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        let file = folder.join(format!("{name}.key"));
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn program(script: &str) -> SecretSource {
        SecretSource::Command(["sh", "-c", script].map(str::to_owned).into())
    }

    async fn resolve_at(
        root: &std::path::Path,
        sources: &[(&str, SecretSource)],
    ) -> Result<BTreeMap<String, String>, String> {
        let found = resolve(&"weather".parse().unwrap(), &grants(sources), &home(root)).await;
        found
            .map(|found| found.into_iter().map(|(name, secret)| (name, secret.expose().to_owned())).collect())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn secrets_come_from_where_the_grants_say() {
        let root = tempfile::tempdir().unwrap();
        key(root.path(), "weather.token", "from-its-own-file\n", 0o600);
        key(root.path(), "shared", "from-a-named-file\n", 0o400);
        let sources = [
            // The tests' own environment has this one.
            ("path", SecretSource::Environment("PATH".into())),
            ("token", SecretSource::Environment("EXOCLAW_TEST_UNSET".into())),
            ("shared", SecretSource::File("shared".into())),
            ("printed", program("echo from-a-program; echo more")),
        ];
        let found = resolve_at(root.path(), &sources).await.unwrap();
        assert_eq!(found["path"], std::env::var("PATH").unwrap());
        assert_eq!(found["token"], "from-its-own-file");
        assert_eq!(found["shared"], "from-a-named-file");
        assert_eq!(found["printed"], "from-a-program");
    }

    #[tokio::test]
    async fn all_that_is_wrong_is_told_at_once_with_what_to_do_and_no_secret() {
        let root = tempfile::tempdir().unwrap();
        key(root.path(), "open", "hunter2-hunter2", 0o644);
        key(root.path(), "short", "hunter2", 0o600);
        let sources = [
            ("unset", SecretSource::Environment("EXOCLAW_TEST_UNSET".into())),
            ("absent", SecretSource::File("absent".into())),
            ("open", SecretSource::File("open".into())),
            ("short", SecretSource::File("short".into())),
            ("failing", program("echo hunter2-hunter2; exit 3")),
            ("empty", program("true")),
            ("strange", program(r"printf 'hunter2\007hunter2'")),
            ("fine", program("echo hunter2-hunter2")),
        ];
        let error = resolve_at(root.path(), &sources).await.unwrap_err();
        let folder = root.path().join("credentials");
        for says in [
            "plugin `weather`: 7 secrets that its grants name cannot be used".to_owned(),
            format!(
                "`unset`: it is not there; set the variable EXOCLAW_TEST_UNSET, or put it into the file {}",
                folder.join("weather.unset.key").display()
            ),
            format!("`absent`: it is not there; put it into the file {}", folder.join("absent.key").display()),
            format!("chmod 600 {}", folder.join("open.key").display()),
            "`short`: it is shorter than 8 bytes".to_owned(),
            "`failing`: no secret from the program `sh`: it ended with exit status: 3".to_owned(),
            "`empty`: the first line of the program sh is empty".to_owned(),
            "`strange`: what the first line of the program sh holds is no key".to_owned(),
        ] {
            assert!(error.contains(&says), "{says:?} is not in {error}");
        }
        assert!(!error.contains("hunter2") && !error.contains("`fine`"), "{error}");
    }

    #[tokio::test]
    async fn without_a_home_it_is_said_how_to_have_one() {
        let source = [("token", SecretSource::File("token".into()))];
        let error = resolve(&"weather".parse().unwrap(), &grants(&source), &Home::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin `weather`: a secret that its grants name cannot be used\n  `token`: it is not there; \
             set HOME or EXOCLAW_HOME, in whose `credentials` folder it is looked for"
        );
    }
}
