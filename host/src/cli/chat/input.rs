//! Lines from a person, read on a thread of their own: a terminal's read blocks.

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;
use std::thread;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::sync::mpsc;

use super::super::CliError;

const PROMPT: &str = "> ";
/// Lines kept in the history file.
const HISTORY: usize = 1_000;

/// How lines are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keyboard {
    /// From a terminal: lines can be edited, and are remembered in `history`.
    Edited {
        /// The file; absent where there is no home.
        history: Option<PathBuf>,
    },
    /// As they come.
    Plain,
}

/// What the keyboard, or a pipe, gives.
pub(super) struct Input {
    /// Asks for one line. When it is dropped, the thread ends at the end of its line.
    ask: blocking::SyncSender<()>,
    lines: mpsc::Receiver<Result<String, CliError>>,
    asked: bool,
}

impl Input {
    /// Starts the thread.
    pub(super) fn start(keyboard: Keyboard) -> Result<Self, CliError> {
        let (ask, asked) = blocking::sync_channel(1);
        let (sender, lines) = mpsc::channel(1);
        let read = move || match keyboard {
            Keyboard::Edited { history } => edit(history, &asked, &sender),
            Keyboard::Plain => read(&asked, &sender),
        };
        thread::Builder::new().name("chat-input".into()).spawn(read)?;
        Ok(Self { ask, lines, asked: false })
    }

    /// The next line; none at the end. May be dropped while it waits, and called again.
    pub(super) async fn next(&mut self) -> Option<Result<String, CliError>> {
        if !self.asked {
            self.asked = self.ask.try_send(()).is_ok();
        }
        let line = self.lines.recv().await;
        self.asked = false;
        line
    }
}

fn edit(history: Option<PathBuf>, asked: &blocking::Receiver<()>, lines: &mpsc::Sender<Result<String, CliError>>) {
    let config = rustyline::Config::builder().max_history_size(HISTORY).map(|b| b.history_ignore_space(true).build());
    let mut editor = match config.and_then(DefaultEditor::with_config) {
        Ok(editor) => editor,
        Err(error) => return drop(lines.blocking_send(Err(CliError::failed(error)))),
    };
    if let Some(history) = &history {
        // There is neither folder nor file before the first chat, and chatting needs neither.
        let _ = history.parent().map(private_folder);
        let _ = editor.load_history(history);
    }
    while asked.recv().is_ok() {
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // Ctrl-C and Ctrl-D.
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return,
            Err(error) => return drop(lines.blocking_send(Err(CliError::failed(error)))),
        };
        if !line.trim().is_empty() {
            // A history that cannot be written is no reason to stop talking.
            let _ = editor.add_history_entry(&line);
            if let Some(history) = &history {
                let _ = editor.append_history(history);
            }
        }
        if lines.blocking_send(Ok(line)).is_err() {
            return;
        }
    }
}

/// What was said is the owner's alone. The editor makes its file so, too.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

fn read(asked: &blocking::Receiver<()>, lines: &mpsc::Sender<Result<String, CliError>>) {
    while asked.recv().is_ok() {
        let mut line = String::new();
        let read = match io::stdin().lock().read_line(&mut line) {
            Ok(0) => return,
            Ok(_) => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
            Err(error) => Err(CliError::failed(error)),
        };
        if lines.blocking_send(read).is_err() {
            return;
        }
    }
}
