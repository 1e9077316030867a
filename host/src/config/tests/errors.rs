//! What is printed for files with mistakes.

use proptest::prelude::*;

use super::*;
use crate::config::LoadError;
use crate::home::Home;

/// `line:column: what` of each mistake.
fn heads(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("a file with mistakes");
    errors.iter().map(|error| format!("{}:{}: {}", error.line(), error.column(), error.what())).collect()
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_in_order() {
    let text = "\
foo bar
[gateway]
prot = 7200
\thost = \"localhost\"
port = # later
queue = 3
queue = 4
max_tokens = 5
[agent
soul = \"x\"
[limits]
turns = 0
";
    let expected = "\
/etc/exoclaw/config.toml:1:1: this is no setting
  |
1 | foo bar
  | ^^^^^^^ write `key = value`, or `#` before it

/etc/exoclaw/config.toml:3:1: unknown key `prot` in [gateway]
  |
3 | prot = 7200
  | ^^^^ did you mean `port`?

/etc/exoclaw/config.toml:4:9: expected an address such as \"127.0.0.1\", \"0.0.0.0\" or \"::1\"
  |
4 |  host = \"localhost\"
  |         ^^^^^^^^^^^ write \"127.0.0.1\"

/etc/exoclaw/config.toml:5:8: a value is missing
  |
5 | port = # later
  |        ^

/etc/exoclaw/config.toml:7:1: this key is here a second time
  |
7 | queue = 4
  | ^^^^^ keep one of them

/etc/exoclaw/config.toml:8:1: unknown key `max_tokens` in [gateway]
  |
8 | max_tokens = 5
  | ^^^^^^^^^^ it belongs in [agent] or [agents.NAME]

/etc/exoclaw/config.toml:9:7: unclosed table, expected `]`
  |
9 | [agent
  |       ^

/etc/exoclaw/config.toml:12:9: out of bounds: expected a whole number from 1 to 100000
   |
12 | turns = 0
   |         ^";
    assert_eq!(printed(text), expected);
}

#[test]
fn an_unknown_key_is_answered_with_the_right_one_or_its_table() {
    assert_eq!(
        printed("port = 1"),
        "/etc/exoclaw/config.toml:1:1: unknown key `port` outside of a table\n  |\n1 | port = 1\n  | ^^^^ it belongs in [gateway]"
    );
    let help = |text| printed(text).rsplit_once("^ ").map(|(_, help)| help.to_owned()).expect("help");
    assert_eq!(help("[gatway]"), "did you mean `gateway`?");
    assert_eq!(help("[plugin]"), "did you mean `plugins`?");
    assert_eq!(help("[gateway]\nallowed-hosts = []"), "did you mean `allowed_hosts`?");
    assert_eq!(help("[storage]\nmax_step = 1"), "did you mean `max_steps` in [agent]?");
    assert_eq!(help("[storage]\nxyzzy = 1"), "known here: url, durability");
}

#[test]
fn values_that_do_not_fit_together_are_told_where_they_stand() {
    assert_eq!(heads("[agent]\nsystem = 'a'\nsoul = 'b'"), ["3:8: `system` and `soul` both give the system prompt"]);
    assert_eq!(
        heads("[agent]\nmax_tokens = 100\n[agents.x]\nthinking_tokens = 100"),
        ["4:19: thinking_tokens (100) must be less than max_tokens (100), of which they are a part"]
    );
    assert_eq!(heads("[agent]\nmodels = ['openai/x', 'opnai/x']"), ["2:23: no provider has the name before the `/`"]);
    assert_eq!(heads("[[bindings]]\nagent = 'helper'\npeer = 'a'"), ["2:9: there is no agent `helper`"]);
    assert_eq!(
        heads("[[bindings]]\nagent = 'default'"),
        ["1:1: this binding matches everyone, whom [agent] answers anyway"]
    );
    assert_eq!(
        heads("[[bindings]]\nagent='default'\npeer='a'\n[[bindings]]\nagent='default'\npeer='a'"),
        ["4:1: an earlier binding matches the same"]
    );
    assert_eq!(
        heads("[[plugins]]\nname='a'\npath='bundled:a'\n[[plugins]]\nname='a'\npath='bundled:b'"),
        ["5:6: an earlier plugin has this name"]
    );
    assert_eq!(
        heads("[gateway]\nmax_message = '4KiB'"),
        ["2:15: [limits] content (256KiB) does not fit into [gateway] max_message (4KiB)"]
    );
    assert_eq!(heads("[agents.default]\nmax_steps = 1"), ["1:9: the default agent has its own table"]);
}

#[test]
fn what_is_missing_is_told_unless_a_broken_line_may_have_it() {
    assert_eq!(
        heads("[[plugins]]\n[providers.ollama]"),
        [
            "1:1: `name` is missing in [[plugins]]",
            "1:1: `path` is missing in [[plugins]]",
            "2:12: `kind` is missing in [providers.ollama]"
        ]
    );
    assert_eq!(heads("[[plugins]]\nname = \npath = 'bundled:a'"), ["2:8: a value is missing"]);
    assert_eq!(heads("[agents.x\n[[bindings]]\nagent = 'x'\npeer = 'p'"), ["1:10: unclosed table, expected `]`"]);
}

#[test]
fn a_key_in_the_file_is_refused_and_never_shown() {
    let key = "sk-ant-0123456789abcdefghij";
    for text in [
        format!("[providers.anthropic]\napi_key = \"{key}\""),
        format!("[providers.anthropic]\napi_key = \"{key}"),
        format!("[providers.anthropic]\napi_key = {key}"),
        format!("[providers.anthropic]\napi_key_env = \"{key}\""),
        format!("[providers.anthropic]\nkind = \"{key}\""),
        format!("[providers.anthropic]\n{key} = 1"),
        format!("[providers]\nanthropic = {{ api_key = \"{key}\", x = 1 }}"),
        format!("[gateway]\ntoken = \"\"\"\n{key}"),
        format!("[gateway]\ntoken = [\n{key}\n"),
        format!("[gateway]\npassword = [[\"{key}\"], 7\n"),
        format!("{key}\n[gateway]"),
        format!("[[plugins]]\nname = 'a'\npath = 'b'\nsettings = {{ bot-token = \"{key}\" }}"),
        format!("[providers.anthropic]\nbase_url = \"https://me:{key}@host\""),
        format!("[agent]\nmodels = [\"{key}\"]"),
    ] {
        let printed = printed(&text);
        assert!(!printed.contains("0123456789"), "{text}\n{printed}");
    }
    let odd = "[gateway]\ntoken = \"plain words\" extra";
    assert!(!printed(odd).contains("plain"), "{}", printed(odd));
    assert!(printed("[gateway]\ntoken = 'x'").contains("~/.exoclaw/credentials/gateway.key"));
    assert!(printed("[providers.openai]\napi_key = 'x'").contains("set OPENAI_API_KEY"));
}

#[test]
fn columns_count_characters_and_nothing_hides_in_the_line() {
    let text = "[gateway]\r\nhost = 'ä\u{202e}日' # \u{9b}\r\nqueue = 0\r\n";
    let printed = printed(text);
    assert!(printed.contains("host = 'ä\\u{202e}日'"), "{printed}");
    assert!(!printed.contains(['\r', '\u{9b}', '\u{202e}']), "{printed:?}");
    assert_eq!(heads("\u{feff}x = 1"), ["1:1: unknown key `x` outside of a table"]);
    assert_eq!(
        heads("[agent]\ntools = ['ä', 'ü']")[1],
        "2:15: not a tool's name: expected up to 64 of a-z, A-Z, 0-9, `_` and `-`"
    );
}

#[test]
fn a_long_line_is_cut_around_its_mistake() {
    let text = format!("[agent]\nmodels = [{}'x', {}]", "'openai/m', ", "1, ".repeat(1_000));
    let errors = parse(&text).expect_err("mistakes");
    assert_eq!(errors.count(), 1_001);
    assert_eq!(errors.iter().count(), 100);
    let printed = errors.to_string();
    assert!(printed.ends_with("and 901 more"), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() < 150), "{printed}");
}

#[test]
fn a_file_that_is_no_text_says_where_that_begins() {
    let bytes = b"[gateway]\nport = 1\n# caf\xe9\nqueue = 0\n";
    let errors = Config::parse_bytes(bytes, Path::new("c.toml"), &Home::default()).expect_err("mistakes");
    let lines: Vec<_> = errors.iter().map(|error| (error.line(), error.column(), error.what().to_owned())).collect();
    assert_eq!(lines[0], (3, 6, "the file is not UTF-8 from here on".to_owned()));
    assert_eq!(lines[1].0, 4);
}

#[test]
fn the_last_place_for_a_file_may_be_empty_and_the_others_may_not() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("home");
    let named = folder.path().join("named.toml");
    let with = |variable: Option<&Path>, explicit: Option<&Path>| {
        let variable = variable.map(|path| path.as_os_str().to_owned());
        Config::load_from(explicit.map(Into::into), &|name| match name {
            "EXOCLAW_HOME" => Some(home.as_os_str().to_owned()),
            "EXOCLAW_CONFIG" => variable.clone(),
            _ => None,
        })
    };
    let port = |loaded: Result<super::super::Loaded, LoadError>| loaded.map(|loaded| loaded.config.gateway.port);

    let none = with(None, None)?;
    assert_eq!((none.config, none.path), (Config::default(), None));
    assert!(matches!(with(Some(&named), None), Err(LoadError::Read { .. })));
    assert!(matches!(with(None, Some(&named)), Err(LoadError::Read { .. })));

    std::fs::create_dir(&home)?;
    std::fs::write(home.join("config.toml"), "[gateway]\nport = 1")?;
    assert_eq!(port(with(None, None))?, 1);
    std::fs::write(&named, "[gateway]\nport = 2")?;
    assert_eq!(port(with(Some(&named), None))?, 2);
    let other = folder.path().join("other.toml");
    std::fs::write(&other, "[gateway]\nport = 3")?;
    assert_eq!(port(with(Some(&named), Some(&other)))?, 3);
    assert_eq!(with(Some(Path::new("")), None)?.path, Some(home.join("config.toml")));
    Ok(())
}

#[test]
fn a_file_that_was_there_at_start_must_still_be_there_when_it_is_read_again() -> Result<(), Box<dyn std::error::Error>>
{
    let home = tempfile::tempdir()?;
    let file = home.path().join("config.toml");
    let load = || {
        let home = Some(home.path().as_os_str().to_owned());
        Config::load_from(None, &|name| home.clone().filter(|_| name == "EXOCLAW_HOME"))
    };
    let without = load()?;
    assert_eq!(without.read_again()?, Config::default());
    std::fs::write(&file, "[gateway]\nport = 1")?;
    assert_eq!(without.read_again()?.gateway.port, 1, "there is one by now");

    let with = load()?;
    std::fs::write(&file, "[gateway]\nport = 2")?;
    assert_eq!((with.config.gateway.port, with.read_again()?.gateway.port), (1, 2));
    std::fs::write(&file, "[gateway]\nprot = 2")?;
    assert!(matches!(with.read_again(), Err(LoadError::Invalid(_))));
    std::fs::remove_file(&file)?;
    let gone = with.read_again().expect_err("the defaults were not asked for").to_string();
    assert!(gone.contains("config.toml") && gone.contains("the running gateway"), "{gone}");
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(errors) = Config::parse_bytes(&bytes, Path::new("x"), &Home::default()) {
            let _ = errors.to_string();
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_every_place_is_in_it(text in TOML) {
        if let Err(errors) = parse(&text) {
            let _ = errors.to_string();
            let lines = text.split('\n').count();
            let mut last = (0, 0);
            for error in errors.iter() {
                let place = (error.line(), error.column());
                prop_assert!(error.line() <= lines && place >= last);
                last = place;
            }
        }
    }
}

/// Texts that look like TOML of ours, whole and broken.
const TOML: &str = "(\\[{0,2}(gateway|agent|agents|agents\\.x|plugins|plugins\\.limits|bindings|limits|providers\\.openai|a\\.b)\\]{0,2}\
|(port|host|models|api_key|token|name|path|settings|limits|a\\.b|plugin\\.time|\"x\"| ) ?=? ?\
|[0-9]{1,3}|\"|'|\"\"\"|'''|\\[|\\]|\\{|\\}|,|#|\\\\|\\\\u|é|\u{202e}|\u{feff}|\r|\n|\n|\n|true|1e9|nan|\"5s\"|\"a/b\"| ){0,40}";

#[test]
fn a_secret_that_goes_nowhere_is_one_that_only_verifies() {
    let secret =
        |rest: &str| format!("[[plugins]]\nname='a'\npath='a.wasm'\n[plugins.grants.secrets.key]\nenv='A_KEY'\n{rest}");
    assert!(parse(&secret("hosts=[]")).is_ok());
    for rest in ["", "hosts=[]\nbearer=true"] {
        let told = heads(&secret(rest));
        assert!(told.len() == 1 && told[0].contains("a secret without `hosts` could go nowhere"), "{told:?}");
    }
}
