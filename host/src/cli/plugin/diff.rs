//! `exoclaw plugin diff`.

use serde_json::json;
use serde_json::value::to_raw_value;

use super::super::client::{Client, Target};
use super::super::{CliError, Exit, output, plugins};
use super::args::DiffArgs;
use super::subject;
use crate::config::Loaded;
use crate::kit;
use crate::kit::diff::Diff;
use crate::kit::view::PluginView;
use crate::runtime::{Linkage, PluginInfo, PluginSpec};

pub(super) async fn run(args: DiffArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let url = args.reach.url.as_deref();
    let (old, new) = (view(&args.old, url, &loaded).await?, view(&args.new, url, &loaded).await?);
    let diff = Diff::of(&old, &new);
    if args.json {
        output::print_json(&to_raw_value(&diff).map_err(CliError::failed)?)?;
    } else {
        output::print(diff.to_text().as_bytes())?;
    }
    Ok(if diff.needs_attention() { Exit::Failed } else { Exit::Done })
}

/// A component here, or a plugin by its name: as a gateway runs it, or where none answers and none
/// was named, as the config would have it.
async fn view(text: &str, url: Option<&str>, loaded: &Loaded) -> Result<PluginView, CliError> {
    if subject::is_component(text) {
        let (source, name) = subject::source(text)?;
        return plugins::look_at(source, name, loaded).await.and_then(|plugin| of(&plugin.info()));
    }
    let mut client = match Client::connect(&Target::find(url, loaded)?).await {
        Ok(client) => client,
        Err(error) if error.exit() != Exit::Unreachable || url.is_some() || !plugins::is_configured(text, loaded) => {
            return Err(error.into());
        }
        Err(_) => {
            let spec = PluginSpec { linkage: Linkage::Refusing, ..plugins::configured(text, loaded).await? };
            let plugin = plugins::workshop(loaded, &kit::session(), false, 1)
                .await?
                .load(spec)
                .await
                .map_err(subject::refused)?;
            return of(&plugin.info());
        }
    };
    let answer = client.call("plugin.inspect", &json!({ "name": text })).await?;
    client.close().await;
    serde_json::from_str(answer.get()).map_err(CliError::failed)
}

fn of(info: &PluginInfo) -> Result<PluginView, CliError> {
    PluginView::of(info).map_err(CliError::failed)
}
