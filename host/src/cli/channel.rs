//! `exoclaw channel`.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, Reach, output, table};
use crate::config::Loaded;
use crate::text;

/// Items of a page.
const PAGE: u64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// List the channels of a running gateway: how each is, what came and what went
    List {
        #[command(flatten)]
        reach: Reach,
        /// Print the gateway's answer as it is
        #[arg(long)]
        json: bool,
    },
    /// List events that a channel's plugin did not get past
    #[command(after_help = "\
An event is set aside when the plugin failed on it three times. `exoclaw channel replay` puts it to the plugin
again, once that was mended; `exoclaw channel drop` forgets it.

Examples:
  exoclaw channel events
  exoclaw channel events slack --json | jq .events")]
    Events {
        /// A channel [default: all of them]
        channel: Option<String>,
        #[command(flatten)]
        reach: Reach,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put an event that was set aside to its channel again
    Replay {
        /// The event's number in `exoclaw channel events`
        id: u64,
        #[command(flatten)]
        reach: Reach,
    },
    /// Forget an event that was set aside, and what was in it
    Drop {
        /// The event's number in `exoclaw channel events`
        id: u64,
        #[command(flatten)]
        reach: Reach,
    },
}

pub(super) async fn run(command: ChannelCommand, loaded: Loaded) -> Result<Exit, CliError> {
    match command {
        ChannelCommand::List { reach, json } => {
            let mut client = connect(&reach, &loaded).await?;
            let channels = all(&mut client, "channel.list", "channels", json!({})).await?;
            client.close().await;
            show("channels", channels, json)
        }
        ChannelCommand::Events { channel, reach, json } => {
            let mut client = connect(&reach, &loaded).await?;
            let params = channel.map_or_else(|| json!({}), |channel| json!({ "channel": channel }));
            let events = all(&mut client, "channel.events", "events", params).await?;
            client.close().await;
            show("events", events, json)
        }
        ChannelCommand::Replay { id, reach } => {
            #[derive(Deserialize)]
            struct Replayed {
                replayed: bool,
                reason: Option<String>,
            }
            let answer = call(&reach, &loaded, "channel.replay", &json!({ "id": id })).await?;
            let Replayed { replayed, reason } = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
            if replayed {
                output::print(format!("event {id}: the channel is past it\n").as_bytes())?;
                return Ok(Exit::Done);
            }
            let reason = text::one_line(reason.as_deref().unwrap_or("the gateway does not say why"), 400);
            output::print(format!("event {id} stays set aside: {reason}\n").as_bytes())?;
            Ok(Exit::Failed)
        }
        ChannelCommand::Drop { id, reach } => {
            call(&reach, &loaded, "channel.drop", &json!({ "id": id })).await?;
            output::print(format!("event {id} is forgotten\n").as_bytes())?;
            Ok(Exit::Done)
        }
    }
}

pub(super) async fn connect(reach: &Reach, loaded: &Loaded) -> Result<Client, CliError> {
    Ok(Client::connect(&Target::find(reach.url.as_deref(), loaded)?).await?)
}

/// One question to a gateway.
pub(super) async fn call(
    reach: &Reach,
    loaded: &Loaded,
    method: &str,
    params: &Value,
) -> Result<Box<RawValue>, CliError> {
    let mut client = connect(reach, loaded).await?;
    let answer = client.call(method, params).await?;
    client.close().await;
    Ok(answer)
}

/// All pages of a list, as one.
pub(super) async fn all(
    client: &mut Client,
    method: &str,
    items: &str,
    mut params: Value,
) -> Result<Vec<Value>, CliError> {
    let mut found = Vec::new();
    params["limit"] = PAGE.into();
    loop {
        let answer = client.call(method, &params).await?;
        let mut page: Value = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
        if let Some(items) = page.get_mut(items).and_then(Value::as_array_mut) {
            found.append(items);
        }
        match page.get_mut("next").map(Value::take) {
            None | Some(Value::Null) => return Ok(found),
            // A cursor that stands still would be asked for without end.
            Some(next) if params.get("after") == Some(&next) => return Ok(found),
            Some(next) => params["after"] = next,
        }
    }
}

/// A list for people, or as the gateway gave it.
pub(super) fn show(name: &str, items: Vec<Value>, json: bool) -> Result<Exit, CliError> {
    let shown = if json { json!({ name: items }) } else { Value::Array(items) };
    let shown = serde_json::value::to_raw_value(&shown).map_err(CliError::failed)?;
    if json {
        output::print_json(&shown)?;
    } else {
        output::print(table::render(&shown)?.as_bytes())?;
    }
    Ok(Exit::Done)
}
