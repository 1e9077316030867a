//! The commands: what a person types, and what each of them does with it.
//!
//! [`run`] does all but print its own failure; [`report`] does that, and nothing else does.

pub mod client;
pub mod gateway;

mod budget;
mod channel;
mod chat;
mod check;
mod compile;
mod data;
mod error;
mod logging;
mod new;
mod outbox;
mod output;
mod pairing;
mod plugin;
mod plugins;
mod reload;
mod retention;
mod status;
mod storage;
mod table;
mod usage;

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{Config, Loaded};
pub use error::{CliError, Exit, report};

const EXAMPLES: &str = "\
Examples:
  exoclaw gateway --demo               a gateway with a scripted model; needs no key
  ANTHROPIC_API_KEY=... exoclaw gateway
  exoclaw chat                         talk with it, in another terminal
  exoclaw chat 'What is 2+2?'          one question, one answer
  exoclaw config check                 is the config file right?

Exit codes:
  0    done
  1    failed
  2    the command line, the config file or a credentials file is wrong
  3    no gateway answers, or the connection to it was lost
  4    the message was refused, or its turn ended with an error
  130  stopped by Ctrl-C";

/// A language-model agent behind every messaging platform, with plugins in a sandbox.
#[derive(Debug, Parser)]
#[command(name = "exoclaw", version, after_help = EXAMPLES, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// The config file [default: EXOCLAW_CONFIG, else ~/.exoclaw/config.toml where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway, in the foreground, until Ctrl-C or SIGTERM
    Gateway(GatewayArgs),
    /// Talk with an agent of a running gateway
    Chat(ChatArgs),
    /// Show what a running gateway is doing
    Status(StatusArgs),
    /// Look after channels, and the events that they did not get past
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// Decide who may write to the agent
    #[command(subcommand)]
    Pairing(pairing::PairingCommand),
    /// Look after the config file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look after what is kept: copy it, check it, take it elsewhere
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Look after answers on their way to platforms
    #[command(subcommand)]
    Outbox(outbox::OutboxCommand),
    /// Look at plugins, try them, and replace them in a running gateway
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Show what may still be spent
    Budget(budget::BudgetArgs),
    /// Show what the models consumed, and what it cost
    Usage(usage::UsageArgs),
    /// Print a script that completes exoclaw's commands in a shell
    #[command(after_help = "Example:\n  exoclaw completions bash > ~/.local/share/bash-completion/completions/exoclaw")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `exoclaw gateway`.
#[derive(Debug, Clone, Default, Args)]
pub struct GatewayArgs {
    /// Listen on this address, whatever the config file says
    #[arg(long, value_name = "IP")]
    pub host: Option<IpAddr>,
    /// Listen on this port, whatever the config file says; 0 lets the system choose
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Answer from a scripted model in this process: needs no key and costs nothing. Unless the config names a store
    /// of its own for it, everything is forgotten at exit
    #[arg(long)]
    pub demo: bool,
}

impl GatewayArgs {
    /// Puts what the command line says in the place of what the file says.
    pub fn apply(&self, config: &mut Config) {
        config.gateway.host = self.host.unwrap_or(config.gateway.host);
        config.gateway.port = self.port.unwrap_or(config.gateway.port);
    }
}

/// How a running gateway is reached.
#[derive(Debug, Clone, Default, Args)]
struct Reach {
    /// The gateway's address, such as ws://127.0.0.1:7200 [default: from the config file]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// `exoclaw chat`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
While an answer is written, Ctrl-C stops it. At the prompt, Ctrl-C or Ctrl-D ends the chat; /help lists
what else can be done there. With MESSAGE, the answer goes to standard output and all else to standard error.

Examples:
  exoclaw chat
  exoclaw chat 'What time is it in Tokyo?' > answer.txt
  exoclaw chat --peer work --agent coder
  exoclaw chat --json 'What is 2+2?' | jq -r 'select(.type == \"text\").delta'")]
struct ChatArgs {
    /// One question; without it, a conversation
    message: Option<String>,
    #[command(flatten)]
    reach: Reach,
    /// Whom the agent takes you for: each peer has a session of its own
    #[arg(long, value_name = "NAME", default_value = "main")]
    peer: String,
    /// The agent to talk with, instead of the one that the bindings choose
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Print the turn's events as they come, one JSON object a line
    #[arg(long)]
    json: bool,
}

/// `exoclaw status`.
#[derive(Debug, Clone, Args)]
struct StatusArgs {
    #[command(flatten)]
    reach: Reach,
    /// Print the gateway's answer as it is
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Tell every mistake of a config file, each with its place and the remedy
    #[command(after_help = "Exits with 0 where the file is right, with 2 where it is not.")]
    Check {
        /// The file [default: as for every command]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// List the plugins of a running gateway
    List {
        #[command(flatten)]
        reach: Reach,
        /// Print the gateway's answer as it is
        #[arg(long)]
        json: bool,
    },
    /// Say in plain words what a plugin is, what it could do, and which grants it lacks
    #[command(
        after_help = "Examples:\n  exoclaw plugin inspect clock          of a running gateway\n  exoclaw plugin inspect ./clock.wasm   a file, without a gateway"
    )]
    Inspect {
        /// A plugin of a running gateway, a .wasm file, or bundled:NAME
        plugin: String,
        #[command(flatten)]
        reach: Reach,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have a running gateway load plugins anew
    #[command(after_help = "\
The new version takes the old one's place when nothing is wrong with it; calls that run end on the old one.
Exits with 1 where something was refused, and what ran before runs on.

Examples:
  exoclaw plugin reload clock    this one, changed or not
  exoclaw plugin reload          read the config file again, and follow it")]
    Reload {
        /// A plugin; without it, all that differ from the config file
        name: Option<String>,
        #[command(flatten)]
        reach: Reach,
        /// Print the gateway's answer as it is
        #[arg(long)]
        json: bool,
    },
    /// Compile plugins ahead of the gateway's start
    #[command(
        after_help = "Compiled code is kept in ~/.exoclaw/cache/code, where the next start finds it. That folder may be\nremoved at any time. No gateway is needed, and nothing of a plugin runs.\n\nExamples:\n  exoclaw plugin compile               every plugin of the config\n  exoclaw plugin compile clock         one of them\n  exoclaw plugin compile ./clock.wasm  a file"
    )]
    Compile {
        /// Plugins of the config, or .wasm files [default: every plugin of the config]
        #[arg(value_name = "NAME|FILE")]
        plugins: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what an upgrade changes: what it could newly do and asks for, which tools and schemas differ
    Diff(plugin::args::DiffArgs),
    /// Try whether a component keeps to the contract
    Test(plugin::args::TestArgs),
    /// Call a tool once, and say what that took
    Call(plugin::args::CallArgs),
    /// Measure how long a tool's calls take
    Bench(plugin::args::BenchArgs),
    /// Write the project of a new plugin
    New(new::NewArgs),
}

/// Does what the command line says.
///
/// # Errors
/// It could not be done. [`report`] tells.
pub fn run(cli: Cli) -> Result<Exit, CliError> {
    let explicit = cli.config;
    match cli.command {
        Command::Gateway(args) => {
            let loaded = Config::load(explicit)?;
            logging::init(&loaded.config.telemetry, logging::Role::Gateway)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let outcome = runtime.block_on(gateway::run(args, loaded));
            // What a plugin's compilation or a name look-up still does is not waited for.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome.map(|()| Exit::Done)
        }
        Command::Chat(args) => client(explicit, |loaded| chat::run(args, loaded)),
        Command::Status(args) => client(explicit, |loaded| status::run(args, loaded)),
        Command::Channel(command) => client(explicit, |loaded| channel::run(command, loaded)),
        Command::Pairing(command) => client(explicit, |loaded| pairing::run(command, loaded)),
        Command::Config(ConfigCommand::Check { file }) => check::run(file.or(explicit)),
        Command::Data(command) => {
            let loaded = Config::load(explicit)?;
            logging::init(&loaded.config.telemetry, logging::Role::Client)?;
            data::run(command, loaded)
        }
        Command::Outbox(command) => client(explicit, |loaded| outbox::run(command, loaded)),
        Command::Budget(args) => client(explicit, |loaded| budget::run(args, loaded)),
        Command::Usage(args) => client(explicit, |loaded| usage::run(args, loaded)),
        // Who writes a plugin need not have a gateway, nor a config file that is right.
        Command::Plugin(PluginCommand::New(args)) => new::run(&args),
        Command::Plugin(command) => {
            let threads = tokio::runtime::Builder::new_multi_thread();
            on(threads, explicit, |loaded| plugin::run(command, loaded))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "exoclaw", &mut script);
            output::print(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// Runs a client of a gateway: one thread is enough for it.
fn client<F>(explicit: Option<PathBuf>, command: impl FnOnce(Loaded) -> F) -> Result<Exit, CliError>
where
    F: Future<Output = Result<Exit, CliError>>,
{
    on(tokio::runtime::Builder::new_current_thread(), explicit, command)
}

/// Runs a command that is no gateway.
fn on<F>(
    mut threads: tokio::runtime::Builder,
    explicit: Option<PathBuf>,
    command: impl FnOnce(Loaded) -> F,
) -> Result<Exit, CliError>
where
    F: Future<Output = Result<Exit, CliError>>,
{
    let loaded = Config::load(explicit)?;
    logging::init(&loaded.config.telemetry, logging::Role::Client)?;
    let runtime = threads.enable_all().build()?;
    let outcome = runtime.block_on(command(loaded));
    // A thread may still wait for a line from the terminal.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let mut config = Config::default();
        GatewayArgs { host: None, port: Some(0), demo: false }.apply(&mut config);
        assert_eq!((config.gateway.port, config.gateway.host), (0, Config::default().gateway.host));
    }

    #[test]
    fn the_config_option_may_stand_anywhere() -> Result<(), clap::Error> {
        for line in ["exoclaw --config a status", "exoclaw status --config a"] {
            assert_eq!(Cli::try_parse_from(line.split(' '))?.config, Some("a".into()));
        }
        Ok(())
    }
}
