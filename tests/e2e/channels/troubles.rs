//! A platform that is busy, broken or slow gets each answer once, and later.

use std::time::Duration;

use super::{answer_to, parrot, with};
use crate::platform::discord::{Discord, limits_too_many};
use crate::platform::slack::slack_too_many;
use crate::platform::whatsapp::too_many as whatsapp_too_many;
use crate::platform::{Answer, Hook, Scheme, Slack, Telegram, Trouble, WhatsApp};

#[tokio::test]
async fn telegram_is_left_alone_for_as_long_as_it_says() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let ((chat, ada), (other, bob)) = (telegram.private("Ada"), telegram.private("Bob"));
    let _gateway = with(&provider, &telegram.polled()).start().await;
    telegram.floods(&chat, "sendMessage", 2);
    telegram.says(&chat, &ada, "One");
    telegram.says(&chat, &ada, "Two");
    telegram.shown(&chat, &answer_to("Two")).await;
    telegram.says(&other, &bob, "Another's");
    telegram.shown(&other, &answer_to("Another's")).await;
    assert_eq!(telegram.texts(&chat), [answer_to("One"), answer_to("Two")], "in order, and once");
    assert!(telegram.desk().is_calm());
}

#[tokio::test]
async fn telegrams_failures_are_outlived() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let broken = || Trouble::Refuse(Answer::bytes(502, "text/html", b"<html>Bad Gateway</html>".to_vec()));
    for method in ["getMe", "deleteWebhook", "getUpdates", "getUpdates"] {
        telegram.desk().plan(method, broken());
    }
    telegram.desk().plan("getUpdates", Trouble::DropAfter);
    telegram.says(&chat, &ada, "Hello");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    telegram.shown(&chat, &answer_to("Hello")).await;
    telegram.all_confirmed().await;
    assert!(telegram.desk().is_calm(), "all of it has happened");
    assert_eq!((provider.count(), telegram.texts(&chat).len()), (1, 1));
}

#[tokio::test]
async fn a_group_that_has_moved_is_followed() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (group, ada) = (telegram.group("Lab"), telegram.user("Ada"));
    let _gateway = with(&provider, &telegram.polled()).start().await;
    let moved = telegram.migrate(&group);
    telegram.says(&group, &ada, "Hello");
    telegram.shown(&moved, &answer_to("Hello")).await;
}

#[tokio::test]
async fn discords_limits_are_kept_and_its_failures_outlived_without_a_second_message() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    discord.limit(2, Duration::from_secs(1));
    for number in 0..6 {
        discord.says(&direct, &ada, &format!("m{number}"));
    }
    discord.shown(&direct, &answer_to("m5")).await;
    assert_eq!(discord.limited(), 0, "what the headers say is enough");
    assert_eq!(discord.contents(&direct).len(), 6);

    discord.limit(1_000, Duration::from_secs(1));
    let operation = "POST messages";
    discord.desk().plan(operation, Trouble::Refuse(limits_too_many(Duration::from_millis(300), false)));
    discord.desk().plan(operation, Trouble::Refuse(limits_too_many(Duration::from_millis(300), true)));
    discord.desk().plan(operation, Trouble::Refuse(Answer::bytes(503, "text/plain", b"upstream".to_vec())));
    discord.desk().plan(operation, Trouble::DropBefore);
    discord.desk().plan(operation, Trouble::DropAfter);
    discord.says(&direct, &ada, "At last");
    discord.shown(&direct, &answer_to("At last")).await;
    discord.says(&direct, &ada, "And then");
    discord.shown(&direct, &answer_to("And then")).await;
    assert!(discord.desk().is_calm());
    // What was carried out and not answered was sent again, and Discord knew it by its nonce.
    assert_eq!((discord.contents(&direct).len(), discord.repeats()), (8, 1));
}

#[tokio::test]
async fn slack_is_left_alone_for_as_long_as_it_says() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &slack.socketed()).start().await;
    slack.socket_mode().connected(1).await;
    let (direct, user) = (slack.direct(), slack.user());
    slack.desk().plan("chat.postMessage", Trouble::Refuse(slack_too_many(Duration::from_secs(1))));
    slack.desk().plan("chat.postMessage", Trouble::Refuse(Answer::empty(503)));
    slack.says(&direct, &user, "Hello");
    slack.shown(&direct, &answer_to("Hello")).await;
    assert!(slack.desk().is_calm());
    assert_eq!(slack.texts(&direct).len(), 1);
}

#[tokio::test]
async fn whatsapp_is_asked_again_when_it_is_busy() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, parrot().await);
    let channel = whatsapp.channel_table();
    let gateway = with(&provider, &channel).start().await;
    whatsapp.pushes_to(Hook::of(gateway.address(), channel.name()));
    let ada = "4915100000001";
    // The first call of this route may be the one that shows typing; it comes again by itself.
    whatsapp.desk().plan("messages", Trouble::Refuse(whatsapp_too_many()));
    whatsapp.desk().plan("messages", Trouble::Refuse(whatsapp_too_many()));
    whatsapp.says(ada, "Hello");
    whatsapp.shown(ada, &answer_to("Hello")).await;
    assert!(whatsapp.desk().is_calm());
    assert_eq!(whatsapp.texts(ada).len(), 1);
}

#[tokio::test]
async fn a_platform_that_does_not_answer_holds_up_no_other() {
    let (telegram, discord, provider) =
        (Telegram::start(Scheme::Tls).await, Discord::start(Scheme::Tls).await, parrot().await);
    let ((chat, ada), gate) = (telegram.private("Ada"), crate::harness::Gate::new());
    let builder = with(&provider, &telegram.polled());
    let _gateway = discord.channel_table().on(builder).start().await;
    discord.gateway().identified(1).await;
    telegram.desk().plan("sendMessage", Trouble::ActLate(gate.clone()));
    telegram.says(&chat, &ada, "Slowly");
    telegram.desk().operations().find("it is asked to send", |operation| operation == "sendMessage").await;
    let (direct, bob) = (discord.direct(), discord.user("Bob"));
    discord.says(&direct, &bob, "At once");
    discord.shown(&direct, &answer_to("At once")).await;
    let (other, eve) = telegram.private("Eve");
    telegram.says(&other, &eve, "At once, too");
    telegram.shown(&other, &answer_to("At once, too")).await;
    assert_eq!(telegram.texts(&chat), Vec::<String>::new());
    gate.open();
    telegram.shown(&chat, &answer_to("Slowly")).await;
}
