//! Text that looks like something else is text.

use super::{answer_to, parrot, with};
use crate::harness::Gateway;
use crate::platform::telegram::TOKEN;
use crate::platform::{Discord, Scheme, Slack, Telegram, discord, slack};

/// What looks like a secret's name, a template, a mention of all, markup that is left open, a text that turns
/// around, and characters that nobody sees.
const TEXTS: &[&str] = &[
    "{secret:bot-token} ${bot-token} {{bot-token}} {body} %7Bsecret%7D",
    "@everyone @here <!channel> <@&1> and all",
    "</b></code><script>alert(1)</script> & < > \" '",
    "an *unclosed _emphasis `and code [and a link](http://",
    "abc\u{202e}fed\u{2066}x\u{200b}y\u{feff}z",
    "'; DROP TABLE sessions; -- \\ \\n \\u0000",
];

/// No secret is in the log.
fn keeps_silent(gateway: &mut Gateway, secrets: &[&str]) {
    let logs = gateway.kill();
    let told: Vec<_> = logs.iter().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
    assert!(told.is_empty(), "{told:#?}");
    assert!(!logs.iter().any(|line| line.contains("panicked at")), "{logs:#?}");
}

#[tokio::test]
async fn what_a_user_of_telegram_writes_names_no_secret_and_opens_no_markup() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("{secret:bot-token}");
    let mut gateway = with(&provider, &telegram.polled()).env("EXOCLAW_LOG", "trace").start().await;
    for (number, text) in TEXTS.iter().enumerate() {
        telegram.says(&chat, &ada, text);
        telegram.messages().until("an answer", |shown| shown.len() == number + 1).await;
    }
    for shown in telegram.messages().all() {
        assert!(!shown.source.contains(TOKEN), "{shown:?}");
    }
    assert_eq!(telegram.texts(&chat)[0], answer_to(TEXTS[0]));
    keeps_silent(&mut gateway, &[TOKEN]);
}

#[tokio::test]
async fn what_a_user_of_discord_writes_names_no_secret_and_calls_nobody() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let mut gateway = with(&provider, &discord.channel_table()).env("EXOCLAW_LOG", "trace").start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("{secret:bot-token}"));
    for (number, text) in TEXTS.iter().enumerate() {
        discord.says(&direct, &ada, text);
        discord.messages().until("an answer", |shown| shown.len() == number + 1).await;
    }
    for content in discord.contents(&direct) {
        assert!(!content.contains(discord::TOKEN), "{content}");
    }
    keeps_silent(&mut gateway, &[discord::TOKEN]);
}

#[tokio::test]
async fn what_a_user_of_slack_writes_names_no_secret_and_calls_nobody() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let mut gateway = with(&provider, &slack.socketed()).env("EXOCLAW_LOG", "trace").start().await;
    slack.socket_mode().connected(1).await;
    let (direct, user) = (slack.direct(), slack.user());
    for (number, text) in TEXTS.iter().enumerate() {
        // As Slack itself writes what a user types.
        let typed = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        slack.says(&direct, &user, &typed);
        slack.messages().until("an answer", |shown| shown.len() == number + 1).await;
    }
    for text in slack.texts(&direct) {
        assert!(!text.contains("<!channel>") && !text.contains(slack::BOT_TOKEN), "{text}");
    }
    keeps_silent(&mut gateway, &[slack::BOT_TOKEN, slack::APP_TOKEN]);
}
