//! An IRC server: lines over TLS, RFC 1459 and RFC 2812 as <https://modern.ircdocs.horse> has them.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::desk::{Desk, Seen};
use super::server::{Scheme, Stream, tls};

pub(crate) const PASSWORD: &str = "irc-server-password-for-tests";

/// A line of a client's with its end, without tags (RFC 1459, section 2.3).
const LINE: usize = 512;

/// What each line costs of a client's credit, and how far it may be ahead (RFC 1459, section 8.10).
const COST: Duration = Duration::from_secs(2);
const CREDIT: Duration = Duration::from_secs(10);

/// A server with one client that matters: the bot.
pub(crate) struct Irc {
    address: SocketAddr,
    scheme: Scheme,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    desk: Desk,
    said: Seen<Said>,
    /// Nicks under which the bot was welcomed, one for each connection.
    welcomes: Seen<String>,
    joins: Seen<String>,
    pongs: Seen<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nicks of others.
    taken: HashSet<String>,
    way: Option<mpsc::UnboundedSender<Out>>,
    next: u64,
}

enum Out {
    Line(String),
    Cut,
}

/// What the bot said, to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) target: String,
    pub(crate) text: String,
}

impl Irc {
    pub(crate) async fn start(scheme: Scheme) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let mut task = JoinSet::new();
        task.spawn(accept(listener, tls(scheme), Arc::clone(&shared)));
        Self { address, scheme, shared, _task: task }
    }

    /// As the guest's settings name it.
    pub(crate) fn server(&self) -> String {
        match self.scheme {
            Scheme::Plain => format!("tcp://{}", self.address),
            Scheme::Tls => format!("tls://{}", self.address),
        }
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.shared.desk
    }

    /// Gives a nick to someone else.
    pub(crate) fn takes(&self, nick: &str) {
        self.lock().taken.insert(nick.to_ascii_lowercase());
    }

    /// Someone writes to a channel, or to the bot by its nick.
    pub(crate) fn says(&self, nick: &str, target: &str, text: &str) {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        state.send(format!("@msgid=m{id} :{nick}!{nick}@users.example PRIVMSG {target} :{text}"));
    }

    /// A line as it is.
    pub(crate) fn sends(&self, line: &str) {
        self.lock().send(line.to_owned());
    }

    /// Ends the connection without a word.
    pub(crate) fn cuts(&self) {
        let way = self.lock().way.take().expect("the bot is connected");
        let _ = way.send(Out::Cut);
    }

    pub(crate) fn said(&self) -> &Seen<Said> {
        &self.shared.said
    }

    pub(crate) fn pongs(&self) -> &Seen<String> {
        &self.shared.pongs
    }

    /// Waits until the bot was welcomed so often, and returns its last nick.
    pub(crate) async fn welcomed(&self, times: usize) -> String {
        let nicks = self.shared.welcomes.until("the bot logs in", |nicks| nicks.len() >= times).await;
        nicks.last().expect("just seen").clone()
    }

    /// Waits until the bot has joined so many channels, over all its connections.
    pub(crate) async fn joined(&self, times: usize) {
        self.shared.joins.until("the bot joins", |joins| joins.len() >= times).await;
    }

    pub(crate) async fn shown(&self, target: &str, text: &str) -> Said {
        let wanted = |said: &Said| said.target == target && said.text == text;
        self.said().find(&format!("IRC shows {text:?} in {target}"), wanted).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.state.lock().expect("no poison")
    }
}

impl Drop for Irc {
    fn drop(&mut self) {
        self.shared.desk.close("IRC");
    }
}

impl State {
    fn send(&self, line: String) {
        let way = self.way.as_ref().expect("the bot is connected");
        let _ = way.send(Out::Line(line));
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a live socket");
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            match tls {
                None => serve(Box::new(stream), &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(Box::new(stream), &shared).await;
                    }
                }
            }
        });
    }
}

/// A client that logs in, or has.
struct Client<'a> {
    shared: &'a Shared,
    out: mpsc::UnboundedSender<Out>,
    password: bool,
    nick: Option<String>,
    user: bool,
    negotiating: bool,
    welcome: bool,
    channels: HashSet<String>,
    ahead_until: Instant,
    over: bool,
}

async fn serve(stream: Box<dyn Stream>, shared: &Shared) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let (out, mut lines) = mpsc::unbounded_channel();
    let mut client = Client {
        shared,
        out,
        password: false,
        nick: None,
        user: false,
        negotiating: false,
        welcome: false,
        channels: HashSet::new(),
        ahead_until: Instant::now(),
        over: false,
    };
    let mut line = Vec::new();
    loop {
        tokio::select! {
            // What was said before a cut goes out before it.
            Some(next) = lines.recv() => match next {
                Out::Line(line) => {
                    if writer.write_all(format!("{line}\r\n").as_bytes()).await.is_err() {
                        return;
                    }
                    let _ = writer.flush().await;
                }
                Out::Cut => return,
            },
            // Cancelled, it has kept what it read.
            read = reader.read_until(b'\n', &mut line) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) if !line.ends_with(b"\n") => return,
                Ok(_) => {
                    client.hears(&line);
                    line.clear();
                }
            },
        }
    }
}

impl Client<'_> {
    fn reply(&self, line: impl std::fmt::Display) {
        let _ = self.out.send(Out::Line(format!(":irc.example {line}")));
    }

    fn wrong(&mut self, why: impl std::fmt::Display) {
        self.over = true;
        self.shared.desk.violation(why.to_string());
        let _ = self.out.send(Out::Line(format!("ERROR :{why}")));
        let _ = self.out.send(Out::Cut);
    }

    fn hears(&mut self, line: &[u8]) {
        if self.over {
            return;
        }
        let Some(text) = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()) else {
            return self.wrong(format!("no line of UTF-8 that ends with CR LF: {line:?}"));
        };
        if line.len() > LINE || text.contains(['\r', '\n', '\0']) {
            return self.wrong(format!("a line of {} bytes: {text:?}", line.len()));
        }
        let now = Instant::now();
        self.ahead_until = self.ahead_until.max(now) + COST;
        // Logging in is given for free.
        if self.welcome && self.ahead_until > now + CREDIT + COST {
            return self.wrong("Excess Flood");
        }
        let (head, last) = text.split_once(" :").map_or((text, None), |(head, last)| (head, Some(last)));
        let mut words: Vec<&str> = head.split(' ').collect();
        words.extend(last);
        let nick = self.nick.clone().unwrap_or_else(|| "*".into());
        match words.as_slice() {
            ["CAP", "LS", "302"] => {
                self.negotiating = true;
                self.reply(format!("CAP {nick} LS :message-tags server-time multi-prefix"));
            }
            ["CAP", "REQ", wanted] => self.reply(format!("CAP {nick} ACK :{wanted}")),
            ["CAP", "END"] => self.negotiating = false,
            ["PASS", password] => self.password = *password == PASSWORD,
            ["NICK", wanted] => {
                match self.shared.state.lock().expect("no poison").taken.contains(&wanted.to_ascii_lowercase()) {
                    true => self.reply(format!("433 {nick} {wanted} :Nickname is already in use")),
                    false => self.nick = Some((*wanted).to_owned()),
                }
            }
            ["USER", _, "0", "*", _] => self.user = true,
            ["PING", token] => self.reply(format!("PONG irc.example :{token}")),
            ["PONG", token] => self.shared.pongs.push((*token).to_owned()),
            ["QUIT", ..] => {
                let _ = self.out.send(Out::Cut);
            }
            _ if !self.welcome => return self.wrong(format!("451: you have not registered: {text}")),
            ["JOIN", channels] => self.join(&nick, channels),
            ["PRIVMSG" | "NOTICE", target, said] => self.speak(&nick, target, said),
            _ => return self.wrong(format!("421: unknown command: {text}")),
        }
        if !self.welcome && !self.negotiating && self.user && self.nick.is_some() {
            self.admit();
        }
    }

    fn admit(&mut self) {
        let nick = self.nick.clone().unwrap_or_default();
        if !self.password {
            self.reply(format!("464 {nick} :Password incorrect"));
            let _ = self.out.send(Out::Cut);
            return;
        }
        self.welcome = true;
        self.ahead_until = Instant::now();
        self.reply(format!("001 {nick} :Welcome to the network, {nick}"));
        self.reply(format!("002 {nick} :Your host is irc.example"));
        self.reply(format!("005 {nick} CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 :are supported by this server"));
        self.reply(format!("422 {nick} :MOTD File is missing"));
        self.shared.state.lock().expect("no poison").way = Some(self.out.clone());
        self.shared.welcomes.push(nick);
    }

    fn join(&mut self, nick: &str, channels: &str) {
        for channel in channels.split(',') {
            if !channel.starts_with('#') {
                return self.wrong(format!("403: no such channel: {channel}"));
            }
            self.channels.insert(channel.to_owned());
            let _ = self.out.send(Out::Line(format!(":{nick}!exo@bot.example JOIN {channel}")));
            self.reply(format!("353 {nick} = {channel} :{nick}"));
            self.reply(format!("366 {nick} {channel} :End of /NAMES list"));
            self.shared.joins.push(channel.to_owned());
        }
    }

    fn speak(&mut self, nick: &str, target: &str, said: &str) {
        if said.is_empty() {
            return self.wrong("412: no text to send");
        }
        if target.starts_with('#') && !self.channels.contains(target) {
            return self.wrong(format!("404: cannot send to channel: {target}"));
        }
        // Others are told with the sender's mask before the line, which must fit, too.
        let told = format!(":{nick}!exo@bot.example PRIVMSG {target} :{said}\r\n");
        if told.len() > LINE {
            return self.wrong(format!("a line of {} bytes is cut before others see it", told.len()));
        }
        self.shared.said.push(Said { target: target.to_owned(), text: said.to_owned() });
    }
}
