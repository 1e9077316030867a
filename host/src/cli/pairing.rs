//! `exoclaw pairing`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::channel::{all, call, connect, show};
use super::client::ClientError;
use super::{CliError, Exit, Reach, output};
use crate::config::Loaded;
use crate::text;

/// Who a stranger is takes a look of the owner's: names can be chosen by anyone.
#[derive(Debug, Subcommand)]
pub(super) enum PairingCommand {
    /// List who was let in, and who asks to be
    List {
        /// A channel [default: all of them]
        channel: Option<String>,
        #[command(flatten)]
        reach: Reach,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let someone in, by the code that the channel showed them
    #[command(after_help = "\
A code holds for an hour. It lets in one person directly, or one group; upper and lower case are the same.

Example:
  exoclaw pairing approve K7QM2XPA")]
    Approve {
        /// The code
        code: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Take someone out who was let in, or who asks to be
    #[command(after_help = "\
Examples:
  exoclaw pairing remove telegram 123456789
  exoclaw pairing remove telegram -1001234567890 --group")]
    Remove {
        /// The channel
        channel: String,
        /// The platform's id of the person or group, as `exoclaw pairing list` shows it
        #[arg(allow_negative_numbers = true)]
        id: String,
        /// A group, and not a person
        #[arg(long)]
        group: bool,
        /// The bot's account that was written to [default: all of them]
        #[arg(long, value_name = "ID")]
        account: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
}

pub(super) async fn run(command: PairingCommand, loaded: Loaded) -> Result<Exit, CliError> {
    match command {
        PairingCommand::List { channel, reach, json } => {
            let mut client = connect(&reach, &loaded).await?;
            let params = channel.map_or_else(|| json!({}), |channel| json!({ "channel": channel }));
            let pairings = all(&mut client, "pairing.list", "pairings", params).await?;
            client.close().await;
            show("pairings", pairings, json)
        }
        PairingCommand::Approve { code, reach } => {
            let answer = call(&reach, &loaded, "pairing.approve", &json!({ "code": code })).await?;
            let pairing: Value = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
            let said = |name: &str| text::one_line(pairing[name].as_str().unwrap_or("?"), 200);
            let (id, channel) = (said("id"), said("channel"));
            let line = match (pairing["kind"].as_str(), pairing["name"].as_str()) {
                (Some("group"), _) => format!("the group {id} on {channel} is let in, with all in it\n"),
                (_, Some(_)) => format!("{} ({id}) on {channel} is let in\n", said("name")),
                (_, None) => format!("{id} on {channel} is let in\n"),
            };
            output::print(line.as_bytes())?;
            Ok(Exit::Done)
        }
        PairingCommand::Remove { channel, id, group, account, reach } => {
            let kind = if group { "group" } else { "direct" };
            let mut params = json!({ "channel": channel, "kind": kind, "id": id });
            if let Some(account) = account {
                params["account"] = account.into();
            }
            call(&reach, &loaded, "pairing.remove", &params).await?;
            let (id, channel) = (text::one_line(&id, 200), text::one_line(&channel, 200));
            output::print(format!("{id} may no longer write on {channel}\n").as_bytes())?;
            Ok(Exit::Done)
        }
    }
}
