//! The channel as its host sees it: events in, state, messages and actions out.

use exoclaw_guest::channel::{
    Action, Address, Content, Context, Conversation, Disconnection, File, Frame, Health, Next, OutboundFrame, Piece,
    Start, TaggedFrame,
};

use super::*;
use crate::state::Phase;

const NOW: u64 = 1_773_497_366_000;

/// A channel between two events.
struct Bench {
    settings: IrcSettings,
    state: State,
    now: u64,
}

impl Bench {
    fn new(settings: &str) -> Self {
        let settings: IrcSettings = serde_json::from_str(settings).unwrap();
        Self { settings, state: State::default(), now: NOW }
    }

    /// One that was welcomed as `exo`.
    fn ready(settings: &str) -> Self {
        let mut bench = Self::new(settings);
        bench.event(Event::Start(Start::New));
        bench.event(Event::Connected(TAG.into()));
        bench.state.phase = Phase::Identified;
        bench.line(":irc.example 001 exo :Welcome to the network, exo");
        bench
    }

    fn context(&self) -> Context {
        Context { settings: "{}".into(), webhook_url: None, now: self.now, random: 7, attempt: 1 }
    }

    fn event(&mut self, event: Event) -> Received<State> {
        let settings = IrcSettings {
            server: self.settings.server.clone(),
            nick: self.settings.nick.clone(),
            username: self.settings.username.clone(),
            realname: self.settings.realname.clone(),
            channels: self.settings.channels.clone(),
            ..self.settings
        };
        let context = self.context();
        let received = Irc::receive(Call { context: &context, settings, state: self.state.clone() }, event).unwrap();
        if let Some(state) = &received.state {
            self.state = state.clone();
        }
        received
    }

    fn line(&mut self, line: &str) -> Received<State> {
        self.event(Event::Frame(TaggedFrame { tag: TAG.into(), frame: Frame::Text(line.into()) }))
    }

    fn deliver(&self, outgoing: &Outgoing, progress: Progress) -> Step<Progress> {
        delivery::next(self.now, &self.state, outgoing, progress)
    }

    /// All that a delivery sends, and how it ends.
    fn delivered(&self, outgoing: &Outgoing) -> (Vec<String>, Next) {
        let (mut progress, mut lines) = (Progress::default(), vec![]);
        loop {
            let step = self.deliver(outgoing, progress);
            progress = step.progress;
            match step.next {
                Next::Frame(frame) => lines.push(written(&frame.frame)),
                Next::Wait(_) => {}
                next => return (lines, next),
            }
        }
    }
}

fn written(frame: &OutboundFrame) -> String {
    let OutboundFrame::Text(pieces) = frame else { panic!("IRC sends text") };
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Secret(name) => format!("<{name}>"),
        })
        .collect()
}

/// What is sent, and what is reported, in short.
fn done(received: &Received<State>) -> Vec<String> {
    let told = |action: &Action| match action {
        Action::Send(send) => written(&send.frame),
        Action::Connect(_) => "(connect)".into(),
        Action::Disconnect(_) => "(close)".into(),
        Action::SetTimer(timer) => format!("({} in {} s)", timer.tag, timer.after_ms / 1000),
        Action::CancelTimer(_) => String::new(),
        Action::Report(Health::Connecting(to)) => format!("(connecting to {to})"),
        Action::Report(Health::Ready) => "(ready)".into(),
        Action::Report(Health::Degraded(why)) => format!("(degraded: {why})"),
        Action::Report(Health::Failed(why)) => format!("(failed: {why})"),
        other => format!("{other:?}"),
    };
    received.actions.iter().map(told).filter(|told| !told.is_empty()).collect()
}

fn to(peer: &str, handle: Option<&str>, content: Content) -> Outgoing {
    Outgoing {
        id: "a".repeat(20),
        created_at: NOW,
        address: Address { account: None, peer: peer.into(), guild: None, team: None, thread: None },
        handle: handle.map(|nick| nick.as_bytes().to_vec()),
        reply_to: None,
        content,
    }
}

#[test]
fn it_logs_in_joins_and_says_so() {
    let mut bench = Bench::new(r##"{"nick": "exo", "channels": ["#lab", "#ops"], "sasl": true, "password": true}"##);
    let started = bench.event(Event::Start(Start::New));
    assert_eq!(done(&started), ["(connecting to tls://irc.libera.chat:6697)", "(connect)"]);
    let connected = bench.event(Event::Connected(TAG.into()));
    assert_eq!(
        done(&connected),
        ["CAP LS 302", "PASS <password>", "NICK exo", "USER exoclaw 0 * :exoclaw", "(register in 60 s)"]
    );
    assert!(done(&bench.line(":irc.example CAP * LS * :away-notify server-time echo-message")).is_empty());
    let request = bench.line(":irc.example CAP * LS :sasl=PLAIN,EXTERNAL account-tag");
    assert_eq!(done(&request), ["CAP REQ :server-time account-tag sasl"]);
    assert_eq!(done(&bench.line(":irc.example CAP exo ACK :server-time account-tag sasl")), ["AUTHENTICATE PLAIN"]);
    assert_eq!(done(&bench.line("AUTHENTICATE +")), ["AUTHENTICATE <sasl>"]);
    assert_eq!(done(&bench.line(":irc.example 433 * exo :Nickname is already in use.")), ["NICK exo_"]);
    assert_eq!(done(&bench.line(":irc.example 903 exo_ :SASL authentication successful")), ["CAP END"]);
    let welcome = bench.line(":irc.example 001 exo_ :Welcome");
    assert_eq!(done(&welcome), ["(ready)", "JOIN #lab,#ops", "(ping in 90 s)"]);
    assert_eq!((bench.state.nick.as_str(), bench.state.failures), ("exo_", 0));
}

#[test]
fn without_capabilities_it_logs_in_as_ever() {
    let mut bench = Bench::new(r#"{"nick": "exo"}"#);
    bench.event(Event::Connected(TAG.into()));
    assert!(done(&bench.line(":irc.example 421 exo CAP :Unknown command")).is_empty());
    assert_eq!(done(&bench.line(":irc.example 001 exo :Welcome")), ["(ready)", "(ping in 90 s)"]);
    let mut other = Bench::new(r#"{"nick": "exo"}"#);
    other.event(Event::Connected(TAG.into()));
    assert_eq!(done(&other.line(":irc.example CAP * LS :multi-prefix")), ["CAP END"]);
}

#[test]
fn a_server_that_asks_for_a_login_which_is_not_set_gets_none() {
    let mut bench = Bench::new("{}");
    bench.event(Event::Connected(TAG.into()));
    assert!(done(&bench.line("AUTHENTICATE +")).is_empty());
}

#[test]
fn a_login_that_is_refused_is_for_the_owner_and_nothing_is_said_without_it() {
    let sasl = r#"{"nick": "exo", "sasl": true}"#;
    for line in [
        ":irc.example 904 exo :SASL authentication failed",
        ":irc.example CAP * LS :server-time",
        ":irc.example 001 exo :Welcome",
        ":irc.example 465 exo :You are banned",
    ] {
        let mut bench = Bench::new(sasl);
        bench.event(Event::Connected(TAG.into()));
        let told = done(&bench.line(line));
        assert!(told[0].starts_with("(failed: ") && told.contains(&"(close)".into()), "{line}: {told:?}");
        assert_eq!(bench.state.phase, Phase::Offline, "{line}");
    }
}

#[test]
fn a_nick_that_is_always_taken_is_given_up() {
    let mut bench = Bench::new(r#"{"nick": "exo"}"#);
    bench.event(Event::Connected(TAG.into()));
    for nick in ["exo_", "exo__", "exo___", "exo____"] {
        assert_eq!(done(&bench.line(":irc.example 433 * exo :taken")), [format!("NICK {nick}")]);
    }
    assert!(done(&bench.line(":irc.example 433 * exo :taken"))[0].contains("the nick exo is taken"));
}

#[test]
fn a_connection_is_kept_alive_and_found_dead() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    assert_eq!(done(&bench.line("PING :irc.example a")), ["PONG :irc.example a"]);
    assert_eq!(done(&bench.event(Event::Timer("ping".into()))), ["PING :exoclaw", "(pong in 30 s)"]);
    assert_eq!(done(&bench.line(":irc.example PONG irc.example :exoclaw")), ["(ping in 90 s)"]);
    bench.event(Event::Timer("ping".into()));
    let dead = done(&bench.event(Event::Timer("pong".into())));
    assert_eq!(
        dead,
        ["(degraded: the connection ended: the server did not answer a PING)", "(connect in 1 s)", "(close)"]
    );
    assert_eq!(done(&bench.event(Event::Timer("connect".into())))[1], "(connect)");
}

#[test]
fn it_comes_back_later_each_time_and_at_last_every_ten_minutes() {
    let mut bench = Bench::new("{}");
    let mut waits = vec![];
    for _ in 0..12 {
        let gone = Disconnection { tag: TAG.into(), code: None, reason: "refused".into() };
        let received = bench.event(Event::Disconnected(gone));
        waits.extend(received.actions.iter().filter_map(|action| match action {
            Action::SetTimer(timer) if timer.tag == "connect" => Some(timer.after_ms),
            _ => None,
        }));
    }
    assert_eq!(waits.len(), 12);
    assert!(waits.is_sorted() && waits[0] >= 1_000 && waits[11] >= 300_000 && waits[11] <= 600_000, "{waits:?}");
}

#[test]
fn a_channel_that_it_cannot_join_is_told_until_it_can() {
    let mut bench = Bench::ready(r##"{"nick": "exo", "channels": ["#Lab"]}"##);
    let told = done(&bench.line(":irc.example 473 exo #lab :Cannot join channel (+i)"));
    assert_eq!(told, ["(degraded: #lab: Cannot join channel (+i))", "(join in 600 s)"]);
    assert!(done(&bench.line(":irc.example 473 exo #elsewhere :Cannot join channel (+i)")).is_empty());
    assert_eq!(done(&bench.event(Event::Timer("join".into())))[0], "JOIN #Lab");
    assert_eq!(done(&bench.line(":exo!~e@host JOIN #lab")), ["(ready)"]);
    let told = done(&bench.line(":op!o@host KICK #lab exo :no bots"));
    assert_eq!(told[0], "(degraded: #lab: op kicked us: no bots)");
}

#[test]
fn what_is_said_to_it_alone_is_direct() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    let line = "@time=2026-03-14T14:09:26.123Z;msgid=x1;account=Ada :ada!~a@host PRIVMSG exo :hello \x02there\x02";
    let received = bench.line(line);
    let message = &received.messages[0];
    assert_eq!((message.event_id.as_str(), message.text.as_str()), ("x1", "hello there"));
    assert_eq!((message.conversation, message.mentions_agent), (Conversation::Direct, true));
    assert_eq!((message.sender.id.as_str(), message.sender.name.as_deref()), ("Ada", Some("ada")));
    assert_eq!((message.address.peer.as_str(), message.sent_at), ("Ada", Some(NOW + 123)));
    assert!(received.state.is_some());
}

#[test]
fn a_nick_alone_proves_nothing() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    let id = |bench: &mut Bench, line: &str| bench.line(line).messages[0].sender.id.clone();
    assert_eq!(id(&mut bench, ":Ada!~a@Home PRIVMSG exo :hi"), "ada!^a@home");
    assert_eq!(id(&mut bench, ":ada!~a@elsewhere PRIVMSG exo :hi"), "ada!^a@elsewhere");
    assert_eq!(id(&mut bench, "@account=b!c@d :eve!e@f PRIVMSG exo :hi"), "eve!e@f");
}

#[test]
fn in_a_channel_it_is_addressed_by_its_nick() {
    let mut bench = Bench::ready(r##"{"nick": "exo", "channels": ["#lab"]}"##);
    for (text, said, addressed) in [
        ("exo: what's up?", "what's up?", true),
        ("@EXO, hi", "hi", true),
        ("exotic: no", "exotic: no", false),
        ("I like exo", "I like exo", false),
        ("\x01ACTION waves\x01", "* ada waves", false),
    ] {
        let message = bench.line(&format!(":ada!a@h PRIVMSG #Lab :{text}")).messages.remove(0);
        assert_eq!((message.text.as_str(), message.mentions_agent), (said, addressed), "{text}");
        assert_eq!((message.address.peer.as_str(), message.conversation), ("#lab", Conversation::Group));
    }
    assert_eq!(bench.line(":ada!a@h PRIVMSG @#lab :exo: ops only").messages[0].address.peer, "#lab");
}

#[test]
fn what_is_no_message_for_it_makes_none() {
    let mut bench = Bench::ready(r##"{"nick": "exo", "channels": ["#lab"]}"##);
    for line in [
        ":exo!~e@h PRIVMSG #lab :my own words",
        ":ada!a@h NOTICE exo :do not answer",
        ":ada!a@h PRIVMSG exo :\x01VERSION\x01",
        ":ada!a@h PRIVMSG exo :",
        ":ada!a@h PRIVMSG exo",
        ":irc.example PRIVMSG exo :a server speaks",
        "PRIVMSG exo :nobody speaks",
    ] {
        assert!(bench.line(line).messages.is_empty(), "{line}");
    }
    let mut early = Bench::new("{}");
    assert!(early.line(":ada!a@h PRIVMSG exoclaw :hi").messages.is_empty());
}

#[test]
fn the_same_words_twice_are_two_messages_and_a_playback_is_none() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    let id = |bench: &mut Bench, line: &str| bench.line(line).messages[0].event_id.clone();
    let plain = ":ada!a@h PRIVMSG exo :ok";
    assert_ne!(id(&mut bench, plain), id(&mut bench, plain));
    let timed = "@time=2026-03-14T14:09:26.123Z :ada!a@h PRIVMSG exo :ok";
    assert_eq!(id(&mut bench, timed), id(&mut bench, timed));
    assert_ne!(id(&mut bench, timed), id(&mut bench, &timed.replace("123Z", "124Z")));
    assert_eq!(id(&mut bench, timed), format!("{}-28c984301b4c28a5", NOW + 123));
}

#[test]
fn latin_1_does_not_end_the_conversation() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    let frame = Frame::Binary(b":ada!a@h PRIVMSG exo :gr\xfc\xdfe".to_vec());
    let received = bench.event(Event::Frame(TaggedFrame { tag: TAG.into(), frame }));
    assert_eq!(received.messages[0].text, "gr\u{fffd}\u{fffd}e");
}

#[test]
fn an_answer_goes_where_the_question_came_from_in_plain_lines() {
    let bench = Bench::ready(r#"{"nick": "exo"}"#);
    let markdown = || Content::Markdown("**Yes.**\n\nIt is `42`.".into());
    let (lines, end) = bench.delivered(&to("#lab", Some("ada"), markdown()));
    assert_eq!(lines, ["PRIVMSG #lab :Yes.", "PRIVMSG #lab :It is 42."]);
    assert!(matches!(end, Next::Done(ids) if ids.is_empty()));
    assert_eq!(bench.delivered(&to("Ada", Some("ada_"), markdown())).0[0], "PRIVMSG ada_ :Yes.");
    assert_eq!(bench.delivered(&to("ada!a@h", None, markdown())).0[0], "PRIVMSG ada :Yes.");
}

#[test]
fn no_answer_leaves_its_line() {
    let bench = Bench::ready(r#"{"nick": "exo"}"#);
    let (lines, _) =
        bench.delivered(&to("#lab", None, Content::Markdown("a\r\nQUIT\0\x01VERSION\x01 {sasl} ".repeat(40))));
    assert!(lines.iter().all(|line| line.starts_with("PRIVMSG #lab :") && line.len() <= 510), "{lines:?}");
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
    for peer in ["a b", "a,b", "", ":a", "ada\r\nQUIT", &"x".repeat(500)] {
        let (lines, end) = bench.delivered(&to(peer, None, Content::Markdown("hi".into())));
        assert!(lines.is_empty() && matches!(end, Next::Rejected(_)), "{peer:?}");
    }
}

#[test]
fn a_long_answer_keeps_a_pace() {
    let bench = Bench::ready(r#"{"nick": "exo"}"#);
    let outgoing = to("#lab", None, Content::Markdown("line  \n".repeat(6)));
    let (mut progress, mut steps) = (Progress::default(), String::new());
    loop {
        let step = bench.deliver(&outgoing, progress);
        progress = step.progress;
        match step.next {
            Next::Frame(_) => steps.push('f'),
            Next::Wait(PACE) => steps.push('w'),
            _ => break,
        }
    }
    assert_eq!(steps, "ffwfwfwfwf");
}

const PACE: u32 = 2_000;

#[test]
fn an_answer_waits_for_a_connection_and_says_when_it_may_have_been_lost() {
    let mut bench = Bench::ready(r#"{"nick": "exo"}"#);
    let outgoing = to("#lab", None, Content::Markdown("one\n\ntwo".into()));
    let Step { progress, next: Next::Frame(_), .. } = bench.deliver(&outgoing, Progress::default()) else {
        panic!("a line was expected")
    };
    bench.event(Event::Disconnected(Disconnection { tag: TAG.into(), code: None, reason: "cut".into() }));
    assert!(matches!(bench.deliver(&outgoing, progress).next, Next::Unknown(why) if why.contains("behind line 1")));
    let second = Progress { sent: 2, connection: "an earlier one".into(), rested: false };
    let step = bench.deliver(&outgoing, second);
    assert!(matches!(step.next, Next::Unknown(_)));
    // Said again, it goes on from the line that may have been lost.
    let mut back = Bench::ready(r#"{"nick": "exo"}"#);
    back.state.connection = "a later one".into();
    let Next::Frame(frame) = back.deliver(&outgoing, step.progress).next else { panic!("a line was expected") };
    assert_eq!(written(&frame.frame), "PRIVMSG #lab :two");
    assert!(matches!(bench.deliver(&outgoing, Progress::default()).next, Next::Wait(1_000)));
    bench.now += 21_600_000;
    assert!(matches!(bench.deliver(&outgoing, Progress::default()).next, Next::Rejected(_)));
}

#[test]
fn what_irc_does_not_have_is_said() {
    let bench = Bench::ready("{}");
    let file = File { id: "f".into(), name: "cat.png".into(), mime_type: "image/png".into(), size: 1 };
    assert!(matches!(bench.delivered(&to("#lab", None, Content::File(file))).1, Next::Rejected(_)));
    assert!(matches!(bench.delivered(&to("#lab", None, Content::Typing)).1, Next::Done(_)));
}

#[test]
fn its_setup_names_what_it_needs() {
    let settings = |json| serde_json::from_str::<IrcSettings>(json).unwrap();
    let setup = Irc::configure(settings(r#"{"server": "tcp://127.0.0.1:6667", "sasl": true}"#)).unwrap();
    assert_eq!((setup.secrets, setup.origins), (vec!["sasl".to_owned()], vec!["tcp://127.0.0.1:6667".to_owned()]));
    assert!(Irc::configure(settings(r#"{"nick": "a b"}"#)).is_err());
    assert!(Irc::configure(settings(r##"{"channels": ["#a\r\nQUIT"]}"##)).is_err());
    assert!(serde_json::from_str::<serde_json::Value>(IrcSettings::SCHEMA).is_ok());
}
