//! `exoclaw chat`: a conversation with an agent, or one question.

mod conversation;
mod input;
mod screen;
mod view;

use std::io::{self, IsTerminal};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::client::Target;
use super::{ChatArgs, CliError, Exit, output};
use crate::config::Loaded;
use crate::store::DoneReason;
use conversation::{Conversation, Outcome, Parties};
use input::{Input, Keyboard};
use screen::{Colours, Reply, Style};
use view::{Asides, View};

const HELP: &str = "\
/session  which session this is
/reset    begin anew: the agent forgets what was said
/quit     end the chat; Ctrl-D does too
//...     a message that begins with a slash
Ctrl-C stops an answer that is being written.";

pub(super) async fn run(args: ChatArgs, loaded: Loaded) -> Result<Exit, CliError> {
    let target = Target::find(args.reach.url.as_deref(), &loaded)?;
    let shown = target.shown().to_owned();
    let mut view = view(&args);
    let parties = Parties { peer: args.peer, agent: args.agent };
    let mut conversation = Conversation::open(target, parties).await?;
    let mut interrupts = Interrupts::listen()?;
    let exit = match args.message {
        Some(message) => exit(&conversation.say(&message, &mut view, &mut interrupts.receiver).await?),
        None => {
            let keyboard = if io::stdin().is_terminal() && io::stdout().is_terminal() && !args.json {
                view.notice(&format!("connected to {shown}; /help lists commands, Ctrl-D ends")).await?;
                Keyboard::Edited { history: loaded.home.path().map(|home| home.join("history")) }
            } else {
                Keyboard::Plain
            };
            converse(&mut conversation, &mut view, Input::start(keyboard)?, &mut interrupts.receiver).await?
        }
    };
    conversation.close().await;
    Ok(exit)
}

/// Line by line, until the person has said all.
async fn converse(
    conversation: &mut Conversation,
    view: &mut View,
    mut input: Input,
    interrupts: &mut mpsc::Receiver<()>,
) -> Result<Exit, CliError> {
    let mut last = Exit::Done;
    loop {
        let line = tokio::select! {
            line = input.next() => line,
            Some(()) = interrupts.recv() => return Ok(Exit::Interrupted),
            () = conversation.idle() => continue,
        };
        let Some(line) = line.transpose()? else { return Ok(last) };
        let message = match line.trim() {
            "" => continue,
            "/quit" | "/exit" => return Ok(last),
            "/help" => {
                view.plain(HELP).await?;
                continue;
            }
            "/session" => {
                let session = conversation.session().map_or_else(String::new, |session| session.to_string());
                view.plain(&session).await?;
                continue;
            }
            "/reset" => {
                match conversation.reset().await {
                    Ok(()) => view.notice("the agent has forgotten what was said").await?,
                    Err(error) => view.notice(&error.to_string()).await?,
                }
                continue;
            }
            command if command.starts_with('/') && !command.starts_with("//") => {
                view.notice("no such command; /help lists them").await?;
                continue;
            }
            message => message.strip_prefix('/').unwrap_or(message),
        };
        last = match conversation.say(message, view, interrupts).await {
            Ok(outcome) => exit(&outcome),
            // The gateway may be back for the next message.
            Err(CliError::Client(error)) if error.is_passing() && io::stdin().is_terminal() => {
                view.notice(&error.to_string()).await?;
                Exit::Unreachable
            }
            Err(error) => return Err(error),
        };
        if last == Exit::Interrupted && !io::stdin().is_terminal() {
            return Ok(last);
        }
    }
}

fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Done(DoneReason::Aborted) | Outcome::Left => Exit::Interrupted,
        Outcome::Done(_) => Exit::Done,
        Outcome::Failed => Exit::Turn,
    }
}

/// How and where this chat is shown.
fn view(args: &ChatArgs) -> View {
    let (stdout, stderr) = (Box::new(tokio::io::stdout()), Box::new(tokio::io::stderr()));
    if args.json {
        return View::json(stdout, stderr);
    }
    let reply = if io::stdout().is_terminal() { Reply::Screen } else { Reply::File };
    let asides = match (&args.message, io::stderr().is_terminal()) {
        (None, _) if io::stdout().is_terminal() => Asides::WithReply,
        (_, true) => Asides::Apart,
        (_, false) => Asides::Hidden,
    };
    let colours = match asides {
        Asides::WithReply => output::colours(&io::stdout()),
        Asides::Apart | Asides::Hidden => output::colours(&io::stderr()),
    };
    let colours = if colours { Colours::Shown } else { Colours::Plain };
    View::people(stdout, stderr, Style { colours, reply }, asides)
}

/// Ctrl-C, counted. Dropping it ends the listening.
struct Interrupts {
    receiver: mpsc::Receiver<()>,
    task: AbortHandle,
}

impl Interrupts {
    fn listen() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(2);
        // The first call of `ctrl_c` sets the handler: from here on, Ctrl-C does not kill.
        let task = tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                // Two are all that anyone counts.
                let _ = sender.try_send(());
            }
        });
        Ok(Self { receiver, task: task.abort_handle() })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.task.abort();
    }
}
