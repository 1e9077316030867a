//! What a platform tells twice is one turn, and gets one answer.

use super::{answer_to, parrot, with};
use crate::harness::FakeProvider;
use crate::platform::{Discord, GitHub, Hook, Irc, Scheme, Slack, Telegram, WhatsApp};

/// After all that came before: what the model was asked.
fn asked(provider: &FakeProvider) -> usize {
    provider.count()
}

#[tokio::test]
async fn telegrams_updates_that_come_again_make_one_turn() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    telegram.says(&chat, &ada, "Once");
    telegram.shown(&chat, &answer_to("Once")).await;
    telegram.all_confirmed().await;
    telegram.repeat_all();
    telegram.all_confirmed().await;
    telegram.says(&chat, &ada, "And then");
    telegram.shown(&chat, &answer_to("And then")).await;
    assert_eq!((asked(&provider), telegram.texts(&chat).len()), (2, 2));
}

#[tokio::test]
async fn telegrams_pushes_that_come_again_make_one_turn() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let gateway = with(&provider, &telegram.hooking()).start().await;
    telegram.resolves_to(gateway.address());
    telegram.hooked().await;
    telegram.says(&chat, &ada, "Once");
    telegram.shown(&chat, &answer_to("Once")).await;
    telegram.all_confirmed().await;
    telegram.repeat_all();
    telegram.says(&chat, &ada, "And then");
    telegram.shown(&chat, &answer_to("And then")).await;
    assert_eq!((asked(&provider), telegram.texts(&chat).len()), (2, 2));
    assert_eq!(telegram.pushes().all(), [200; 3], "a repeat is taken, and that is all");
}

#[tokio::test]
async fn discords_messages_that_come_again_make_one_turn() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    discord.says(&direct, &ada, "Once");
    discord.gateway().repeats("MESSAGE_CREATE");
    discord.shown(&direct, &answer_to("Once")).await;
    discord.says(&direct, &ada, "And then");
    discord.shown(&direct, &answer_to("And then")).await;
    assert_eq!((asked(&provider), discord.contents(&direct).len()), (2, 2));
}

#[tokio::test]
async fn slacks_events_that_come_again_make_one_turn() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let channel = slack.hooking();
    let gateway = with(&provider, &channel).start().await;
    let hook = Hook::of(gateway.address(), channel.name());
    let (direct, user) = (slack.direct(), slack.user());
    slack.pushes_to(hook);
    let event = serde_json::json!({
        "type": "message", "user": user.id, "ts": "1700000000.000100", "event_ts": "1700000000.000100",
        "channel": direct.id, "channel_type": "im", "text": "Once",
    });
    let callback = slack.callback(event);
    slack.tells(callback.clone());
    slack.tells(callback);
    slack.shown(&direct, &answer_to("Once")).await;
    slack.says(&direct, &user, "And then");
    slack.shown(&direct, &answer_to("And then")).await;
    assert_eq!((asked(&provider), slack.texts(&direct).len()), (2, 2));
}

#[tokio::test]
async fn whatsapps_messages_that_come_again_late_or_out_of_order_make_one_turn_each() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, parrot().await);
    let channel = whatsapp.channel_table();
    let gateway = with(&provider, &channel).start().await;
    whatsapp.pushes_to(Hook::of(gateway.address(), channel.name()));
    let ada = "4915100000001";
    let text = |text: &str| whatsapp.message(ada, serde_json::json!({"type": "text", "text": {"body": text}}));
    let (one, two, three) = (text("One"), text("Two"), text("Three"));
    whatsapp.call(&whatsapp.callback(ada, vec![two.clone(), one.clone()]));
    whatsapp.call(&whatsapp.callback(ada, vec![one, two, three]));
    whatsapp.shown(ada, &answer_to("Three")).await;
    let mut texts = whatsapp.texts(ada);
    texts.sort();
    assert_eq!(texts, [answer_to("One"), answer_to("Three"), answer_to("Two")]);
    assert_eq!(whatsapp.pushes().all(), [200; 2]);
}

#[tokio::test]
async fn githubs_deliveries_that_come_again_make_one_turn() {
    let (github, provider) = (GitHub::start(Scheme::Tls).await, parrot().await);
    let channel = github.channel_table();
    let gateway = with(&provider, &channel).start().await;
    github.pushes_to(Hook::of(gateway.address(), channel.name()));
    let event = github.says(7, "octocat", "@exoclaw-bot once");
    github.comments().until("a comment", |comments| comments.len() == 1).await;
    let hook = Hook::of(gateway.address(), channel.name());
    for _ in 0..2 {
        let again = github.push(&hook, &event, "another-delivery-of-the-same", crate::platform::github::SECRET).await;
        assert_eq!(again.expect("an answer").status, 200);
    }
    // Another delivery is another event, even where it says the same; the third is a repeat of it.
    github.comments().until("a comment", |comments| comments.len() == 2).await;
    github.says(8, "octocat", "@exoclaw-bot and then");
    github.comments().find("a comment", |comment| comment.issue == 8).await;
    assert_eq!((asked(&provider), github.comments().all().len()), (3, 3));
}

#[tokio::test]
async fn ircs_lines_that_come_again_make_one_turn() {
    let (irc, provider) = (Irc::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &irc.channel_table()).start().await;
    irc.joined(1).await;
    for _ in 0..2 {
        irc.sends("@msgid=same :ada!ada@users.example PRIVMSG #lab :Once");
    }
    irc.says("ada", "#lab", "And then");
    irc.shown("#lab", &answer_to("And then")).await;
    assert_eq!((asked(&provider), irc.said().all().len()), (2, 2));
}
