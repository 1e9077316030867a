//! Answers that a model was talked into: what is markup, a mention or a line of the platform's own
//! must come out as the text that it is, and change nothing but the text.

use crate::runtime::bindings::channel::{Body, Content, FieldValue, Next, Outbound, OutboundFrame, Outgoing, Step};

use super::super::report::{Case, Trial, quote};
use super::super::run::NOW;
use super::delivery::named;
use super::{Bench, STUCK, answers, promises, strain};

/// Steps of one answer that are looked at.
const STEPS: usize = 64;
/// Bytes of an answer that is far too long.
const LONG: usize = 1 << 20;

/// What an answer holds, and what then must not stand in what is sent.
struct Canary {
    platform: &'static str,
    written: &'static str,
    forbidden: &'static str,
}

const fn canary(platform: &'static str, written: &'static str, forbidden: &'static str) -> Canary {
    Canary { platform, written, forbidden }
}

/// By platform: what its markup would make of them.
const CANARIES: [Canary; 13] = [
    canary("telegram", "<b>canary</b>", "<b>canary"),
    canary("telegram", "<a href=\"https://a.invalid\">canary</a>", "<a href"),
    canary("telegram", "a & b &lt;canary", "a & b"),
    canary("telegram", "`<i>canary`", "<i>canary"),
    canary("telegram", "```\n</code></pre><b>canary\n```", "</code></pre><b>"),
    canary("telegram", "[canary](tg://user?id=1)", "href=\\\"tg:"),
    canary("slack", "canary <!channel> and <!here>", "<!"),
    canary("slack", "canary <@U0123456> <#C0123456>", "<@U"),
    canary("slack", "`<!everyone> canary`", "<!"),
    canary("slack", "```\n```\n<!channel> canary\n```\n```", "<!"),
    canary("discord", "canary @everyone", "@everyone"),
    canary("discord", "canary <@123456789012345678> <@&123456789012345678>", "<@"),
    canary("matrix", "<script>canary</script>", "<script>"),
];

/// On every platform.
const EVERYWHERE: [&str; 6] = [
    "canary {body} {url} {header:authorization} {{x}} ${x}",
    "canary\r\nQUIT :gone\r\nPRIVMSG #all :canary",
    "canary\u{0}\u{1b}[2J\u{202e}txt.exe\u{200b}",
    "canary \"}],\"chat_id\":1,\"a\":[{\"b\":\"",
    "canary\n--boundary\r\ncontent-disposition: form-data; name=\"chat_id\"\r\n\r\n1",
    "https://a.invalid/canary?a=b&c=\"><script>",
];

pub(super) async fn case(bench: &mut Bench<'_>, platform: &str) -> Case {
    let mut trial = Trial::begin("escaping", "sends what a model writes as text, whatever it looks like");
    // What harmless answers, of one part and of several, are sent with.
    let mut expected = Vec::new();
    for plain in ["Hello.".to_owned(), "All work and no play. ".repeat(500)] {
        let outgoing = bench.outgoing(Content::Markdown(plain));
        expected.extend(all(bench, &mut trial, &outgoing).await);
    }
    let secrets: Vec<String> = bench.setup.secrets.iter().map(|name| format!("canary {{{name}}} {name}")).collect();
    let everywhere = EVERYWHERE.into_iter().chain(secrets.iter().map(String::as_str)).map(|text| (text, None));
    let own = CANARIES.iter().filter(|canary| canary.platform == platform);
    let texts: Vec<(&str, Option<&str>)> =
        everywhere.chain(own.map(|canary| (canary.written, Some(canary.forbidden)))).collect();
    for (written, forbidden) in &texts {
        if bench.bounds.is_stuck() {
            return trial.skip(STUCK);
        }
        let outgoing = bench.outgoing(Content::Markdown((*written).to_owned()));
        for sent in all(bench, &mut trial, &outgoing).await {
            held(&mut trial, written, *forbidden, &expected, &sent);
        }
    }
    long(bench, &mut trial).await;
    trial.end(format!("{} answers", texts.len()))
}

/// What leaves the host.
enum Sent {
    Request(Box<Outbound>),
    Frame(OutboundFrame),
}

impl Sent {
    /// All of it that is not a file.
    fn written(&self) -> String {
        match self {
            Self::Frame(OutboundFrame::Text(template)) => promises::text(template),
            Self::Frame(OutboundFrame::Binary(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Request(request) => match &request.body {
                Body::Text(template) => promises::text(template),
                Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Body::File(_) => String::new(),
                Body::Form(fields) => {
                    let texts = fields.iter().filter_map(|field| match &field.value {
                        FieldValue::Text(template) => Some(promises::text(template)),
                        FieldValue::File(_) => None,
                    });
                    texts.collect::<Vec<_>>().join("\n")
                }
            },
        }
    }
}

fn held(trial: &mut Trial, text: &str, forbidden: Option<&str>, expected: &[Sent], sent: &Sent) {
    let written = sent.written();
    // A message that mentions nobody, whatever it says.
    let harmless = written.contains("\"allowed_mentions\":{\"parse\":[]");
    if let Some(forbidden) = forbidden.filter(|_| !harmless) {
        trial.require(!written.contains(forbidden), || {
            format!("the answer {}: {} is sent as it stands: {}", quote(text), quote(forbidden), quote(&written))
        });
    }
    if let Sent::Request(request) = sent {
        let alike = expected.iter().any(|plain| match plain {
            Sent::Request(plain) => {
                let place = plain.url == request.url && plain.method == request.method;
                place && strain::secrets_of(plain) == strain::secrets_of(request)
            }
            Sent::Frame(_) => false,
        });
        trial.require(alike, || {
            format!("the answer {} goes to an address, or with secrets, like no harmless one", quote(text))
        });
    }
}

/// All that a delivery sends, where every answer is good. Of lines, each is one.
async fn all(bench: &mut Bench<'_>, trial: &mut Trial, outgoing: &Outgoing) -> Vec<Sent> {
    let (mut sent, mut progress, mut outcome) = (Vec::new(), Vec::new(), None);
    for _ in 0..STEPS {
        let Ok(step) = bench.step(trial, outgoing, &progress, outcome.as_ref(), NOW).await else { break };
        let Step { next, .. } = step;
        progress = step.progress;
        outcome = None;
        match next {
            Next::Request(limited) => {
                outcome = Some(answers::kind(bench.setup, sent.len()));
                sent.push(Sent::Request(Box::new(limited.request)));
            }
            Next::Frame(frame) => {
                let what = named(&outgoing.content);
                promises::frame(trial, &what, &frame.frame, bench.setup, bench.speaks_lines());
                sent.push(Sent::Frame(frame.frame));
            }
            Next::Wait(_) => {}
            Next::Done(_) | Next::Rejected(_) | Next::Unknown(_) => break,
        }
    }
    sent
}

/// Only its first two steps: each reads all of it.
async fn long(bench: &mut Bench<'_>, trial: &mut Trial) {
    let text = "All *work* and no `play` makes a **dull** text, sentence after sentence.\n\n".repeat(LONG / 76);
    let outgoing = bench.outgoing(Content::Markdown(text));
    let Ok(step) = bench.step(trial, &outgoing, b"", None, NOW).await else { return };
    if let Next::Request(_) = step.next {
        let outcome = answers::kind(bench.setup, 0);
        let _ = bench.step(trial, &outgoing, &step.progress, Some(&outcome), NOW).await;
    }
}
