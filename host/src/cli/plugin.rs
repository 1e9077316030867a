//! `exoclaw plugin`.

pub(super) mod args;
mod bench;
mod call;
mod diff;
mod inspect;
mod subject;
mod test;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, PluginCommand, compile, new, output, plugins, table};
use crate::config::Loaded;
use crate::text;

pub(super) use subject::is_component;

/// Items of one page of a list.
const PAGE: usize = 500;

/// How long a reload may take: some compilers take minutes for what Python makes of a plugin.
const RELOAD: Duration = Duration::from_secs(30 * 60);

pub(super) async fn run(command: PluginCommand, loaded: Loaded) -> Result<Exit, CliError> {
    let (answer, json) = match command {
        PluginCommand::Diff(args) => return diff::run(args, loaded).await,
        PluginCommand::Test(args) => return test::run(args, loaded).await,
        PluginCommand::Call(args) => return call::run(args, loaded).await,
        PluginCommand::Bench(args) => return bench::run(args, loaded).await,
        PluginCommand::Inspect { plugin, reach, json } => {
            let answer = inspected(&plugin, reach.url.as_deref(), &loaded).await?;
            if !json {
                let seen = if subject::is_component(&plugin) { inspect::Seen::Here } else { inspect::Seen::Running };
                let view = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
                output::print(inspect::describe(&view, seen).as_bytes())?;
                return Ok(Exit::Done);
            }
            (answer, json)
        }
        PluginCommand::List { reach, json } => {
            let mut client = Client::connect(&Target::find(reach.url.as_deref(), &loaded)?).await?;
            let plugins = list(&mut client).await?;
            client.close().await;
            (plugins, json)
        }
        PluginCommand::Reload { name, reach, json } => {
            return reload(name, &Target::find(reach.url.as_deref(), &loaded)?, json).await;
        }
        PluginCommand::Compile { plugins, json } => return compile::run(&plugins, json, &loaded).await,
        PluginCommand::New(args) => return new::run(&args),
    };
    if json {
        output::print_json(&answer)?;
    } else {
        output::print(table::render(&answer)?.as_bytes())?;
    }
    Ok(Exit::Done)
}

/// What is known of a component here, or of a plugin of a running gateway.
async fn inspected(plugin: &str, url: Option<&str>, loaded: &Loaded) -> Result<Box<RawValue>, CliError> {
    if subject::is_component(plugin) {
        let (source, name) = subject::source(plugin)?;
        let plugin = plugins::look_at(source, name, loaded).await?;
        return to_raw_value(&plugin.info()).map_err(CliError::failed);
    }
    let mut client = Client::connect(&Target::find(url, loaded)?).await?;
    let answer = client.call("plugin.inspect", &json!({ "name": plugin })).await?;
    client.close().await;
    Ok(answer)
}

/// Has a gateway load plugins anew, and says what became of each.
async fn reload(name: Option<String>, target: &Target, json: bool) -> Result<Exit, CliError> {
    let mut client = Client::connect(target).await?;
    let params = name.map_or_else(|| json!({}), |name| json!({ "name": name }));
    let answer = client.call_within(RELOAD, "plugin.reload", &params).await?;
    client.close().await;
    let report: Report = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
    if json {
        output::print_json(&answer)?;
    } else {
        output::print(text::escape(&report.to_string(), &['\n']).as_bytes())?;
    }
    Ok(if report.is_refused() { Exit::Failed } else { Exit::Done })
}

/// What a person is told of the answer to `plugin.reload`.
#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    plugins: Vec<Reloaded>,
    #[serde(default)]
    restart: Vec<String>,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Reloaded {
    name: String,
    outcome: String,
    sha256: Option<String>,
    previous_sha256: Option<String>,
    reason: Option<String>,
}

impl Report {
    fn is_refused(&self) -> bool {
        self.problem.is_some() || self.plugins.iter().any(|plugin| plugin.reason.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(problem) = &self.problem {
            writeln!(f, "nothing changed: {problem}")?;
        }
        let width = self.plugins.iter().map(|plugin| plugin.name.chars().count()).max().unwrap_or(0);
        for Reloaded { name, outcome, sha256, previous_sha256, reason } in &self.plugins {
            write!(f, "{name:width$}  {outcome}")?;
            match (reason, previous_sha256, sha256) {
                (Some(reason), ..) => write!(f, ": {reason}")?,
                (None, Some(old), Some(new)) if old != new => write!(f, ", {} instead of {}", short(new), short(old))?,
                (None, _, Some(new)) => write!(f, ", {}", short(new))?,
                _ => {}
            }
            writeln!(f)?;
        }
        if !self.restart.is_empty() {
            writeln!(f, "a restart is needed for what changed in: {}", self.restart.join(", "))?;
        }
        Ok(())
    }
}

/// Enough of a digest to tell two apart.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// All pages of `plugin.list` as one list.
async fn list(client: &mut Client) -> Result<Box<RawValue>, CliError> {
    #[derive(Deserialize)]
    struct Page {
        plugins: Vec<Value>,
        #[serde(default)]
        next: Value,
    }
    let mut plugins = Vec::new();
    let mut params = json!({ "limit": PAGE });
    loop {
        let answer = client.call("plugin.list", &params).await?;
        let page: Page = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
        let more = !page.plugins.is_empty() && !page.next.is_null();
        plugins.extend(page.plugins);
        if !more {
            return to_raw_value(&plugins).map_err(|error| ClientError::Answer(error).into());
        }
        params["after"] = page.next;
    }
}
