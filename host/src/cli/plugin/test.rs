//! `exoclaw plugin test`: the conformance kit.

use serde_json::value::to_raw_value;

use super::super::{CliError, Exit, output};
use super::args::TestArgs;
use super::subject;
use crate::config::Loaded;
use crate::kit::{self, Options, events};
use crate::runtime::Linkage;

pub(super) async fn run(args: TestArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let spec = args.subject.spec(&loaded, Linkage::Refusing).await?;
    let events = match &args.events {
        None => Vec::new(),
        Some(path) => {
            let json = subject::text(&format!("@{}", path.display()))?;
            events::read(&json).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?
        }
    };
    let runtime = args.subject.runtime(&spec, &loaded, &kit::session(), 1).await?;
    let options = Options { seed: args.seed, events };
    let report = kit::run(&runtime, spec, &options).await.map_err(subject::refused)?;
    if let Some(path) = &args.junit {
        std::fs::write(path, kit::to_junit(&report))
            .map_err(|error| CliError::Usage(format!("cannot write {}: {error}", path.display())))?;
    }
    if args.json {
        output::print_json(&to_raw_value(&report).map_err(CliError::failed)?)?;
    } else {
        output::print(report.to_text().as_bytes())?;
    }
    Ok(if report.is_pass() { Exit::Done } else { Exit::Failed })
}
