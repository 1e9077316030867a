//! Connections that break are made anew, and nothing is lost between them.

use std::time::Duration;

use super::{answer_to, parrot, with};
use crate::platform::discord::Hangup;
use crate::platform::{Discord, Irc, Scheme, Slack, Telegram, Trouble};

#[tokio::test]
async fn discord_resumes_what_was_cut_and_hears_what_it_missed() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    discord.says(&direct, &ada, "Before");
    discord.shown(&direct, &answer_to("Before")).await;
    discord.gateway().cuts();
    discord.gateway().hangups().until("it is cut", |hangups| hangups.len() == 1).await;
    discord.says(&direct, &ada, "Between");
    discord.gateway().resumed(1).await;
    discord.shown(&direct, &answer_to("Between")).await;

    // Discord asks for a new connection; the bot leaves its session open.
    discord.gateway().asks_to_reconnect();
    discord.says(&direct, &ada, "Meanwhile");
    discord.gateway().resumed(2).await;
    discord.shown(&direct, &answer_to("Meanwhile")).await;
    let left = discord.gateway().hangups().all().pop();
    assert!(!matches!(left, Some(Hangup::Bot(1000 | 1001))), "{left:?} ends the session");

    // A session that is over is begun anew.
    discord.gateway().invalidates(false);
    discord.gateway().identified(2).await;
    discord.says(&direct, &ada, "After");
    discord.shown(&direct, &answer_to("After")).await;
    assert_eq!((provider.count(), discord.contents(&direct).len()), (4, 4));
}

#[tokio::test]
async fn a_connection_of_discords_that_answers_no_heartbeat_is_left() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    discord.gateway().beat_every(Duration::from_millis(300));
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    discord.gateway().acts().find("a heartbeat", |act| act == "heartbeat").await;
    discord.gateway().acknowledges(false);
    let hangups = discord.gateway().hangups().until("the bot leaves", |hangups| !hangups.is_empty()).await;
    assert!(!matches!(hangups[0], Hangup::Bot(1000 | 1001) | Hangup::Discord), "{hangups:?}");
    discord.gateway().acknowledges(true);
    discord.gateway().resumed(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    discord.says(&direct, &ada, "Hello");
    discord.shown(&direct, &answer_to("Hello")).await;
}

#[tokio::test]
async fn discord_is_not_asked_again_after_a_code_that_says_so() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, parrot().await);
    let gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    discord.gateway().closes(4004);
    // Whoever runs it is told.
    let ready = async {
        loop {
            let ready = gateway.get("/readyz").await;
            if ready.status != 200 {
                return ready.body;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = crate::harness::within("/readyz tells of it", ready).await;
    assert!(told.contains("discord"), "{told}");
    assert_eq!(discord.gateway().acts().count(|act| act != "heartbeat"), 1, "it did not connect again");
}

#[tokio::test]
async fn slacks_connections_follow_one_another_without_a_gap() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &slack.socketed()).start().await;
    slack.socket_mode().connected(1).await;
    let (direct, user) = (slack.direct(), slack.user());
    slack.socket_mode().cuts();
    slack.says(&direct, &user, "Between");
    slack.socket_mode().connected(2).await;
    slack.shown(&direct, &answer_to("Between")).await;
    slack.socket_mode().refreshes();
    slack.says(&direct, &user, "Meanwhile");
    slack.socket_mode().connected(3).await;
    slack.shown(&direct, &answer_to("Meanwhile")).await;
    slack.socket_mode().all_acknowledged().await;
    assert_eq!((provider.count(), slack.texts(&direct).len()), (2, 2));
}

#[tokio::test]
async fn irc_logs_in_again_under_another_nick_where_its_own_is_taken() {
    let (irc, provider) = (Irc::start(Scheme::Tls).await, parrot().await);
    let _gateway = with(&provider, &irc.channel_table()).start().await;
    assert_eq!(irc.welcomed(1).await, "exo");
    irc.joined(1).await;
    irc.takes("exo");
    irc.cuts();
    assert_eq!(irc.welcomed(2).await, "exo_");
    irc.joined(2).await;
    irc.says("ada", "#lab", "Still there?");
    irc.shown("#lab", &answer_to("Still there?")).await;
}

#[tokio::test]
async fn telegrams_poll_that_breaks_is_made_again() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    for trouble in [Trouble::DropBefore, Trouble::DropAfter] {
        telegram.desk().plan("getUpdates", trouble);
    }
    telegram.says(&chat, &ada, "Hello");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    telegram.shown(&chat, &answer_to("Hello")).await;
    assert_eq!((provider.count(), telegram.texts(&chat).len()), (1, 1));
}
