//! `exoclaw plugin`.

use std::path::Path;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, PluginCommand, new, output, plugins, table};
use crate::config::Loaded;

/// Items of one page of a list.
const PAGE: usize = 500;

pub(super) async fn run(command: PluginCommand, loaded: Loaded) -> Result<Exit, CliError> {
    let (answer, json) = match command {
        PluginCommand::List { reach, json } => {
            let mut client = Client::connect(&Target::find(reach.url.as_deref(), &loaded)?).await?;
            let plugins = list(&mut client).await?;
            client.close().await;
            (plugins, json)
        }
        PluginCommand::Inspect { plugin, json, .. } if is_file(&plugin) => {
            (inspect_file(Path::new(&plugin), &loaded).await?, json)
        }
        PluginCommand::Inspect { plugin, reach, json } => {
            let mut client = Client::connect(&Target::find(reach.url.as_deref(), &loaded)?).await?;
            let answer = client.call("plugin.inspect", &json!({ "name": plugin })).await?;
            client.close().await;
            (answer, json)
        }
        PluginCommand::New(args) => return new::run(&args),
    };
    if json {
        output::print_json(&answer)?;
    } else {
        output::print(table::render(&answer)?.as_bytes())?;
    }
    Ok(Exit::Done)
}

/// Names of plugins have neither dots nor slashes.
fn is_file(plugin: &str) -> bool {
    plugin.contains(['.', '/', std::path::MAIN_SEPARATOR])
}

/// What a component file is, without a gateway.
async fn inspect_file(path: &Path, loaded: &Loaded) -> Result<Box<RawValue>, CliError> {
    let plugin = plugins::load_file(path, &loaded.config).await?;
    to_raw_value(&plugin.info()).map_err(CliError::failed)
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
