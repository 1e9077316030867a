//! Logs, on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::{CliError, output};
use crate::config::{LogFormat, TelemetryConfig, filter};

/// Who logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The daemon: as the config says.
    Gateway,
    /// A command between two prompts: warnings, unless `EXOCLAW_LOG` asks for more.
    Client,
}

/// Sets up logs for the process.
pub(super) fn init(config: &TelemetryConfig, role: Role) -> Result<(), CliError> {
    let variable = std::env::var("EXOCLAW_LOG").ok();
    let filter = choose(variable.as_deref(), config, role)?;
    let format = match (config.format, io::stderr().is_terminal()) {
        (LogFormat::Auto, true) => LogFormat::Human,
        (LogFormat::Auto, false) if role == Role::Gateway => LogFormat::Json,
        (LogFormat::Auto, false) => LogFormat::Human,
        (format, _) => format,
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let set = match format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).try_init(),
        _ => logs.with_ansi(output::colours(&io::stderr())).try_init(),
    };
    set.map_err(CliError::Failed)
}

fn choose(variable: Option<&str>, config: &TelemetryConfig, role: Role) -> Result<EnvFilter, CliError> {
    let text = match (variable.filter(|text| !text.trim().is_empty()), role) {
        (Some(text), _) => text,
        (None, Role::Gateway) => &config.log,
        (None, Role::Client) => "warn",
    };
    filter::parse(text).map_err(CliError::Filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_file_and_a_bad_one_is_told() {
        let config = TelemetryConfig { log: "debug".into(), format: LogFormat::Auto };
        let chosen = |variable, role| choose(variable, &config, role).map(|filter| filter.to_string()).ok();
        assert_eq!(chosen(None, Role::Gateway).as_deref(), Some("debug"));
        assert_eq!(chosen(Some(""), Role::Gateway).as_deref(), Some("debug"));
        assert_eq!(chosen(Some("trace"), Role::Gateway).as_deref(), Some("trace"));
        assert_eq!(chosen(None, Role::Client).as_deref(), Some("warn"));
        assert_eq!(chosen(Some("inof"), Role::Client), None);
    }
}
