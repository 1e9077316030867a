//! Discord, by its gateway: a platform that knows a send by its nonce.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit;
use crate::chosen;
use crate::life::{Lives, answer_to, model, pause};
use crate::platform::discord::Shown;
use crate::platform::{Discord, Scheme};

/// Channels in which people write.
const CHANNELS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_behind_discord_it_loses_nothing_and_repeats_nothing() {
    let (messages, mut dice) = chosen();
    let discord = Arc::new(Discord::start(Scheme::Plain).await);
    discord.desk().lag("POST messages", 0..25, dice.next());
    let provider = model(dice.split(2)).await;
    let mut lives = Lives::new(&provider, &discord.channel_table(), "", dice.split(3));
    let channels: Vec<_> = (0..CHANNELS).map(|_| discord.direct()).collect();
    let ada = discord.user("Ada");

    // Its session is stored once something of it was answered. Discord keeps for it what is said while it is down.
    let gateway = lives.peace().await;
    discord.gateway().identified(1).await;
    discord.says(&channels[0], &ada, "at first");
    discord.shown(&channels[0], &answer_to("at first")).await;
    lives.died(gateway);

    let done = Arc::new(AtomicBool::new(false));
    let mut names: BTreeSet<String> = (0..messages).map(|number| format!("message {number}")).collect();
    let writer = tokio::spawn({
        let (discord, done, mut dice) = (Arc::clone(&discord), Arc::clone(&done), dice.split(4));
        let (channels, ada) = (channels.clone(), ada.clone());
        async move {
            for number in 0..messages {
                discord.says(&channels[dice.below(CHANNELS)], &ada, &format!("message {number}"));
                tokio::time::sleep(pause(&mut dice)).await;
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    while !done.load(Ordering::SeqCst) {
        lives.violence().await;
    }
    for _ in 0..3 {
        lives.violence().await;
    }
    writer.await.expect("a writer who found nothing wrong");

    let mut gateway = lives.peace().await;
    names.insert("at first".into());
    let answered = names.iter().map(|name| answer_to(name)).collect::<BTreeSet<_>>();
    let all = |shown: &Vec<Shown>| {
        let contents: BTreeSet<&str> = shown.iter().map(|shown| shown.content.as_str()).collect();
        answered.iter().all(|text| contents.contains(text.as_str()))
    };
    let shown = discord.messages().until("every message is answered", all).await;
    audit::one_turn_each(&gateway, &names).await;
    let unknown = audit::unknown(&gateway).await;
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");

    let identified = discord.gateway().acts().count(|act| act == "identify");
    assert_eq!(identified, 1, "every life but the first resumes");
    let contents: BTreeSet<&str> = shown.iter().map(|shown| shown.content.as_str()).collect();
    eprintln!(
        "  {messages} messages, {} kills, {} replies, {} sends that Discord knew by their nonce",
        lives.kills.len(),
        shown.len(),
        discord.repeats()
    );
    assert_eq!(contents.len(), shown.len(), "a reply is there twice");
    assert!(unknown.is_empty(), "Discord can tell: {unknown:#?}");
}
