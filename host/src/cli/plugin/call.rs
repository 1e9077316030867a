//! `exoclaw plugin call`: one call, and what it took.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::super::{CliError, Exit, output};
use super::args::CallArgs;
use super::subject;
use crate::config::Loaded;
use crate::kit::NOW;
use crate::runtime::{CallConditions, CallError, CallStats, Linkage, Tool, ToolCall};
use crate::store::{SessionKey, Timestamp, ToolContent};
use crate::text;

pub(super) async fn run(args: CallArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let session: SessionKey =
        args.session.parse().map_err(|error| CliError::Usage(format!("--session {}: {error}", args.session)))?;
    let arguments = RawValue::from_string(subject::text(&args.arguments)?.trim().to_owned())
        .map_err(|error| CliError::Usage(format!("the arguments are not JSON: {error}")))?;
    let spec = args.subject.spec(&loaded, Linkage::Granted).await?;
    let runtime = args.subject.runtime(&spec, &loaded, &session, 1).await?;
    let plugin = runtime.load(spec).await.map_err(subject::refused)?;
    let tool = find(&plugin.tools(), Some(&args.tool))?;
    let agent = session.agent();
    let (now, conditions) = match args.fixed {
        Some(seed) => (NOW, CallConditions::Fixed(seed)),
        None => (Timestamp::now(), CallConditions::Live),
    };
    let call = ToolCall {
        agent: &agent,
        session: &session,
        call: "cli",
        now,
        arguments: &arguments,
        progress: None,
        conditions,
    };
    let (result, stats) = tool.measured(call).await;
    if args.json {
        let (content, error) = match &result {
            Ok(content) => (Some(content), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let answer = json!({ "content": content, "error": error, "stats": numbers(stats) });
        output::print_json(&to_raw_value(&answer).map_err(CliError::failed)?)?;
    } else {
        show(&result, stats)?;
    }
    Ok(match result {
        Ok(_) => Exit::Done,
        Err(CallError::InvalidArguments(_) | CallError::ArgumentsTooLarge { .. }) => Exit::Usage,
        Err(_) => Exit::Failed,
    })
}

/// The tool of this name; the first, where none is named.
pub(super) fn find(tools: &[Tool], name: Option<&str>) -> Result<Tool, CliError> {
    let found = tools.iter().find(|tool| name.is_none_or(|name| tool.name() == name));
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = tools.iter().map(Tool::name).collect();
        CliError::Usage(match (name, known.is_empty()) {
            (_, true) => "this is a channel: it has no tools".to_owned(),
            (name, false) => format!("it has no tool `{}`; it has {}", name.unwrap_or_default(), known.join(", ")),
        })
    })
}

/// The result to standard output, all else to standard error. A terminal is not shown what it
/// would obey; a pipe gets the plugin's own bytes.
fn show(result: &Result<Vec<ToolContent>, CallError>, stats: CallStats) -> Result<(), CliError> {
    let mut shown = String::new();
    match result {
        Ok(contents) => contents.iter().for_each(|content| {
            let _ = match content {
                ToolContent::Text { text } => writeln!(shown, "{text}"),
                ToolContent::Json { json } => writeln!(shown, "{json}"),
                ToolContent::Media { mime_type, data } => {
                    writeln!(shown, "[{mime_type}, {} bytes; --json prints them]", data.len() / 4 * 3)
                }
                ToolContent::File(file) => writeln!(shown, "[the file {}, {} bytes]", file.name, file.size),
            };
        }),
        Err(error) => {
            let error = format!("error: {error}\n");
            io::stderr().lock().write_all(text::escape(&error, &['\n']).as_bytes())?;
        }
    }
    let shown = if io::stdout().is_terminal() { text::escape(&shown, &['\n', '\t']) } else { shown.as_str().into() };
    output::print(shown.as_bytes())?;
    io::stderr().lock().write_all(took(stats).as_bytes())?;
    Ok(())
}

/// `1.2 ms, 0.9 ms of a processor, 1.1 MiB of memory, 12 calls of the host, 0 bytes sent and received`.
fn took(stats: CallStats) -> String {
    format!(
        "{:.3} ms, {:.3} ms of a processor, {:.1} MiB of memory, {} calls of the host, {} bytes sent and received\n",
        stats.wall.as_secs_f64() * 1e3,
        stats.cpu.as_secs_f64() * 1e3,
        stats.peak_memory as f64 / f64::from(1 << 20),
        stats.host_calls,
        stats.egress
    )
}

fn numbers(stats: CallStats) -> serde_json::Value {
    json!({
        "wall_ms": stats.wall.as_secs_f64() * 1e3,
        "cpu_ms": stats.cpu.as_secs_f64() * 1e3,
        "peak_memory": stats.peak_memory,
        "host_calls": stats.host_calls,
        "egress": stats.egress,
    })
}
