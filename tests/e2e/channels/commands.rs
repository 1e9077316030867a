//! Commands in chat, which the gateway answers itself.

use super::{answer_to, parrot, with};
use crate::platform::{Discord, Irc, Scheme, Telegram};

#[tokio::test]
async fn help_and_status_are_answered_without_the_model() {
    let (telegram, discord, irc, provider) = (
        Telegram::start(Scheme::Tls).await,
        Discord::start(Scheme::Tls).await,
        Irc::start(Scheme::Tls).await,
        parrot().await,
    );
    let builder = discord.channel_table().on(with(&provider, &telegram.polled()));
    let _gateway = irc.channel_table().on(builder).start().await;
    discord.gateway().identified(1).await;
    let nick = irc.welcomed(1).await;
    let ((chat, ada), direct) = (telegram.private("Ada"), discord.direct());
    for command in ["/help", "/status"] {
        telegram.writes(
            &chat,
            &ada,
            serde_json::json!({
                "text": command,
                "entities": [{"type": "bot_command", "offset": 0, "length": command.len()}],
            }),
        );
        discord.says(&direct, &discord.user("Ada"), command);
        irc.says("ada", &nick, command);
    }
    telegram.messages().until("Telegram shows two answers", |shown| shown.len() == 2).await;
    discord.messages().until("Discord shows two answers", |shown| shown.len() == 2).await;
    irc.said().until("IRC shows answers", |said| said.len() >= 2).await;
    assert!(telegram.texts(&chat)[0].contains("/stop"), "{:?}", telegram.texts(&chat));
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn a_new_conversation_has_forgotten_the_one_before() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let (chat, ada) = telegram.private("Ada");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    telegram.says(&chat, &ada, "My cat is called Schrodinger");
    telegram.shown(&chat, &answer_to("My cat is called Schrodinger")).await;
    telegram.says(&chat, &ada, "/new");
    telegram.messages().until("the command is answered", |shown| shown.len() == 2).await;
    telegram.says(&chat, &ada, "What is my cat called?");
    telegram.shown(&chat, &answer_to("What is my cat called?")).await;
    let last = provider.bodies().pop().expect("a request").to_string();
    assert!(!last.contains("Schrodinger"), "{last}");
}
