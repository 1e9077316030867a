//! What holds of every line and every text.

use exoclaw_guest::channel::{
    Action, Address, Call, Channel, Content, Context, Event, Frame, Next, OutboundFrame, Outgoing, Piece, TaggedFrame,
};
use proptest::prelude::*;

use crate::delivery::{self, Progress};
use crate::line::Line;
use crate::state::{Phase, State};
use crate::text::{lines, unformatted};
use crate::{Irc, IrcSettings, TAG};

/// Lines that are nearly right, besides any text at all.
fn line() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "@time=",
        "2026-03-14T14:09:26.123Z",
        "@",
        "account=",
        ";",
        "msgid=",
        "\\",
        ":",
        " ",
        "exo",
        "ada!a@h",
        "PRIVMSG",
        "CAP",
        "LS",
        "ACK",
        "*",
        "AUTHENTICATE",
        "+",
        "001",
        "433",
        "473",
        "904",
        "#lab",
        "NICK",
        "JOIN",
        "KICK",
        "PING",
        "ERROR",
        "\u{1}",
        "ACTION ",
        "\u{3}4,1",
        "é",
        "\u{202e}",
        "\0",
        "\r",
    ]);
    prop_oneof![
        prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat()),
        any::<String>(),
        any::<String>().prop_map(|text| format!(":ada!a@h PRIVMSG exo :{text}")),
    ]
}

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Offline, Phase::Registering, Phase::Identified, Phase::Ready])
}

fn context(random: u64) -> Context {
    Context { settings: "{}".into(), webhook_url: None, now: 1_773_497_366_000, random, attempt: 1 }
}

fn settings() -> IrcSettings {
    IrcSettings { nick: "exo".into(), channels: vec!["#lab".into()], sasl: true, ..IrcSettings::default() }
}

fn written(frame: &OutboundFrame) -> String {
    let OutboundFrame::Text(pieces) = frame else { panic!("IRC sends text") };
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(_) => String::new(),
    };
    pieces.iter().map(text).collect()
}

proptest! {
    /// Whatever a server says, the same follows each time, nothing that is sent ends its line, and
    /// what is heard has an id.
    #[test]
    fn every_line_is_survived(lines in prop::collection::vec(line(), 1..8), phase in phase(), random: u64) {
        let mut state = State { phase, nick: "exo".into(), connection: "c".into(), ..State::default() };
        let context = context(random);
        for line in lines {
            let receive = |state: &State| {
                let event = Event::Frame(TaggedFrame { tag: TAG.into(), frame: Frame::Text(line.clone()) });
                Irc::receive(Call { context: &context, settings: settings(), state: state.clone() }, event).unwrap()
            };
            let (received, again) = (receive(&state), receive(&state));
            prop_assert_eq!(&received.state, &again.state);
            for action in &received.actions {
                if let Action::Send(send) = action {
                    prop_assert!(!written(&send.frame).contains(['\r', '\n', '\0']));
                }
            }
            for message in &received.messages {
                prop_assert!(!message.event_id.is_empty() && !message.address.peer.is_empty() && !message.sender.id.is_empty());
                prop_assert!(!message.text.chars().any(char::is_control));
                prop_assert!(received.state.is_some());
            }
            state = received.state.unwrap_or(state);
        }
    }

    /// An answer arrives whole: each of its lines fits, and no word is lost.
    #[test]
    fn lines_fit_and_lose_nothing(text in "[a-zé👋 \n\r\t\u{0}\u{1}]{0,2000}", target in "#[a-z]{1,50}") {
        let lines = lines(&text, &target).unwrap();
        for line in &lines {
            prop_assert!(!line.is_empty() && !line.chars().any(char::is_control));
            prop_assert!(1 + 32 + 1 + 11 + 1 + 63 + 1 + "PRIVMSG  :\r\n".len() + target.len() + line.len() <= 512);
        }
        let letters = |text: &str| text.chars().filter(|char| !char.is_control() && *char != ' ').collect::<String>();
        prop_assert_eq!(letters(&lines.concat()), letters(&text));
    }

    /// Whatever the model writes to whomever, it stays one PRIVMSG a line, and it comes to an end.
    #[test]
    fn every_answer_ends(markdown in any::<String>(), peer in any::<String>(), handle in prop::option::of(any::<String>())) {
        let state = State { phase: Phase::Ready, nick: "exo".into(), connection: "c".into(), ..State::default() };
        let outgoing = Outgoing {
            id: "a".repeat(20),
            created_at: 0,
            address: Address { account: None, peer, guild: None, team: None, thread: None },
            handle: handle.map(String::into_bytes),
            reply_to: None,
            content: Content::Markdown(markdown),
        };
        let mut progress = Progress::default();
        loop {
            let step = delivery::next(0, &state, &outgoing, progress);
            progress = step.progress;
            match step.next {
                Next::Frame(frame) => {
                    let line = written(&frame.frame);
                    let line = Line::parse(&line).unwrap();
                    prop_assert_eq!((line.source, line.command), ("", "PRIVMSG"));
                    prop_assert!(!line.param(0).contains(',') && !line.param(1).is_empty() && line.param(2).is_empty());
                }
                Next::Wait(_) => {}
                _ => break,
            }
        }
    }

    #[test]
    fn what_has_no_formatting_any_more_stays_as_it_is(text: String) {
        let plain = unformatted(&text);
        prop_assert_eq!(unformatted(&plain), plain);
    }
}
