//! What a user writes on a platform comes back as the agent's answer, over every transport.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::{answer_to, parrot, slow_parrot, with};
use crate::harness::{Client, Gate};
use crate::platform::slack::BOT_USER;
use crate::platform::telegram::{PUBLIC_HOST, WEBHOOK_SECRET};
use crate::platform::whatsapp::VERIFY_TOKEN;
use crate::platform::{Discord, GitHub, Hook, Irc, Scheme, Slack, Telegram, WhatsApp};

#[tokio::test]
async fn telegram_answers_what_it_hears_by_long_poll() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    telegram.says(&chat, &ada, "Before it started");
    let gateway = with(&provider, &telegram.polled()).start().await;
    telegram.shown(&chat, &answer_to("Before it started")).await;
    telegram.says(&chat, &ada, "Is 1 < 2 & *true*?");
    telegram.shown(&chat, "You said: Is 1 < 2 & true?").await;
    telegram.all_confirmed().await;
    let topic = 42;
    let forum = telegram.forum("Lab", &[topic]);
    telegram.writes(&forum, &ada, json!({"text": "In a topic", "message_thread_id": topic, "is_topic_message": true}));
    assert_eq!(telegram.shown(&forum, &answer_to("In a topic")).await.thread, Some(topic));
    assert_eq!(telegram.conflicts(), 0, "one poll at a time");
    drop(gateway);
}

#[tokio::test]
async fn telegram_answers_what_it_is_called_with() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let gateway = with(&provider, &telegram.hooking()).start().await;
    telegram.resolves_to(gateway.address());
    let hook = telegram.hooked().await;
    assert_eq!(hook["url"], format!("https://{PUBLIC_HOST}/webhook/telegram"));
    assert_eq!(hook["secret_token"], WEBHOOK_SECRET);
    telegram.says(&chat, &ada, "Hello");
    telegram.shown(&chat, &answer_to("Hello")).await;
    assert_eq!(telegram.pushes().all(), [200]);
}

#[tokio::test]
async fn an_answer_grows_in_one_message() {
    let gate = Gate::new();
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, slow_parrot(&gate).await);
    let (chat, ada) = telegram.private("Ada");
    let _gateway = with(&provider, &telegram.polled().drafts()).start().await;
    telegram.says(&chat, &ada, "Hello");
    telegram.actions().find("the bot types", |action| action.action == "typing").await;
    gate.open();
    telegram.shown(&chat, &answer_to("Hello")).await;
    assert_eq!(telegram.texts(&chat).len(), 1, "however often it was edited");
}

#[tokio::test]
async fn discord_answers_in_channels_threads_and_directly() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    let (direct, guild, ada) = (discord.direct(), discord.text_channel("900"), discord.user("Ada"));
    let thread = discord.thread(&guild);
    for (channel, text) in [(&direct, "Directly"), (&guild, "To everyone"), (&thread, "In a thread")] {
        discord.says(channel, &ada, text);
        let shown = discord.shown(channel, &answer_to(text)).await;
        assert!(shown.nonce.is_some(), "a send that could not be repeated");
    }
    // It hears itself, too, and does not answer.
    assert_eq!((provider.count(), discord.messages().all().len()), (3, 3));
}

#[tokio::test]
async fn discord_answers_commands_that_it_is_called_with() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let channel = discord.channel_table();
    let gateway = with(&provider, &channel).start().await;
    discord.gateway().identified(1).await;
    let hook = Hook::of(gateway.address(), channel.name());
    let pong = discord.pings(&hook).await.expect("an answer");
    assert_eq!((pong.status, pong.text()), (200, json!({"type": 1}).to_string()));

    let (place, ada) = (discord.text_channel("900"), discord.user("Ada"));
    let options = json!([{"name": "text", "type": 3, "value": "Hello"}]);
    let (_, answer) = discord.commands(&hook, (&place, &ada), ("ask", options)).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    discord.shown(&place, &answer_to("Hello")).await;
}

#[tokio::test]
async fn slack_answers_what_comes_by_socket_mode() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &slack.socketed()).start().await;
    slack.socket_mode().connected(1).await;
    let (direct, channel, user) = (slack.direct(), slack.public(), slack.user());
    slack.says(&direct, &user, "1 &lt; 2 &amp; 3");
    slack.shown(&direct, "You said: 1 &lt; 2 &amp; 3").await;
    // Slack tells twice of a mention: as a message, and as a mention.
    slack.says(&channel, &user, &format!("<@{BOT_USER}> hello"));
    let shown = slack.messages().find("Slack shows an answer", |shown| shown.channel == channel.id).await;
    assert!(shown.text.starts_with("You said: "), "{shown:?}");
    slack.socket_mode().all_acknowledged().await;
    assert_eq!((provider.count(), slack.messages().all().len()), (2, 2));
}

#[tokio::test]
async fn slack_answers_what_comes_by_the_events_api() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let channel = slack.hooking();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let challenge = slack.verifies(&hook, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P").await;
    let challenge = challenge.expect("an answer");
    assert!(challenge.text().contains("3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"), "{challenge:?}");
    slack.pushes_to(hook);
    let (direct, user) = (slack.direct(), slack.user());
    slack.says(&direct, &user, "Hello");
    slack.shown(&direct, &answer_to("Hello")).await;
}

#[tokio::test]
async fn whatsapp_answers_what_it_is_called_with() {
    let gate = Gate::new();
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, slow_parrot(&gate).await);
    let channel = whatsapp.channel_table();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let challenge = whatsapp.verifies(&hook, VERIFY_TOKEN, "1158201444").await.expect("an answer");
    assert_eq!((challenge.status, challenge.text().as_str()), (200, "1158201444"));
    let refused = whatsapp.verifies(&hook, "another", "1158201444").await.expect("an answer");
    assert!(refused.status >= 400 && !refused.text().contains("1158201444"), "{refused:?}");

    whatsapp.pushes_to(hook);
    let ada = "4915100000001";
    let id = whatsapp.says(ada, "Hello");
    whatsapp.read().find("typing is shown", |(read, typing)| *read == id && *typing).await;
    gate.open();
    let shown = whatsapp.shown(ada, &answer_to("Hello")).await;
    for status in ["sent", "delivered", "read"] {
        whatsapp.status(&shown, status);
    }
    whatsapp.pushes().until("all is taken", |pushes| pushes.len() == 4).await;
    assert_eq!(whatsapp.pushes().all(), [200; 4]);
}

#[tokio::test]
async fn github_is_answered_by_a_comment() {
    let (github, provider) = (GitHub::start(Scheme::Tls).await, parrot().await);
    let channel = github.channel_table();
    let gateway = with(&provider, &channel).start().await;
    github.pushes_to(Hook::of(gateway.address(), channel.name()));
    github.says(7, "octocat", "@exoclaw-bot does it work?");
    let comment = github.comments().find("GitHub shows a comment", |comment| comment.issue == 7).await;
    assert!(comment.body.contains("does it work?"), "{comment:?}");
    assert_eq!(github.pushes().all(), [200]);
}

#[tokio::test]
async fn irc_answers_in_channels_and_privately() {
    let (irc, provider) = (Irc::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &irc.channel_table()).start().await;
    let nick = irc.welcomed(1).await;
    irc.joined(1).await;
    irc.says("ada", "#lab", "Hello all");
    irc.shown("#lab", &answer_to("Hello all")).await;
    irc.says("ada", &nick, "Hello you");
    irc.shown("ada", &answer_to("Hello you")).await;
    irc.sends("PING :are you there");
    irc.pongs().find("a pong", |token| token == "are you there").await;
}

#[tokio::test]
async fn the_owner_is_told_of_a_budget_where_they_asked_to_be() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let home = Arc::new(TempDir::new().expect("a temporary folder"));
    let builder = || with(&provider, &telegram.polled()).home(&home);
    let mut gateway = builder().start().await;
    telegram.says(&chat, &ada, "Hello");
    telegram.shown(&chat, &answer_to("Hello")).await;
    telegram.all_confirmed().await;
    let list = Client::connect(&gateway).await.call("session.list", json!({})).await.expect("sessions");
    let session = list["sessions"][0]["session"].as_str().expect("a session").to_owned();
    gateway.kill();

    // Each answer takes 18 tokens: after the second, more than a hundredth of them are spent.
    let budget = format!("[budgets]\ndaily = 2_000\nwarn_at = [1]\nwarn_to = [{session:?}]");
    let _gateway = builder().tables(&budget).start().await;
    telegram.says(&chat, &ada, "And again");
    telegram.shown(&chat, &answer_to("And again")).await;
    let seen = telegram.messages().find("a warning", |shown| shown.text.contains("are spent")).await;
    assert!(
        seen.text.contains("1 % of the daily budget of everything are spent: 36 tokens of 2000 tokens"),
        "{}",
        seen.text
    );
}
