//! Files: those that people send reach the model, those of the agent's reach people, and what is no good harms nobody.

use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use exoclaw::agent::{Letter, LetterContent};
use exoclaw::store::{
    DeliveryFilter, DeliveryId, FileAppend, FileId, FileOutcome, FileRef, NewDelivery, NewFile, Timestamp, TurnId,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::with;
use crate::capabilities::{keeper, obedient};
use crate::harness::{FakeProvider, Gateway, Reply, Request, Wire};
use crate::platform::config::Channel;
use crate::platform::{Answer, Discord, Hook, Plain, Scheme, Slack, Telegram, Trouble, WhatsApp, left_in, now};

const ANSWER: &str = "I have seen it.";

/// A model that looks at everything.
async fn observer() -> FakeProvider {
    FakeProvider::start(Wire::Anthropic, |_: &Request| Reply::text(ANSWER)).await
}

/// A small image, and one that is another.
fn picture(width: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend_from_slice(&width.to_be_bytes());
    png.extend_from_slice(&10_u32.to_be_bytes());
    png.extend_from_slice(&[8, 2, 0, 0, 0]);
    // What an upload has to bring across as it is.
    png.extend(0..=255);
    png
}

/// What the model was told last, and the images that it was shown with it.
fn seen(provider: &FakeProvider) -> (String, Vec<Vec<u8>>) {
    let last = provider.bodies().pop().expect("a request");
    let content =
        last["messages"].as_array().and_then(|messages| messages.last()).expect("a message")["content"].clone();
    let blocks = match content {
        Value::Array(blocks) => blocks,
        text => vec![json!({"type": "text", "text": text})],
    };
    let texts: Vec<_> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
    let images = blocks.iter().filter_map(|block| block["source"]["data"].as_str());
    (texts.join("\n"), images.map(|data| BASE64.decode(data.as_bytes()).expect("base64")).collect())
}

/// The model was told this, and of a file why it is not there.
fn is_told(provider: &FakeProvider, words: &[&str]) {
    let (text, images) = seen(provider);
    assert!(images.is_empty(), "an image from nowhere: {text}");
    for word in words.iter().chain(&["it could not be fetched"]) {
        assert!(text.contains(word), "{word:?} in {text:?}");
    }
}

/// The model was told this, and shown this image.
fn is_shown(provider: &FakeProvider, words: &[&str], image: &[u8]) {
    let (text, images) = seen(provider);
    assert!(images == [image], "{} images, with {text:?}", images.len());
    for word in words {
        assert!(text.contains(word), "{word:?} in {text:?}");
    }
}

#[tokio::test]
async fn what_is_sent_on_telegram_is_fetched_and_shown_to_the_model() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, observer().await);
    let (chat, ada) = telegram.private("Ada");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    let (small, large) = (picture(10), picture(20));
    let photo = |path: &str, bytes: &[u8], width: u32| {
        json!({
            "file_id": telegram.upload(path, bytes), "file_unique_id": path, "width": width, "height": 10,
            "file_size": bytes.len(),
        })
    };
    let sizes = [photo("photos/file_1.jpg", &small, 10), photo("photos/file_2.jpg", &large, 20)];
    telegram.writes(&chat, &ada, json!({"caption": "What is this?", "photo": sizes}));
    telegram.shown(&chat, ANSWER).await;
    is_shown(&provider, &["What is this?"], &large);

    let text = telegram.upload("documents/file_3.txt", b"only words");
    let document = json!({
        "file_id": text, "file_unique_id": "u", "file_name": "notes.txt", "mime_type": "text/plain", "file_size": 10,
    });
    telegram.writes(&chat, &ada, json!({"document": document}));
    telegram.messages().until("two answers", |shown| shown.len() == 2).await;
    let (told, images) = seen(&provider);
    assert!(told.contains("notes.txt, text/plain, 10 bytes") && images.is_empty(), "{told}");
}

#[tokio::test]
async fn what_is_sent_on_discord_is_fetched_and_shown_also_where_its_address_has_ended() {
    let (discord, provider) = (Discord::start(Scheme::Tls).await, observer().await);
    let _gateway = with(&provider, &discord.channel_table()).start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    for (number, ends) in [(1, now() + 3_600), (2, now() - 3_600)] {
        let image = picture(10 * number);
        let file = discord.upload("cat.png", "image/png", &image, ends);
        discord.writes(&direct, &ada, json!({"content": "What is this?", "attachments": [file]}));
        discord.messages().until("an answer", |shown| shown.len() == number as usize).await;
        is_shown(&provider, &["What is this?", "cat.png"], &image);
    }
    assert_eq!(discord.desk().operations().count(|operation| operation == "GET attachments"), 2);
}

#[tokio::test]
async fn what_is_sent_on_slack_is_fetched_and_shown_to_the_model() {
    let (slack, provider) = (Slack::start(Scheme::Tls).await, observer().await);
    let _gateway = with(&provider, &slack.socketed()).start().await;
    slack.socket_mode().connected(1).await;
    let (direct, user, image) = (slack.direct(), slack.user(), picture(10));
    let file = slack.upload("cat.png", "image/png", &image);
    let share = |ts: &str, file: &Value| {
        slack.callback(json!({
            "type": "message", "subtype": "file_share", "user": user.id, "ts": ts, "event_ts": ts,
            "channel": direct.id, "channel_type": "im", "text": "What is this?", "files": [file],
        }))
    };
    slack.tells(share("1700000000.000100", &file));
    slack.shown(&direct, ANSWER).await;
    is_shown(&provider, &["What is this?", "cat.png"], &image);

    // Where the platform leads elsewhere, the bot's token does not go along.
    let other = Plain::start().await;
    let elsewhere = Answer::empty(302).header("location", &format!("{}/login", other.origin()));
    slack.desk().plan("files-pri", Trouble::Refuse(elsewhere));
    slack.tells(share("1700000000.000200", &slack.upload("dog.png", "image/png", &image)));
    slack.messages().until("two answers", |shown| shown.len() == 2).await;
    is_told(&provider, &["dog.png", "302"]);
    assert_eq!(other.desk().operations().all(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_sent_on_whatsapp_is_fetched_and_shown_to_the_model() {
    let (whatsapp, provider) = (WhatsApp::start(Scheme::Tls).await, observer().await);
    let channel = whatsapp.channel_table();
    let gateway = with(&provider, &channel).start().await;
    whatsapp.pushes_to(Hook::of(gateway.address(), channel.name()));
    let (ada, image) = ("4915100000001", picture(10));
    let sends = |id: &str| {
        let image = json!({"id": id, "mime_type": "image/png", "sha256": "c2hh", "caption": "What is this?"});
        whatsapp.writes(ada, json!({"type": "image", "image": image}));
    };
    sends(&whatsapp.upload("image/png", &image));
    whatsapp.shown(ada, ANSWER).await;
    is_shown(&provider, &["What is this?"], &image);

    // An address that is not the platform's own gets no token.
    let (other, id) = (Plain::start().await, whatsapp.upload("image/png", &image));
    let elsewhere = json!({"messaging_product": "whatsapp", "id": id, "url": format!("{}/x", other.origin())});
    whatsapp.desk().plan(&id, Trouble::Refuse(Answer::json(200, &elsewhere)));
    sends(&id);
    whatsapp.messages().until("two answers", |shown| shown.len() == 2).await;
    is_told(&provider, &["media_url"]);
    assert_eq!(other.desk().operations().all(), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_not_what_was_said_is_told_and_the_answer_comes_all_the_same() {
    let (discord, provider, other) = (Discord::start(Scheme::Tls).await, observer().await, Plain::start().await);
    let channel = discord.channel_table().limits("file = \"64KiB\"");
    let _gateway = with(&provider, &channel).start().await;
    discord.gateway().identified(1).await;
    let (direct, ada) = (discord.direct(), discord.user("Ada"));
    let good = || discord.upload("cat.png", "image/png", &picture(10), now() + 3_600);

    let mut larger = discord.upload("cat.png", "image/png", &vec![b'x'; 100_000], now() + 3_600);
    let announced = larger.clone();
    larger["size"] = 10.into();
    let mut elsewhere = good();
    elsewhere["url"] = format!("{}/cat.png?ex={:x}", other.origin(), now() + 3_600).into();
    let redirect = Answer::empty(302).header("location", &format!("{}/cat.png", other.origin()));
    let cases = [
        ("larger than it was said to be", larger, None, "65536"),
        ("as large as it was said to be", announced, None, "65536"),
        ("nowhere", good(), Some(Answer::empty(404)), "404"),
        ("elsewhere, by its address", elsewhere, None, "not on Discord's CDN"),
        ("elsewhere, by a redirect", good(), Some(redirect), "302"),
    ];
    for (number, (what, file, refusal, word)) in (1..).zip(cases) {
        if let Some(refusal) = refusal {
            discord.desk().plan("GET attachments", Trouble::Refuse(refusal));
        }
        discord.writes(&direct, &ada, json!({"content": what, "attachments": [file]}));
        discord.messages().until(what, |shown| shown.len() == number).await;
        is_told(&provider, &[what, "cat.png", word]);
    }
    assert_eq!(other.desk().operations().all(), Vec::<String>::new(), "nobody else was asked");
    discord.writes(&direct, &ada, json!({"content": "and now", "attachments": [good()]}));
    discord.messages().until("the last answer", |shown| shown.len() == 6).await;
    let (text, images) = seen(&provider);
    assert!(text.contains("and now") && images == [picture(10)], "{text}");
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_bots_files_is_not_followed() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, observer().await);
    let (chat, ada) = telegram.private("Ada");
    let _gateway = with(&provider, &telegram.polled()).start().await;
    for (number, path) in (1..).zip(["../../bot1:A/getMe", "/etc/passwd", "a//b", "a/%2e%2e/b"]) {
        let file = json!({
            "file_id": telegram.upload(path, b"x"), "file_unique_id": "u", "file_name": "x.png", "file_size": 1,
        });
        telegram.writes(&chat, &ada, json!({"document": file}));
        telegram.messages().until("an answer", |shown| shown.len() == number).await;
        is_told(&provider, &["x.png", "a path that is none"]);
    }
    assert_eq!(telegram.desk().operations().count(|operation| operation == "getFile"), 4);
}

/// A gateway that has answered a message and is down: `speak` has someone write and waits for the answer.
async fn down_after(
    provider: &FakeProvider,
    channel: &Channel,
    home: &Arc<TempDir>,
    speak: impl AsyncFnOnce(&Gateway),
) {
    let mut gateway = with(provider, channel).home(home).start().await;
    speak(&gateway).await;
    gateway.terminate();
    assert_eq!(gateway.ended().await.0, Some(0));
}

/// Puts a file into the outbox of a gateway that is down, for whom it answered last.
async fn leave_file(home: &Path, name: &str, bytes: &[u8]) {
    let store = left_in(home);
    let page = store.deliveries(&DeliveryFilter::default(), None, 500).await.expect("the outbox");
    let last = page.items.into_iter().last().expect("an answer");
    let session = last.session.expect("the session of an answer");
    let (id, now) = (FileId::new(7), Timestamp::now());
    let new = NewFile {
        id,
        session: session.clone(),
        plugin: last.channel.parse().expect("a plugin's name"),
        name: name.parse().expect("a file's name"),
        mime_type: "image/png".parse().expect("a type"),
        now,
    };
    assert_eq!(store.file_create(new).await.expect("the store is well"), FileOutcome::Done);
    let append = FileAppend { session: session.clone(), id, data: bytes.to_vec(), limit: u64::MAX };
    assert_eq!(store.file_append(append).await.expect("the store is well"), FileOutcome::Done);
    let file = store.file_stat(&session, &id).await.expect("the store is well").expect("the file");
    let Letter { address, .. } = Letter::from_bytes(&last.content).expect("a letter");
    let letter = Letter { address, content: LetterContent::File { file: FileRef::from(file) } };
    let delivery = NewDelivery {
        id: DeliveryId(TurnId::new(now, 7)),
        session: Some(session),
        channel: last.channel,
        conversation: last.conversation,
        content: letter.to_bytes(),
        draft: false,
        epoch: store.take_over().await.expect("a store that nobody has"),
        now,
    };
    assert!(store.delivery_open(delivery).await.expect("the store is well"));
}

fn home() -> Arc<TempDir> {
    Arc::new(TempDir::new().expect("a temporary folder"))
}

const NAME: &str = "a cat \"1\".png";

#[tokio::test]
async fn a_file_of_the_agents_is_uploaded_to_telegram() {
    let (telegram, provider, home) = (Telegram::start(Scheme::Tls).await, observer().await, home());
    let ((chat, ada), channel) = (telegram.private("Ada"), telegram.polled());
    down_after(&provider, &channel, &home, async |_| {
        telegram.says(&chat, &ada, "Hello");
        telegram.shown(&chat, ANSWER).await;
    })
    .await;
    leave_file(home.path(), NAME, &picture(10)).await;
    let _gateway = with(&provider, &channel).home(&home).start().await;
    let shown = telegram.messages().find("a file", |shown| shown.file.is_some()).await;
    let file = shown.file.expect("just found");
    assert!(shown.chat == chat.id && file.bytes == picture(10), "{file:?}");
    assert_eq!(file.media_type, "image/png");
}

#[tokio::test]
async fn a_file_of_the_agents_is_uploaded_to_discord_once() {
    let (discord, provider, home) = (Discord::start(Scheme::Tls).await, observer().await, home());
    let (direct, ada, channel) = (discord.direct(), discord.user("Ada"), discord.channel_table());
    down_after(&provider, &channel, &home, async |_| {
        discord.gateway().identified(1).await;
        discord.says(&direct, &ada, "Hello");
        discord.shown(&direct, ANSWER).await;
    })
    .await;
    leave_file(home.path(), NAME, &picture(10)).await;
    // The first upload arrives, and is not answered.
    discord.desk().plan("POST messages", Trouble::DropAfter);
    let _gateway = with(&provider, &channel).home(&home).start().await;
    discord.says(&direct, &ada, "And?");
    discord.messages().until("an answer behind it", |shown| shown.len() == 3).await;
    let files: Vec<_> = discord.messages().all().into_iter().flat_map(|shown| shown.files).collect();
    assert!(files.len() == 1 && files[0].1 == picture(10), "{files:?}");
    assert_eq!(discord.repeats(), 1);
}

#[tokio::test]
async fn a_file_of_the_agents_is_uploaded_to_slack() {
    let (slack, provider, home) = (Slack::start(Scheme::Tls).await, observer().await, home());
    let (direct, user, channel) = (slack.direct(), slack.user(), slack.socketed());
    down_after(&provider, &channel, &home, async |_| {
        slack.socket_mode().connected(1).await;
        slack.says(&direct, &user, "Hello");
        slack.shown(&direct, ANSWER).await;
    })
    .await;
    leave_file(home.path(), NAME, &picture(10)).await;
    let _gateway = with(&provider, &channel).home(&home).start().await;
    let shown = slack.messages().find("a file", |shown| !shown.files.is_empty()).await;
    assert_eq!(shown.channel, direct.id);
    assert!(shown.files == [(NAME.to_owned(), picture(10))], "{shown:?}");
}

#[tokio::test]
async fn a_file_of_the_agents_is_uploaded_to_whatsapp() {
    let (whatsapp, provider, home) = (WhatsApp::start(Scheme::Tls).await, observer().await, home());
    let (ada, channel) = ("4915100000001", whatsapp.channel_table());
    down_after(&provider, &channel, &home, async |gateway| {
        whatsapp.pushes_to(Hook::of(gateway.address(), channel.name()));
        whatsapp.says(ada, "Hello");
        whatsapp.shown(ada, ANSWER).await;
    })
    .await;
    leave_file(home.path(), NAME, &picture(10)).await;
    let _gateway = with(&provider, &channel).home(&home).start().await;
    let shown = whatsapp.messages().find("a file", |shown| shown.file.is_some()).await;
    assert!(shown.file == Some(("image/png".to_owned(), picture(10))), "{shown:?}");
}

#[tokio::test]
async fn what_a_tool_made_follows_the_answer_to_the_platform() {
    let (telegram, provider) = (Telegram::start(Scheme::Tls).await, obedient(Wire::Anthropic).await);
    let ((chat, ada), folder) = (telegram.private("Ada"), home());
    let _gateway = with(&provider, &telegram.polled()).plugins(&keeper(folder.path(), "")).start().await;
    let made = json!({"name": "sales.csv", "mime": "text/csv", "value": "a,b", "n": 2});
    telegram.says(&chat, &ada, &format!("make_file {made}"));
    let shown = telegram.messages().find("a file", |shown| shown.file.is_some()).await;
    let file = shown.file.expect("just found");
    assert_eq!(
        (file.name.as_str(), file.media_type.as_str(), &file.bytes[..]),
        ("sales.csv", "text/csv", &b"a,ba,b"[..])
    );
    let texts = telegram.texts(&chat);
    assert_eq!((texts.first().map(String::as_str), texts.len()), (Some("Done."), 2), "the answer, and then the file");
}
