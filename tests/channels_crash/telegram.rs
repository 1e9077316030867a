//! Telegram, by long poll: a platform that does not know what it was sent before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::audit::{self, Sent};
use crate::chosen;
use crate::life::{Lives, OPEN, model, name, pause, unanswered};
use crate::platform::telegram::Shown;
use crate::platform::{Scheme, Telegram};

/// People who write.
const PEOPLE: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_behind_telegram_it_loses_nothing_and_repeats_only_what_telegram_cannot_tell() {
    let (messages, mut dice) = chosen();
    let telegram = Arc::new(Telegram::start(Scheme::Plain).await);
    // Answers take a while, so that a kill finds some on their way.
    telegram.desk().lag("sendMessage", 0..25, dice.next());
    let provider = model(dice.split(2)).await;
    let mut lives = Lives::new(&provider, &telegram.polled(), "[delivery]\nunknown = \"resend\"", dice.split(3));

    let said = Arc::new(AtomicUsize::new(0));
    let people: Vec<_> = (0..PEOPLE).map(|number| telegram.private(&format!("Person {number}"))).collect();
    let writer = tokio::spawn({
        let (telegram, said, mut dice) = (Arc::clone(&telegram), Arc::clone(&said), dice.split(4));
        async move {
            for number in 0..messages {
                let few =
                    |shown: &Vec<Shown>| unanswered(number, shown.iter().map(|shown| shown.text.as_str())).len() < OPEN;
                telegram.messages().until("people are answered", few).await;
                let (chat, user) = &people[dice.below(PEOPLE)];
                telegram.says(chat, user, &name(number));
                said.store(number + 1, Ordering::SeqCst);
                tokio::time::sleep(pause(&mut dice)).await;
            }
        }
    });
    let answered = async |said: usize| {
        let all = |shown: &Vec<Shown>| unanswered(said, shown.iter().map(|shown| shown.text.as_str())).is_empty();
        telegram.messages().until(&format!("the first {said} messages are answered"), all).await;
    };
    // As long as people write, and a little longer.
    let mut more = 3;
    while more > 0 {
        more -= usize::from(writer.is_finished());
        lives.violence(answered(said.load(Ordering::SeqCst))).await;
    }
    writer.await.expect("a writer who found nothing wrong");

    let mut gateway = lives.peace().await;
    answered(messages).await;
    telegram.all_confirmed().await;
    let names: BTreeSet<String> = (0..messages).map(name).collect();
    audit::one_turn_each(&gateway, &names).await;
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");

    let shown = telegram.messages().all();
    let sent: Vec<Sent> = shown
        .iter()
        .map(|shown| Sent {
            message: shown.text.strip_prefix("You said: ").expect("an answer").to_owned(),
            conversation: shown.chat.to_string(),
            at: shown.at,
        })
        .collect();
    let doubles = audit::doubles(&sent, &lives);
    let unknown = audit::unknown(lives.home.path()).await;
    eprintln!(
        "  {messages} messages, {} kills, {} replies, {} of them twice, {} listed as unknown",
        lives.kills.len(),
        sent.len(),
        doubles.len(),
        unknown.len()
    );
    for (message, times) in &doubles {
        let listed = unknown.get(message);
        assert!(listed >= Some(times), "{message} was sent {times} times too often, its owner is told of {listed:?}");
    }
}
