//! A user: several sessions over one connection, which is made anew whenever it breaks.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::audit;
use crate::books::{Books, Sent};
use crate::dice::Dice;
use crate::harness::{DEADLINE, within};
use crate::link::{Gone, Link, Refusal};
use crate::model;

/// Sessions of one user.
const SESSIONS: usize = 3;

/// Messages of one session that may wait for their end at once.
const OPEN: usize = 2;

/// `busy`, the one refusal that a client gets over by trying again.
const BUSY: i64 = -32005;

/// What the world tells a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct World {
    /// Where the gateway listens, or last did.
    pub(crate) address: SocketAddr,
    pub(crate) mood: Mood,
}

/// Whether there is more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Talk,
    /// Nothing new is sent; what was begun comes to its end.
    Listen,
}

/// A user at work.
pub(crate) struct User {
    name: String,
    sessions: Vec<(String, String)>,
    books: Books,
    world: watch::Receiver<World>,
    dice: Dice,
}

impl User {
    pub(crate) fn new(number: usize, world: watch::Receiver<World>, dice: Dice) -> Self {
        let peers = (0..SESSIONS).map(|session| format!("u{number}s{session}"));
        let sessions = peers.map(|peer| (format!("default:websocket:local:{peer}"), peer)).collect();
        Self { name: format!("u{number}"), sessions, books: Books::default(), world, dice }
    }

    /// Talks, until it is told to listen and has heard the end of all that it began.
    pub(crate) async fn run(mut self) -> Books {
        loop {
            let address = self.world.borrow_and_update().address;
            match self.visit(address).await {
                Ok(()) => return self.books,
                // It is down, or coming up.
                Err(Gone) => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// One connection, until it breaks or there is nothing left to do.
    async fn visit(&mut self, address: SocketAddr) -> Result<(), Gone> {
        let mut link = Link::connect(address).await?;
        for (session, _) in &self.sessions {
            let after = self.books.seen.get(session).map_or(0, |seen| seen.last());
            link.subscribe(session, after).await?;
        }
        for name in self.books.unacknowledged() {
            self.send(&mut link, &name).await?;
        }
        if self.dice.once_in(4) {
            let (session, _) = &self.sessions[self.dice.below(SESSIONS)];
            audit::acknowledged_is_stored(&mut link, session, &self.books).await?;
        }
        loop {
            let talk = self.world.borrow_and_update().mood == Mood::Talk;
            if let Some(name) = talk.then(|| self.something_new()).flatten() {
                self.send(&mut link, &name).await?;
                continue;
            }
            if !talk && self.sessions.iter().all(|(session, _)| self.books.open(session) == 0) {
                return Ok(());
            }
            tokio::select! {
                note = link.note() => self.take(&mut link, note?).await?,
                _ = self.world.changed() => {}
                () = sleep(DEADLINE) => panic!("{} waits in vain for {:?}", self.name, self.waits_for()),
            }
        }
    }

    /// A new message for a session that has not too many open, noted before it is sent.
    fn something_new(&mut self) -> Option<String> {
        let (session, _) = &self.sessions[self.dice.below(SESSIONS)];
        if self.books.open(session) >= OPEN {
            return None;
        }
        let name = format!("{}m{}", self.name, self.books.sent.len());
        self.books.sent.insert(name.clone(), Sent { session: session.clone(), turn: None });
        Some(name)
    }

    /// Sends a message, for the first time or again, until it is acknowledged.
    async fn send(&mut self, link: &mut Link, name: &str) -> Result<(), Gone> {
        let session = &self.books.sent[name].session;
        let (_, peer) = self.sessions.iter().find(|(key, _)| key == session).expect("one of ours");
        let params = json!({"content": model::content(name), "peer": peer, "idempotency_key": name});
        let taken_on = async {
            loop {
                match link.call("chat.send", params.clone()).await? {
                    Err(refusal) if refusal["code"] == BUSY => sleep(Duration::from_millis(5)).await,
                    answer => return Ok(answer),
                }
            }
        };
        let sent = within(&format!("{name} is taken on"), taken_on).await?;
        let sent = sent.unwrap_or_else(|refusal: Refusal| panic!("{name} was refused: {refusal}"));
        assert_eq!(sent["session"], session.as_str());
        self.books.acknowledged(name, sent["turn"].as_str().expect("a turn"));
        Ok(())
    }

    /// The messages whose turns have not ended.
    fn waits_for(&self) -> Vec<(&String, &Sent)> {
        let ended = |sent: &Sent| {
            let turn = sent.turn.as_deref();
            turn.is_some_and(|turn| self.books.seen.get(&sent.session).is_some_and(|seen| seen.end(turn).is_some()))
        };
        self.books.sent.iter().filter(|(_, sent)| !ended(sent)).collect()
    }

    async fn take(&mut self, link: &mut Link, mut note: Value) -> Result<(), Gone> {
        let session = note["params"]["session"].as_str().expect("a session").to_owned();
        match note["method"].as_str() {
            Some("chat.event") => self.books.seen.entry(session).or_default().take(note["params"].take()),
            Some("chat.lagged") => {
                let after = self.books.seen.get(&session).map_or(0, |seen| seen.last());
                link.subscribe(&session, after).await?;
            }
            _ => panic!("a note of no kind that is known: {note}"),
        }
        Ok(())
    }
}
