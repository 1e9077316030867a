//! Discord, by its gateway: a platform that knows a send by its nonce.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::{self, Count};
use crate::life::Lives;
use crate::people::{self, PLACES, Platform, Style, model, name, whole_answer};
use crate::platform::discord::{Channel, Shown, User};
use crate::platform::{Discord, Scheme};
use crate::{Chosen, chosen};

/// Discord, and where someone writes there.
struct Stage {
    discord: Discord,
    channels: Vec<Channel>,
    ada: User,
}

impl Platform for Stage {
    fn say(&self, place: usize, text: &str) {
        self.discord.says(&self.channels[place], &self.ada, text);
    }

    fn shown(&self) -> Vec<String> {
        texts(&self.discord.messages().all())
    }

    async fn until(&self, what: &str, enough: impl Fn(&[String]) -> bool + Send + Sync) {
        self.discord.messages().until(what, |shown| enough(&texts(shown))).await;
    }

    async fn quiet(&self) {
        self.discord.quiet().await;
    }
}

fn texts(shown: &[Shown]) -> Vec<String> {
    shown.iter().map(|shown| shown.content.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_behind_discord_it_loses_nothing_and_repeats_nothing() {
    let Chosen { messages, mut dice } = chosen(1);
    let discord = Discord::start(Scheme::Plain).await;
    discord.desk().lag("POST messages", 0..25, dice.next());
    let channels = (0..PLACES).map(|_| discord.direct()).collect();
    let stage = Arc::new(Stage { ada: discord.user("Ada"), channels, discord });
    let provider = model(dice.split(2), Style::Whole).await;
    let channel = stage.discord.channel_table();
    let mut lives = Lives::new(&stage, &provider, (&channel, ""), dice.split(3));

    // Its session is stored once something of it was answered. Discord keeps for it what is said while it is down.
    let gateway = lives.peace().await;
    stage.discord.gateway().identified(1).await;
    let first = messages;
    stage.say(0, &name(first));
    stage.discord.shown(&stage.channels[0], &whole_answer(first)).await;
    lives.died(gateway).await;

    let mut gateway = people::write(&stage, &mut lives, messages, false, dice.split(4)).await;
    let names: BTreeSet<String> = (0..=messages).map(name).collect();
    audit::one_turn_each(&gateway, &names).await;
    let unknown = audit::unknown(&gateway).await;
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");

    let identified = stage.discord.gateway().acts().count(|act| act == "identify");
    assert_eq!(identified, 1, "every life but the first resumes");
    let shown = stage.shown();
    let repeats = stage.discord.repeats();
    eprintln!(
        "  {messages} messages, {} kills, {} answers, {repeats} sends that Discord knew by their nonce",
        lives.kills(),
        shown.len()
    );
    assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "an answer is there twice");
    assert!(unknown.is_empty(), "Discord can tell: {unknown:#?}");
    let counts = audit::counts(&*stage, &lives, messages + 1);
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    let (arrived, doubts) = (sum(|count| count.arrived), sum(|count| count.doubts));
    // What had arrived was sent again, and of that some again; what was not under way was not.
    assert!((arrived..=doubts).contains(&repeats), "{arrived} of {doubts} had arrived, {repeats} came again");
}
