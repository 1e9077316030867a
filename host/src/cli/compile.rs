//! `exoclaw plugin compile`: machine code for plugins, made before a gateway needs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::{CliError, Exit, output, plugin, plugins, table};
use crate::config::{Config, Loaded};
use crate::runtime::{CodeCache, CodeInfo, CodeOrigin, PluginSpec, Services, Source};

/// Compiles what is named, or all of the config, into the owner's cache. What fails does not keep
/// the others from being compiled.
pub(super) async fn run(named: &[String], json: bool, loaded: &Loaded) -> Result<Exit, CliError> {
    let folder = loaded.home.code_cache().ok_or_else(|| {
        CliError::Usage("there is no home to keep compiled code in; set HOME or EXOCLAW_HOME".to_owned())
    })?;
    let specs = specs(named, &loaded.config)?;
    let cache = CodeCache::open(&folder).map_err(CliError::failed)?;
    let runtime = plugins::runtime(&loaded.config, Services::detached())?.with_code_cache(Some(cache));
    let mut rows = Vec::with_capacity(specs.len());
    let mut problems = Vec::new();
    for spec in specs {
        let name = spec.name.to_string();
        let start = Instant::now();
        let problem = match runtime.compile_ahead(spec).await {
            Ok(Some(info)) => {
                let problem = info.kept.as_ref().err().map(|error| format!("plugin `{name}` is not kept: {error}"));
                rows.push(row(&name, &info, start.elapsed(), json));
                problem
            }
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        problems.extend(problem);
    }
    let rows = to_raw_value(&rows).map_err(CliError::failed)?;
    if json {
        output::print_json(&rows)?;
    } else {
        output::print(table::render(&rows)?.as_bytes())?;
    }
    if problems.is_empty() { Ok(Exit::Done) } else { Err(CliError::failed(problems.join("\n"))) }
}

/// What to compile: a name is a plugin of the config, all else is a file.
fn specs(named: &[String], config: &Config) -> Result<Vec<PluginSpec>, CliError> {
    let of_config = |plugin| PluginSpec::from_config(plugin).map_err(|error| CliError::Usage(error.to_string()));
    if named.is_empty() {
        return config.plugins.iter().map(of_config).collect();
    }
    let spec = |named: &String| {
        if plugin::is_component(named) {
            let path = PathBuf::from(named);
            return Ok(PluginSpec::new(plugins::name_of(&path), Source::File(path)));
        }
        let found = config.plugins.iter().find(|plugin| plugin.name.as_str() == named);
        let unknown = || {
            let known: Vec<_> = config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            CliError::Usage(format!("the config has no plugin `{named}`; it has {known}"))
        };
        found.ok_or_else(unknown).and_then(of_config)
    };
    named.iter().map(spec).collect()
}

/// Numbers for programs, words for people.
fn row(name: &str, info: &CodeInfo, took: Duration, json: bool) -> Value {
    let cached = info.origin == CodeOrigin::Cache;
    let code = info.kept.as_ref().ok();
    let mut row = json!({ "name": name, "sha256": info.sha256, "size": info.size, "code_bytes": code });
    if json {
        row["source"] = json!(info.source);
        row["state"] = json!(if cached { "cached" } else { "compiled" });
        row["time_ms"] = json!(took.as_micros() as f64 / 1e3);
    } else {
        row["state"] = json!(if cached { "cached already" } else { "compiled" });
        row["time"] = json!(format!("{took:.0?}"));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_compiled_is_named_as_in_the_config_or_as_a_file() {
        let config = Config::default();
        let names = |named: &[&str]| {
            let named: Vec<_> = named.iter().map(|&name| name.to_owned()).collect();
            specs(&named, &config).map(|specs| specs.iter().map(|spec| spec.name.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).ok(), Some(config.plugins.iter().map(|plugin| plugin.name.to_string()).collect()));
        assert_eq!(names(&["clock", "a/My.Tool.wasm"]).ok(), Some(vec!["clock".into(), "my-tool".into()]));
        let unknown = names(&["nobody"]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(unknown.contains("`nobody`") && unknown.contains("clock"), "{unknown}");
    }
}
