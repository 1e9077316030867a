//! `exoclaw status`.

use serde_json::json;

use super::client::{Client, Target};
use super::{CliError, Exit, StatusArgs, output, table};
use crate::config::Loaded;

pub(super) async fn run(args: StatusArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let target = Target::find(args.reach.url.as_deref(), &loaded)?;
    let mut client = Client::connect(&target).await?;
    let status = client.call("status", &json!({})).await?;
    client.close().await;
    if args.json {
        output::print_json(&status)?;
    } else {
        output::print(table::render(&status)?.as_bytes())?;
    }
    Ok(Exit::Done)
}
