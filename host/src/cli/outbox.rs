//! `exoclaw outbox`: answers on their way to platforms, and those that did not arrive.

use std::io::{self, Write};

use clap::{Subcommand, ValueEnum};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, Reach, output, table};
use crate::config::Loaded;
use crate::text;

/// The most deliveries that are listed, unless the owner asks for more.
const LIST: usize = 100;

/// The largest page that a gateway gives.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(super) enum OutboxCommand {
    /// List what is on its way, and what did not arrive
    #[command(after_help = "\
Without --state, everything is listed but what was sent or dropped. The column `unknown` counts how often something
of a delivery was sent of which nobody knew whether it arrived: where it was sent again since, it may be shown twice.

Examples:
  exoclaw outbox list
  exoclaw outbox list --channel telegram --state dead
  exoclaw outbox list --unknown        what may be shown twice, or not at all
  exoclaw outbox list --json | jq -r '.deliveries[].id'")]
    List {
        /// Of this channel alone
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// In this state; may be given more than once
        #[arg(long, value_name = "STATE")]
        state: Vec<State>,
        /// Only what may be shown twice or not at all; without --state, also what was sent since
        #[arg(long)]
        unknown: bool,
        /// Deliveries at most
        #[arg(long, value_name = "NUMBER", default_value_t = LIST)]
        limit: usize,
        #[command(flatten)]
        reach: Reach,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send again what was given up, or may have been sent
    #[command(after_help = "\
What is shown of it already is not sent again. Exits with 1 where one of them can't be sent again.")]
    Retry(Which),
    /// Send no more, and list no more
    Drop(Which),
}

/// Deliveries, and where they are.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Which {
    /// The deliveries, as `exoclaw outbox list` names them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    reach: Reach,
    /// Print the gateway's answers as they are, one a line
    #[arg(long)]
    json: bool,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    /// Its text still grows
    Draft,
    /// It waits for its moment
    Pending,
    /// A step of it is under way
    Sending,
    /// It may have been sent, and waits for its owner
    Unknown,
    /// It was sent
    Sent,
    /// It was given up
    Dead,
    /// Its owner dropped it
    Dropped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

pub(super) async fn run(command: OutboxCommand, loaded: Loaded) -> Result<Exit, CliError> {
    match command {
        OutboxCommand::List { channel, state, unknown, limit, reach, json } => {
            let states: Vec<_> = state.into_iter().map(State::as_str).collect();
            let params = json!({ "channel": channel, "states": states, "unknown": unknown });
            list(&Target::find(reach.url.as_deref(), &loaded)?, params, limit, json).await
        }
        OutboxCommand::Retry(which) => each("outbox.retry", "is sent again", which, &loaded).await,
        OutboxCommand::Drop(which) => each("outbox.drop", "is dropped", which, &loaded).await,
    }
}

async fn list(target: &Target, mut params: Value, limit: usize, json: bool) -> Result<Exit, CliError> {
    let mut client = Client::connect(target).await?;
    let mut deliveries = Vec::new();
    loop {
        params["limit"] = (limit - deliveries.len()).clamp(1, PAGE).into();
        let answer = client.call("outbox.list", &params).await?;
        let mut page: Value = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
        if let Value::Array(items) = page["deliveries"].take() {
            deliveries.extend(items);
        }
        params["after"] = page["next"].take();
        if params["after"].is_null() || deliveries.len() >= limit {
            break;
        }
    }
    client.close().await;
    let more = !params["after"].is_null();
    if json {
        output::print_json(&raw(&json!({ "deliveries": deliveries, "more": more }))?)?;
        return Ok(Exit::Done);
    }
    for delivery in &mut deliveries {
        for wide in ["session", "shown", "receipt", "due_at", "created_at"] {
            if let Some(members) = delivery.as_object_mut() {
                members.remove(wide);
            }
        }
    }
    let mut text = table::render(&raw(&Value::Array(deliveries))?)?;
    if more {
        text.push_str("there are more; --limit shows them\n");
    }
    output::print(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Does the same with each delivery, and says of each whether it was done.
async fn each(method: &str, done: &str, which: Which, loaded: &Loaded) -> Result<Exit, CliError> {
    let mut client = Client::connect(&Target::find(which.reach.url.as_deref(), loaded)?).await?;
    let mut refused = None;
    for id in &which.ids {
        match client.call(method, &json!({ "id": id })).await {
            Ok(answer) if which.json => output::print_json(&answer)?,
            Ok(_) => output::print(format!("{id} {done}\n").as_bytes())?,
            // The others are none the worse for it.
            Err(ClientError::Rpc(error)) if which.ids.len() > 1 => {
                let line = format!("{}: {}\n", text::one_line(id, 40), text::escape(&error.to_string(), &[]));
                io::stderr().lock().write_all(line.as_bytes())?;
                refused = Some(Exit::Failed);
            }
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    Ok(refused.unwrap_or(Exit::Done))
}

fn raw(value: &Value) -> Result<Box<RawValue>, ClientError> {
    serde_json::value::to_raw_value(value).map_err(ClientError::Answer)
}
