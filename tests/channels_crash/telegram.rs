//! Telegram, by long poll: a platform that does not know what it was sent before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::{self, Sent};
use crate::chosen;
use crate::life::{Lives, answer_to, model, pause};
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

    let done = Arc::new(AtomicBool::new(false));
    let names: BTreeSet<String> = (0..messages).map(|number| format!("message {number}")).collect();
    let people: Vec<_> = (0..PEOPLE).map(|number| telegram.private(&format!("Person {number}"))).collect();
    let writer = tokio::spawn({
        let (telegram, done, mut dice) = (Arc::clone(&telegram), Arc::clone(&done), dice.split(4));
        async move {
            for number in 0..messages {
                let (chat, user) = &people[dice.below(PEOPLE)];
                telegram.says(chat, user, &format!("message {number}"));
                tokio::time::sleep(pause(&mut dice)).await;
            }
            done.store(true, Ordering::SeqCst);
        }
    });
    // As long as people write, and a little longer.
    while !done.load(Ordering::SeqCst) || telegram.unconfirmed() > 0 {
        lives.violence().await;
    }
    for _ in 0..3 {
        lives.violence().await;
    }
    writer.await.expect("a writer who found nothing wrong");

    let mut gateway = lives.peace().await;
    let answered = names.iter().map(|name| answer_to(name)).collect::<BTreeSet<_>>();
    let all = |shown: &Vec<crate::platform::telegram::Shown>| {
        let texts: BTreeSet<&str> = shown.iter().map(|shown| shown.text.as_str()).collect();
        answered.iter().all(|text| texts.contains(text.as_str()))
    };
    let shown = telegram.messages().until("every message is answered", all).await;
    audit::one_turn_each(&gateway, &names).await;
    let unknown = audit::unknown(&gateway).await;
    gateway.terminate();
    let (code, logs) = gateway.ended().await;
    assert_eq!(code, Some(0), "it goes down in order: {logs:#?}");

    let sent: Vec<Sent> = shown
        .iter()
        .map(|shown| Sent {
            message: shown.text.strip_prefix("You said: ").expect("an answer").to_owned(),
            conversation: shown.chat.to_string(),
            at: shown.at,
        })
        .collect();
    let doubles = audit::doubles(&sent, &lives);
    let listed = |name: &String| unknown.iter().any(|delivery| delivery.to_string().contains(&answer_to(name)));
    let unlisted: Vec<_> = doubles.iter().filter(|name| !listed(name)).collect();
    eprintln!(
        "  {messages} messages, {} kills, {} replies, {} of them twice, {} listed as unknown",
        lives.kills.len(),
        sent.len(),
        doubles.len(),
        unknown.len()
    );
    assert!(unlisted.is_empty(), "twice, and its owner is not told: {unlisted:?} of {unknown:#?}");
}
