//! `exoclaw budget`: what may still be spent.

use serde_json::Value;

use super::client::{Client, ClientError, Target};
use super::{CliError, Exit, Reach, output, table};
use crate::config::Loaded;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Budgets are set under [budgets] in the config; those of single sessions and peers are listed while they are at work.

Examples:
  exoclaw budget
  exoclaw budget --json | jq '.budgets[] | select(.period == \"daily\")'")]
pub(super) struct BudgetArgs {
    #[command(flatten)]
    reach: Reach,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: BudgetArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let mut client = Client::connect(&Target::find(args.reach.url.as_deref(), &loaded)?).await?;
    let answer = client.call("budget.status", &serde_json::json!({})).await?;
    client.close().await;
    if args.json {
        output::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    let mut answer: Value = serde_json::from_str(answer.get()).map_err(ClientError::Answer)?;
    let budgets = answer["budgets"].take();
    if budgets.as_array().is_none_or(Vec::is_empty) {
        output::print(b"there are no budgets; [budgets] in the config sets some, such as daily_usd = 2\n")?;
        return Ok(Exit::Done);
    }
    let budgets = serde_json::value::to_raw_value(&budgets).map_err(ClientError::Answer)?;
    output::print(table::render(&budgets)?.as_bytes())?;
    Ok(Exit::Done)
}
