//! What an IRC server refuses.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::within;
use crate::platform::Scheme;
use crate::platform::irc::{Irc, PASSWORD, Said};

/// Sends these lines after a login, and returns all that the server said when it is gone.
async fn says(irc: &Irc, lines: &[&str]) -> String {
    let address = irc.server();
    let mut stream = TcpStream::connect(address.trim_start_matches("tcp://")).await.expect("a connection");
    let login = format!("CAP LS 302\r\nPASS {PASSWORD}\r\nNICK exo\r\nUSER exo 0 * :exo\r\nCAP END\r\nJOIN #lab\r\n");
    let text = format!("{login}{}\r\n", lines.join("\r\n"));
    stream.write_all(text.as_bytes()).await.expect("an open connection");
    let mut said = String::new();
    within("the server hangs up", stream.read_to_string(&mut said)).await.expect("UTF-8");
    said
}

#[tokio::test]
async fn what_is_no_line_of_irc_is_refused_and_fails_the_test() {
    let irc = Irc::start(Scheme::Plain).await;
    let long = format!("PRIVMSG #lab :{}", "x".repeat(500));
    let cut = format!("PRIVMSG #lab :{}", "x".repeat(480));
    let flood = ["PRIVMSG #lab :x"; 8];
    for (lines, error) in [
        (&["SING #lab :la"][..], "421"),
        (&["PRIVMSG #other :x"][..], "404"),
        (&["JOIN lab"][..], "403"),
        (&[long.as_str()][..], "a line of 516 bytes"),
        (&[cut.as_str()][..], "is cut before others see it"),
        (&["PRIVMSG #lab :a\nQUIT"][..], "no line of UTF-8"),
        (&flood[..], "Excess Flood"),
    ] {
        let said = says(&irc, lines).await;
        assert!(said.contains(" 001 exo ") && said.contains(error), "{lines:?}: {said}");
        assert_eq!(irc.desk().forgive().len(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_bot_logs_in_and_is_heard() {
    let irc = Irc::start(Scheme::Plain).await;
    irc.takes("exo");
    let address = irc.server();
    let stream = TcpStream::connect(address.trim_start_matches("tcp://")).await.expect("a connection");
    let mut stream = BufReader::new(stream);
    let login = format!("PASS {PASSWORD}\r\nNICK exo\r\nUSER exo 0 * :exo\r\n");
    stream.write_all(login.as_bytes()).await.expect("an open connection");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a line");
    assert!(line.contains(" 433 * exo "), "{line}");
    stream.write_all(b"NICK exo_\r\nJOIN #lab\r\nPRIVMSG #lab :hello there\r\n").await.expect("an open connection");
    assert_eq!(irc.welcomed(1).await, "exo_");
    irc.joined(1).await;
    irc.shown("#lab", "hello there").await;
    irc.says("ada", "#lab", "exo_: hello");
    let heard = async {
        loop {
            line.clear();
            stream.read_line(&mut line).await.expect("a line");
            if line.contains("PRIVMSG") {
                return line.clone();
            }
        }
    };
    assert_eq!(within("a line", heard).await, "@msgid=m1 :ada!ada@users.example PRIVMSG #lab :exo_: hello\r\n");
    assert_eq!(irc.said().all(), [Said { target: "#lab".into(), text: "hello there".into() }]);
}
