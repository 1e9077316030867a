//! Who may write to the agent: strangers show a code to its owner first.

use super::{answer_to, parrot, with};
use crate::harness::exoclaw;
use crate::platform::{Scheme, Telegram};

#[tokio::test]
async fn a_stranger_is_heard_once_the_owner_has_approved_the_code() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let ((chat, ada), (other, bob)) = (telegram.private("Ada"), telegram.private("Bob"));
    let channel = telegram.polled().table("direct = \"pairing\"\ndrafts = false");
    let gateway = with(&provider, &channel).start().await;
    telegram.says(&chat, &ada, "Hello");
    let told = telegram.messages().find("a code", |shown| shown.chat == chat.id).await;
    let code = told.text.split_whitespace().last().expect("a code").to_owned();
    assert_eq!(provider.count(), 0, "a stranger costs nothing");

    let approved = exoclaw(gateway.home(), &["pairing", "approve", &code, "--url", &gateway.url()]).await;
    approved.stdout();
    telegram.says(&chat, &ada, "Hello again");
    telegram.shown(&chat, &answer_to("Hello again")).await;
    // Another is still a stranger, and reactions and edits open no other door.
    let number = telegram.says(&other, &bob, "Me too");
    telegram.messages().find("a code", |shown| shown.chat == other.id).await;
    telegram.edits(&other, number, "Me too, please");
    telegram.reacts(&other, &bob, number, "👍");
    telegram.all_confirmed().await;
    telegram.says(&chat, &ada, "And then");
    telegram.shown(&chat, &answer_to("And then")).await;
    assert_eq!(provider.count(), 2);
}

#[tokio::test]
async fn a_group_is_not_let_in_by_who_may_write_directly() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, parrot().await);
    let ((chat, ada), group) = (telegram.private("Ada"), telegram.group("Lab"));
    let channel = telegram.polled().table(&format!("direct = \"allowlist\"\nallow = [\"{}\"]", ada.id));
    let _gateway = with(&provider, &channel).start().await;
    telegram.says(&group, &ada, "In the group");
    telegram.says(&chat, &ada, "Directly");
    telegram.shown(&chat, &answer_to("Directly")).await;
    assert_eq!((provider.count(), telegram.texts(&group).len()), (1, 0));
}
