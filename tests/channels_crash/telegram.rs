//! Telegram, by long poll: a platform that does not know what it was sent before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::audit::{self, Count, Listed};
use crate::life::Lives;
use crate::people::{self, PLACES, Platform, Style, model, name};
use crate::platform::config::Channel;
use crate::platform::telegram::{Chat, Shown, User};
use crate::platform::{Scheme, Telegram};
use crate::{Chosen, chosen};

/// Telegram, and those who write there.
struct Stage {
    telegram: Telegram,
    people: Vec<(Chat, User)>,
}

impl Stage {
    async fn start() -> Arc<Self> {
        let telegram = Telegram::start(Scheme::Plain).await;
        let people = (0..PLACES).map(|number| telegram.private(&format!("Person {number}"))).collect();
        Arc::new(Self { telegram, people })
    }
}

impl Platform for Stage {
    fn say(&self, place: usize, text: &str) {
        let (chat, user) = &self.people[place];
        self.telegram.says(chat, user, text);
    }

    fn shown(&self) -> Vec<String> {
        texts(&self.telegram.messages().all())
    }

    async fn until(&self, what: &str, enough: impl Fn(&[String]) -> bool + Send + Sync) {
        self.telegram.messages().until(what, |shown| enough(&texts(shown))).await;
    }

    async fn quiet(&self) {
        self.telegram.quiet().await;
    }
}

fn texts(shown: &[Shown]) -> Vec<String> {
    shown.iter().map(|shown| shown.text.clone()).collect()
}

/// What is left of a run.
struct Left {
    counts: Vec<Count>,
    unknown: BTreeMap<usize, Listed>,
}

async fn run(chosen: Chosen, unknown: &str, style: Style) -> Left {
    let Chosen { messages, mut dice } = chosen;
    let stage = Stage::start().await;
    // Answers take a while, so that a kill finds some on their way.
    for operation in ["sendMessage", "editMessageText"] {
        let longest = if style == Style::Growing { 100 } else { 25 };
        stage.telegram.desk().lag(operation, 0..longest, dice.next());
    }
    let provider = model(dice.split(2), style).await;
    let channel: Channel = stage.telegram.polled();
    let channel = if style == Style::Growing { channel.drafts() } else { channel };
    let delivery = format!("[delivery]\nunknown = {unknown:?}");
    let mut lives = Lives::new(&stage, &provider, (&channel, &delivery), dice.split(3));
    let mut gateway = people::write(&stage, &mut lives, messages, unknown == "hold", dice.split(4)).await;
    stage.telegram.all_confirmed().await;
    let names: BTreeSet<String> = (0..messages).map(name).collect();
    audit::one_turn_each(&gateway, &names).await;
    let unknown = audit::unknown(&gateway).await;
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");
    let counts = audit::counts(&*stage, &lives, messages);
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    eprintln!(
        "  {messages} messages, {} kills, {} answers; {} requests were under way at a kill, of which {} had arrived",
        lives.kills(),
        sum(|count| count.shown),
        sum(|count| count.doubts),
        sum(|count| count.arrived)
    );
    Left { counts, unknown }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_behind_telegram_it_repeats_exactly_what_telegram_cannot_tell_and_lists_that() {
    let Left { counts, unknown } = run(chosen(1), "resend", Style::Whole).await;
    for (message, count) in counts.iter().enumerate() {
        assert_eq!(count.shown, 1 + count.arrived, "{}: {count:?}", name(message));
        let listed = unknown.get(&message).map_or(0, |listed| listed.times);
        assert_eq!(listed, count.doubts, "{}: {count:?}", name(message));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_behind_telegram_it_repeats_nothing_where_its_owner_wants_to_decide() {
    let Left { counts, unknown } = run(chosen(4), "hold", Style::Whole).await;
    for (message, count) in counts.iter().enumerate() {
        let in_doubt = count.doubts > 0;
        assert!(count.doubts <= 1, "{}: {count:?}", name(message));
        // What is in doubt is there if it arrived, and is left alone then.
        assert_eq!(count.shown, if in_doubt { count.arrived } else { 1 }, "{}: {count:?}", name(message));
        let listed = in_doubt.then(|| Listed { times: 1, state: "unknown".to_owned() });
        assert_eq!(unknown.get(&message), listed.as_ref(), "{}: {count:?}", name(message));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_answers_grow_it_leaves_each_whole_and_a_part_only_where_it_lists_one() {
    let Left { counts, unknown } = run(chosen(4), "resend", Style::Growing).await;
    for (message, count) in counts.iter().enumerate() {
        // An edit that was under way is made again, and shows nothing twice: so not every doubt is the owner's.
        let listed = unknown.get(&message).map_or(0, |listed| listed.times);
        assert!(count.shown > 0 && count.shown - 1 <= listed, "{}: {count:?}, {listed} listed", name(message));
        assert!(listed <= count.doubts, "{}: {count:?}, {listed} listed", name(message));
    }
}
