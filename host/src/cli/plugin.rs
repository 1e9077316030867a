//! `exoclaw plugin`.

pub(super) mod args;
mod bench;
mod call;
mod diff;
mod inspect;
mod subject;
mod test;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, PluginCommand, output, plugins, table};
use crate::config::Loaded;

/// Items of one page of a list.
const PAGE: usize = 500;

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
        let plugin = plugins::look_at(source, name, &loaded.config).await?;
        return to_raw_value(&plugin.info()).map_err(CliError::failed);
    }
    let mut client = Client::connect(&Target::find(url, loaded)?).await?;
    let answer = client.call("plugin.inspect", &json!({ "name": plugin })).await?;
    client.close().await;
    Ok(answer)
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
