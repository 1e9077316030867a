//! Attachments, from handles to what a model is shown.

use std::sync::Mutex;

use super::*;
use crate::image::tests::png_of;
use crate::store::{Accept, Epoch, FileAppend, MemoryLimits, MemoryStore, NewFile, Role, Timestamp, TurnId};

/// Files by their names; of others nothing is to be had.
struct Shelf {
    store: DynStore,
    files: HashMap<&'static str, Vec<u8>>,
    fetched: Mutex<Vec<String>>,
}

impl Attachments for Shelf {
    fn fetch<'a>(
        &'a self,
        session: &'a SessionKey,
        attachment: &'a Attachment,
    ) -> BoxFuture<'a, Result<(), FetchError>> {
        Box::pin(async move {
            let name = attachment.name.clone().unwrap();
            self.fetched.lock().unwrap().push(name.clone());
            let data = self.files.get(name.as_str()).ok_or_else(|| FetchError("404\nNot Found".into()))?;
            let id: FileId = attachment.file.parse().unwrap();
            let new = NewFile {
                id,
                session: session.clone(),
                plugin: attachment.channel.parse().unwrap(),
                name: name.parse().unwrap(),
                mime_type: attachment.mime_type.parse().unwrap(),
                now: Timestamp(1),
            };
            self.store.file_create(new).await.unwrap();
            let append = FileAppend { session: session.clone(), id, data: data.clone(), limit: u64::MAX };
            self.store.file_append(append).await.unwrap();
            Ok(())
        })
    }
}

fn attachment(number: u32, name: &str, mime_type: &str) -> Block {
    Block::Attachment(Attachment {
        file: FileId::new(number.into()).to_string(),
        channel: "chan".into(),
        mime_type: mime_type.into(),
        name: Some(name.into()),
        size: None,
        handle: "aGk=".into(),
    })
}

fn message(blocks: Vec<Block>) -> Arc<Message> {
    let said = Block::Text { text: "look".into() };
    Arc::new(Message { role: Role::User, blocks: std::iter::once(said).chain(blocks).collect() })
}

async fn shelf(files: &[(&'static str, Vec<u8>)]) -> (Shelf, SessionKey) {
    let store: DynStore = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let session = SessionKey::new("default", "chan", "a", "p").unwrap();
    let accept = Accept {
        session: session.clone(),
        turn: TurnId::new(Timestamp(1), 1),
        message: message(Vec::new()),
        destination: None,
        begin: None,
        idempotency: None,
        epoch: Epoch(0),
        now: Timestamp(1),
    };
    store.accept(accept).await.unwrap();
    (Shelf { store, files: files.iter().cloned().collect(), fetched: Mutex::default() }, session)
}

fn desk<'a>(shelf: &'a Shelf, session: &'a SessionKey) -> Desk<'a> {
    Desk { store: &shelf.store, session, source: shelf }
}

fn words(message: &Message) -> Vec<String> {
    let word = |block: &Block| match block {
        Block::Text { text } => text.clone(),
        Block::Image { mime_type, data } => format!("<{mime_type} {}>", data.len()),
        other => format!("{other:?}"),
    };
    message.blocks.iter().map(word).collect()
}

#[tokio::test]
async fn an_image_is_shown_a_file_is_named_and_what_is_not_to_be_had_is_a_note() {
    let (shelf, session) = shelf(&[("a.png", png_of(10, 10)), ("b.pdf", b"%PDF".to_vec())]).await;
    let desk = desk(&shelf, &session);
    let own = message(vec![
        // What the platform calls it is of no interest: its bytes are a PNG's.
        attachment(1, "a.png", "image/jpeg"),
        attachment(2, "b.pdf", "application/pdf"),
        attachment(3, "gone.txt", "text/plain"),
    ]);
    desk.fetch(&own).await.unwrap();
    let shown = desk.shown(vec![message(Vec::new()), own]).await.unwrap();
    let ids = [FileId::new(1), FileId::new(2)];
    assert_eq!(words(&shown[0]), ["look"]);
    assert_eq!(
        words(&shown[1]),
        [
            "look".to_owned(),
            format!("[file a.png, image/jpeg, 29 bytes, id {}]", ids[0]),
            "<image/png 40>".to_owned(),
            format!("[file b.pdf, application/pdf, 4 bytes, id {}]", ids[1]),
            "[gone.txt, text/plain: it could not be fetched: 404 Not Found]".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_turn_that_is_taken_up_again_fetches_nothing_twice() {
    let (shelf, session) = shelf(&[("a.png", png_of(10, 10))]).await;
    let desk = desk(&shelf, &session);
    let own = message(vec![attachment(1, "a.png", "image/png"), attachment(2, "gone", "a/b")]);
    desk.fetch(&own).await.unwrap();
    let first = desk.shown(vec![own.clone()]).await.unwrap();
    desk.fetch(&own).await.unwrap();
    let mut fetched = shelf.fetched.lock().unwrap().clone();
    fetched.sort();
    assert_eq!(fetched, ["a.png", "gone"]);
    assert_eq!(words(&first[0]), words(&desk.shown(vec![own]).await.unwrap()[0]));
}

#[tokio::test]
async fn what_was_never_fetched_or_is_gone_is_said_to_be() {
    let (shelf, session) = shelf(&[("a.png", png_of(10, 10))]).await;
    let desk = desk(&shelf, &session);
    let own = message(vec![attachment(1, "a.png", "image/png")]);
    let shown = desk.shown(vec![own.clone()]).await.unwrap();
    assert_eq!(words(&shown[0])[1], "[a.png, image/png: it was not fetched]");
    desk.fetch(&own).await.unwrap();
    shelf.store.file_remove(&session, &[FileId::new(1)]).await.unwrap();
    let shown = desk.shown(vec![own]).await.unwrap();
    assert_eq!(words(&shown[0])[1], "[a.png, image/png: it is not there any more]");
}

#[tokio::test]
async fn the_newest_images_have_the_room_and_one_that_no_model_takes_is_named_alone() {
    let large = [png_of(10, 10), vec![0; usize::try_from(image::MAX_BYTES).unwrap()]].concat();
    let files = [
        ("a.png", png_of(10, 10)),
        ("wide.png", png_of(9_000, 1)),
        ("lie.png", b"<svg/>".to_vec()),
        ("large.png", large),
    ];
    let (shelf, session) = shelf(&files).await;
    let desk = desk(&shelf, &session);
    let mut messages = Vec::new();
    for number in 0..12 {
        let own = message(vec![attachment(number, "a.png", "image/png")]);
        desk.fetch(&own).await.unwrap();
        messages.push(own);
    }
    let odd = ["wide.png", "lie.png", "large.png"];
    let odd = message(odd.iter().zip(20..).map(|(name, number)| attachment(number, name, "image/png")).collect());
    desk.fetch(&odd).await.unwrap();
    messages.push(odd);
    let shown = desk.shown(messages).await.unwrap();
    let images =
        |message: &Arc<Message>| message.blocks.iter().filter(|block| matches!(block, Block::Image { .. })).count();
    let counts: Vec<usize> = shown.iter().map(images).collect();
    assert_eq!(counts, [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    assert!(shown.iter().all(|message| words(message)[1].starts_with("[file ")));
}
