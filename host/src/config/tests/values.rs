//! What values mean.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{
    AgentConfig, ByteSize, Durability, PluginPath, ProviderKind, RetentionConfig, StorageConfig, StorageUrl, filter,
};
use crate::home::Home;

fn read(text: &str) -> Config {
    parse(text).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn agents_begin_as_copies_of_the_default_one() {
    let config = read(
        "[agents.coder]\nsystem = 'code'\nmax_steps = 5\n[agents.plain]\n\
         [agent]\nsoul = 'soul.md'\nmax_tokens = 9\ntools = ['a']\nmodels = ['openai/a/b:1']",
    );
    let [coder, default, plain] = ["coder", "default", "plain"].map(|name| &config.agents[name]);
    assert_eq!((coder.max_tokens, coder.max_steps, default.max_steps), (9, 5, 20));
    assert_eq!(plain, default);
    assert_eq!(plain.soul, Some(PathBuf::from("/etc/exoclaw/soul.md")));
    // Its own prompt takes the place of the inherited one.
    assert_eq!((coder.system.as_deref(), &coder.soul), (Some("code"), &None));
    assert_eq!(coder.tools, Some(vec!["a".to_owned()]));
    assert_eq!(coder.models[0].model, "a/b:1");
}

#[test]
fn plugins_inherit_limits_and_take_the_place_of_the_bundled_ones() {
    let config = read(
        "[[plugins]]\nname = 'a'\npath = 'bundled:clock'\nsettings = { n = 1, l = [1.5, 'x'], d = 2020-01-01 }\n\
         [plugins.limits]\ntime = '250ms'\n[[plugins]]\nname = 'b'\npath = 'sub/b.wasm'\n\
         [limits.plugin]\nmemory = '32MiB'\ntime = '1s'",
    );
    let [a, b] = &config.plugins[..] else { panic!("{:?}", config.plugins) };
    assert_eq!((a.limits.memory, a.limits.time), (ByteSize::mib(32), Duration::from_millis(250)));
    assert_eq!(b.limits, config.limits.plugin);
    assert_eq!(b.path, PluginPath::File("/etc/exoclaw/sub/b.wasm".into()));
    assert_eq!(
        serde_json::Value::from(a.settings.clone()),
        serde_json::json!({"n": 1, "l": [1.5, "x"], "d": "2020-01-01"})
    );
    assert!(read("plugins = []").plugins.is_empty());
}

#[test]
fn a_provider_is_sent_the_key_of_its_own_name() {
    let config = read(
        "[providers.anthropic]\nbase_url = 'http://localhost:1/'\n[providers.my-llm]\nkind = 'openai'\n\
         [providers.local]\nkind = 'openai'\nbase_url = 'http://[::1]:8080/v1'\napi_key_env = ''",
    );
    assert_eq!(config.providers["anthropic"].base_url, "http://localhost:1");
    assert_eq!(config.providers["anthropic"].api_key_env, "ANTHROPIC_API_KEY");
    assert_eq!(config.providers["my-llm"].api_key_env, "MY_LLM_API_KEY");
    assert_eq!(config.providers["my-llm"].kind, ProviderKind::OpenAi);
    assert_eq!(config.providers["local"].api_key_env, "");
    assert!(config.providers.contains_key("openai"));
}

#[test]
fn values_are_read_as_they_are_written() {
    let config = read(
        "[gateway]\nhost = '::'\nport = 0\nmax_message = '2 MiB'\nqueue = 0x1_0\nallowed_origins = ['HTTPS://Chat.Example:8443']\n\
         allowed_hosts = ['Chat.Example']\n[agent]\ntemperature = 1\nturn_timeout = '1h'",
    );
    assert_eq!(config.gateway.host, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    assert_eq!((config.gateway.port, config.gateway.queue, config.gateway.max_message), (0, 16, ByteSize::mib(2)));
    assert_eq!(config.gateway.allowed_origins, ["https://chat.example:8443"]);
    assert_eq!(config.gateway.allowed_hosts, ["chat.example"]);
    assert_eq!(config.agents["default"].temperature, Some(1.0));
    assert_eq!(config.agents["default"].turn_timeout, Duration::from_secs(3600));
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (table, lines) in [
        (
            "gateway",
            &[
                "port = 65536",
                "port = -1",
                "port = 99999999999999999999",
                "port = 1.0",
                "port = '1'",
                "host = 'a'",
                "host = 1",
                "queue = 0",
                "auth_timeout = '0s'",
                "auth_timeout = '2h'",
                "auth_timeout = '5'",
                "auth_timeout = 's'",
                "auth_timeout = '99999999999999999999s'",
                "auth_timeout = '9999999999999999h'",
                "max_message = '1B'",
                "max_message = '99999999999GiB'",
                "max_message = '1MB'",
                "token_env = '1A'",
                "token_env = 'lower'",
                "allowed_hosts = ['a:1']",
                "allowed_hosts = ['a', 'a']",
                "allowed_hosts = 'a'",
                "allowed_origins = ['https://a/']",
                "allowed_origins = ['a']",
                "allowed_origins = ['https://a:99999']",
            ][..],
        ),
        (
            "agent",
            &[
                "max_tokens = 0",
                "temperature = 2.1",
                "temperature = nan",
                "temperature = 'x'",
                "models = ['a/']",
                "models = ['/a']",
                "system = ' '",
                "tools = ['a b']",
                "thinking_tokens = 4096",
                "max_steps = 0",
            ],
        ),
        (
            "providers.openai",
            &[
                "kind = 'x'",
                "base_url = 'x'",
                "base_url = 'ftp://a'",
                "base_url = 'https://a?b'",
                "max_retries = 21",
                "base_url = 'https://a#b'",
                "base_url = 'https://a:b'",
                "base_url = 'https://u:p@a'",
                "base_url = 'https://'",
                "base_url = 'https://a:99999/v1'",
                "base_url = '/v1'",
            ],
        ),
        ("limits.plugin", &["memory = '5GiB'", "memory = '1KiB'", "concurrency = 0", "time = '2h'"]),
        ("telemetry", &["log = ''", "log = 'a=b'", "log = 'warm'", "format = 'Human'"]),
        (
            "storage",
            &[
                "url = 'surrealkv:x'",
                "url = 'sqlite:'",
                "url = 'x'",
                "url = 1",
                "durability = 'Power'",
                "durability = true",
            ],
        ),
        (
            "agent.retention",
            &["max_age = '1m'", "max_age = '36501d'", "max_age = 90", "max_age = 'forever'", "max_size = '1KiB'"],
        ),
    ] {
        for line in lines {
            let text = format!("[{table}]\n{line}\n");
            let errors = parse(&text).expect_err(line);
            assert_eq!((errors.count(), errors.iter().next().map(|e| e.line())), (1, Some(2)), "{errors}");
        }
    }
}

#[test]
fn a_tilde_is_the_users_home_and_exoclaw_home_moves_the_rest() {
    let lookup = |name: &str| (name == "HOME").then(|| "/home/ann".into());
    let home = Home::find(&lookup);
    assert_eq!(home.config_file(), Some("/home/ann/.exoclaw/config.toml".into()));
    assert_eq!(home.resolve("~/soul.md", Path::new("/etc")), Path::new("/home/ann/soul.md"));
    assert_eq!(home.resolve("/soul.md", Path::new("/etc")), Path::new("/soul.md"));
    let moved = Home::find(&|name| Some(if name == "HOME" { "/home/ann" } else { "/srv" }.into()));
    assert_eq!(moved.credentials(), Some("/srv/credentials".into()));
    assert_eq!(Home::find(&|_| None).config_file(), None);
}

#[test]
fn filters_with_a_level_misspelt_are_refused() {
    assert!(filter::check("info,exoclaw::provider=debug,hyper=off").is_ok());
    assert!(filter::check("exoclaw").is_ok());
    assert!(filter::check("Debug").is_ok());
    assert_eq!(
        filter::check("debgu,hyper=off").map_err(|e| e.to_string()),
        Err("`debgu` is no level; did you mean `debug`?".into())
    );
    assert!(filter::check("exoclaw=loud").is_err());
}

#[test]
fn the_bundled_plugins_inherit_the_limits_of_plugins() {
    let config = parse("[limits.plugin]\nrate = 7").expect("a config");
    assert_eq!(config.plugins.len(), 3);
    assert!(config.plugins.iter().all(|plugin| plugin.limits.rate == 7));
}

#[test]
fn what_an_agent_keeps_it_inherits_key_by_key() {
    let config = read(
        "[agent.retention]\nmax_age = '90d'\nmax_size = '64MiB'\n[agents.a.retention]\nmax_age = 'none'\n\
         [agents.b]\nmax_steps = 3\n[agents.c.retention]\nmax_size = '1GiB'",
    );
    let kept = |agent: &str| config.agents[agent].retention;
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 60 * 60));
    assert_eq!((kept("default").max_age, kept("default").max_size), (days(90), Some(ByteSize::mib(64))));
    assert_eq!((kept("a").max_age, kept("a").max_size), (None, Some(ByteSize::mib(64))));
    assert_eq!(kept("b"), kept("default"));
    assert_eq!((kept("c").max_age, kept("c").max_size), (days(90), Some(ByteSize::mib(1024))));
    assert_eq!(AgentConfig::default().retention, RetentionConfig { max_age: None, max_size: None });
}

#[test]
fn a_store_of_an_engine_that_is_not_here_is_refused_by_name() {
    assert_eq!(
        printed("[storage]\nurl = 'surrealkv:data'"),
        "/etc/exoclaw/config.toml:2:7: this build has no engine for `surrealkv:` addresses\n  |\n\
         2 | url = 'surrealkv:data'\n  |       ^^^^^^^^^^^^^^^^ write \"sqlite:PATH\" or \"memory\""
    );
    let storage = |text| read(text).storage;
    let url = StorageUrl::Sqlite("/etc/exoclaw/data/claw.db".into());
    assert_eq!(
        storage("[storage]\nurl = 'sqlite:data/claw.db'\ndurability = 'process'"),
        StorageConfig { url, durability: Durability::Process }
    );
    assert_eq!(storage(""), StorageConfig { url: StorageUrl::Home, durability: Durability::Power });
}
