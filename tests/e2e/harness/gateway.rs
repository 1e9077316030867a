//! The real binary, with a home of its own, on a port of its own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use super::cli::Finished;
use super::http::{Fetched, fetch};
use super::{FakeProvider, within};

/// The config file, in its owner's folder.
const CONFIG: &str = "test.toml";

/// What a gateway is started with.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    home: Option<Arc<TempDir>>,
    providers: String,
    models: Vec<String>,
    agent: String,
    gateway: String,
    plugins: Option<String>,
    rest: String,
    file: ConfigFile,
    arguments: Vec<String>,
    ignored: Option<String>,
    environment: Vec<(String, String)>,
}

/// Whether there is a config file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ConfigFile {
    #[default]
    Written,
    Missing,
}

impl Builder {
    /// Starts it in this folder, where another may have been before. Without one it has a folder of its own.
    pub(crate) fn home(mut self, home: &Arc<TempDir>) -> Self {
        self.home = Some(Arc::clone(home));
        self
    }

    /// Starts it without any config file.
    pub(crate) fn without_config(mut self) -> Self {
        self.file = ConfigFile::Missing;
        self
    }

    /// Lets the agent ask a fake provider's model; the next one stands in for it.
    pub(crate) fn provider(mut self, provider: &FakeProvider) -> Self {
        let wire = provider.wire();
        let _ = writeln!(self.providers, "[providers.{}]\nbase_url = \"{}\"", wire.name(), provider.base_url());
        self.models.push(format!("{}/{}", wire.name(), wire.model()));
        self.env(wire.key_variable(), wire.key())
    }

    /// Lines for the table of the provider that was named last.
    pub(crate) fn provider_lines(mut self, lines: &str) -> Self {
        let _ = writeln!(self.providers, "{lines}");
        self
    }

    /// Lines for `[agent]`.
    pub(crate) fn agent(mut self, lines: &str) -> Self {
        let _ = writeln!(self.agent, "{lines}");
        self
    }

    /// Lines for `[gateway]`.
    pub(crate) fn gateway(mut self, lines: &str) -> Self {
        let _ = writeln!(self.gateway, "{lines}");
        self
    }

    /// The tools that come with exoclaw. Without them or [`Builder::plugins`] there are none,
    /// which starts sooner.
    pub(crate) fn bundled_tools(self) -> Self {
        self.plugins("")
    }

    /// `[[plugins]]` tables.
    pub(crate) fn plugins(mut self, tables: &str) -> Self {
        let _ = writeln!(self.plugins.get_or_insert_default(), "{tables}");
        self
    }

    /// Further tables.
    pub(crate) fn tables(mut self, tables: &str) -> Self {
        let _ = writeln!(self.rest, "{tables}");
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it so that it ignores a signal, as a shell names it.
    pub(crate) fn ignoring(mut self, signal: &str) -> Self {
        self.ignored = Some(signal.into());
        self
    }

    fn config(&self) -> String {
        let mut config = String::new();
        if self.plugins.is_none() {
            config.push_str("plugins = []\n");
        }
        let models: Vec<_> = self.models.iter().map(|model| format!("{model:?}")).collect();
        let _ = writeln!(config, "[agent]");
        if !models.is_empty() {
            let _ = writeln!(config, "models = [{}]", models.join(", "));
        }
        let _ = writeln!(config, "{}[gateway]\n{}{}{}", self.agent, self.gateway, self.providers, self.rest);
        config + self.plugins.as_deref().unwrap_or_default()
    }

    fn command(&self, home: &Path) -> Command {
        let mut command = match &self.ignored {
            None => exoclaw_in(home),
            // What is ignored stays so in the program that takes the shell's place.
            Some(signal) => {
                let mut shell = Command::new("/bin/sh");
                let script = format!("trap '' {signal}; exec \"$0\" \"$@\"");
                shell.args(["-c", &script, env!("CARGO_BIN_EXE_exoclaw")]);
                in_home(shell, home)
            }
        };
        if self.file == ConfigFile::Written {
            let file = home.join(CONFIG);
            std::fs::write(&file, self.config()).expect("a writable folder");
            command.arg("--config").arg(file);
        }
        command.arg("gateway").args(["--port", "0"]).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(self) -> Gateway {
        let mut gateway = self.launch();
        gateway.listens().await;
        gateway
    }

    fn folder(&self) -> Arc<TempDir> {
        self.home.clone().unwrap_or_else(|| Arc::new(TempDir::new().expect("a temporary folder")))
    }

    /// Starts it, and waits for nothing.
    pub(crate) fn launch(self) -> Gateway {
        let home = self.folder();
        let mut command = self.command(home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let (stdout, lines) = read_stdout(child.stdout.take().expect("piped"));
        let logs = Arc::new(watch::Sender::new(Vec::new()));
        let kept = Arc::clone(&logs);
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let stderr = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.send_modify(|lines| lines.push(line));
            }
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let readers = vec![stdout, stderr];
        Gateway { child, address: unknown, home, lines, logs, readers, config: self.config() }
    }

    /// Starts it where it must refuse to, and returns what it said.
    pub(crate) async fn refuses_to_start(self) -> Finished {
        let home = self.folder();
        let finished = Finished::of(self.command(home.path())).await;
        assert_ne!(finished.code, Some(0), "the gateway started: {finished:?}");
        assert!(!finished.stderr.contains("panicked at"), "{finished:?}");
        finished
    }
}

/// The binary, with nothing of the caller's environment.
pub(crate) fn exoclaw_in(home: &Path) -> Command {
    in_home(Command::new(env!("CARGO_BIN_EXE_exoclaw")), home)
}

fn in_home(mut command: Command, home: &Path) -> Command {
    command.env_clear().env("HOME", home).env("EXOCLAW_HOME", home.join(".exoclaw")).current_dir(home);
    command
}

fn read_stdout(stdout: ChildStdout) -> (JoinHandle<()>, mpsc::UnboundedReceiver<String>) {
    let (sender, lines) = mpsc::unbounded_channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (reader, lines)
}

/// A gateway that runs as long as this lives.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    home: Arc<TempDir>,
    lines: mpsc::UnboundedReceiver<String>,
    logs: Arc<watch::Sender<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    config: String,
}

impl Gateway {
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// A gateway without tools whose agent asks `provider`.
    pub(crate) async fn with(provider: &FakeProvider) -> Self {
        Self::builder().provider(provider).start().await
    }

    /// Waits until it listens.
    pub(crate) async fn listens(&mut self) {
        let line = self.line().await;
        let address = line.strip_prefix("exoclaw 0.1.0 listens on ws://").and_then(|rest| rest.strip_suffix("/ws"));
        let address = address.and_then(|address| address.parse::<SocketAddr>().ok());
        self.address = address.unwrap_or_else(|| panic!("an unexpected first line: {line}"));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, as clients are told.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// Its owner's folder.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The next line of its standard output.
    pub(crate) async fn line(&mut self) -> String {
        within("a line of the gateway", self.lines.recv()).await.expect("the gateway runs")
    }

    pub(crate) async fn get(&self, path: &str) -> Fetched {
        fetch(self.address, path, &[]).await.expect("an HTTP response")
    }

    /// Waits until it has logged a line with all of these words, and returns it.
    pub(crate) async fn logged(&self, words: &[&str]) -> String {
        let mut logs = self.logs.subscribe();
        let found = |line: &&String| words.iter().all(|word| line.contains(word));
        let line = async {
            loop {
                if let Some(line) = logs.borrow_and_update().iter().find(found) {
                    return line.clone();
                }
                logs.changed().await.expect("we hold the sender");
            }
        };
        within(&format!("a line of the log with {words:?}"), line).await
    }

    /// Writes its config file anew.
    pub(crate) fn edit_config(&mut self, edit: impl FnOnce(&str) -> String) {
        self.config = edit(&self.config);
        std::fs::write(self.home.path().join(CONFIG), &self.config).expect("a writable folder");
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// What a terminal sends when it is closed, and an owner who has edited the config file.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end and returns its exit code, and all that it logged.
    pub(crate) async fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let end = async { while self.lines.recv().await.is_some() {} };
        within("the gateway ends", end).await;
        let status = self.child.wait().expect("our child");
        (status.code(), self.join_logs())
    }

    /// Ends it at once, and returns all that it logged.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_logs()
    }

    fn join_logs(&mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.logs.borrow().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let logs = self.kill();
        if std::thread::panicking() {
            eprintln!("--- config\n{}--- log\n{}\n---", self.config, logs.join("\n"));
        }
    }
}
