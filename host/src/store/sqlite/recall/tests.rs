//! What a search takes, and what it finds.

use proptest::prelude::*;

use super::super::testing::{Result, count, message, plan, session, store, turn};
use super::*;
use crate::store::{Epoch, Store};

fn fact(owner: &str, text: &str, source: Option<&str>) -> NewFact {
    let source = source.map(|peer| (session(peer), turn(1)));
    NewFact { owner: owner.to_owned(), text: text.to_owned(), source, now: Timestamp(5) }
}

async fn found(store: &SqliteStore, owner: &str, text: &str) -> Result<Vec<String>> {
    Ok(store.fact_search(owner, text, 10).await?.into_iter().map(|fact| fact.text).collect())
}

#[tokio::test]
async fn facts_are_found_by_any_of_their_words_and_by_their_owner_only() -> Result {
    let (_folder, store) = store()?;
    store.fact_add(fact("ann", "Likes tea with lemon", None)).await?;
    store.fact_add(fact("ann", "Lives in a caf\u{e9}", None)).await?;
    store.fact_add(fact("o616e6e", "Likes tea", None)).await?;
    assert_eq!(found(&store, "ann", "TEA, please!").await?, ["Likes tea with lemon"]);
    assert_eq!(found(&store, "ann", "cafe").await?, ["Lives in a caf\u{e9}"]);
    assert_eq!(found(&store, "ann", "cafe\u{301}").await?, ["Lives in a caf\u{e9}"]);
    assert_eq!(found(&store, "ann", "lives or likes").await?.len(), 2);
    // The owner is no word of a fact, nor the name of a column one of a search.
    for nothing in ["o616e6e", "ann", "whose", "text", ""] {
        assert!(found(&store, "ann", nothing).await?.is_empty(), "{nothing}");
    }
    assert!(found(&store, "", "tea").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_search_takes_any_text() -> Result {
    let (_folder, store) = store()?;
    store.fact_add(fact("ann", "near and or not tea", None)).await?;
    store.accept(message("ann", 1, "near and or not tea")).await?;
    let long = "tea ".repeat(1 << 18);
    let one_word = "x".repeat(1 << 20);
    let many: String = (0..100_000).map(|word| format!("w{word} ")).collect();
    let hostile = [
        "\"",
        "\"\"",
        "\"tea",
        "tea\"",
        "te*",
        "^tea",
        "tea NEAR(and, 2)",
        "NEAR",
        "AND",
        "NOT",
        "OR OR",
        "(",
        ")",
        "tea)",
        "whose:tea",
        "{text}:tea",
        "-tea",
        "+tea",
        "tea'; DROP TABLE facts; --",
        "\0",
        "tea\0",
        "\u{1f9cb}",
        "\u{24b6}",
        "\u{301}",
        "\u{200d}",
        "%",
        "_",
        "\\",
        "\u{fffd}",
        &long,
        &one_word,
        &many,
    ];
    for text in hostile {
        store.fact_search("ann", text, 10).await.map_err(|error| format!("{text:.40}: {error}"))?;
        store.message_search(&session("ann"), text, 10).await.map_err(|error| format!("{text:.40}: {error}"))?;
    }
    for words in ["\"tea", "te* tea^", "NOT", "NEAR(", "tea\0", &long] {
        assert_eq!(found(&store, "ann", words).await?.len(), 1, "{words:.40}");
    }
    for none in ["te*", "\"", "\u{1f9cb}", "\u{24b6}", "\u{301}", &one_word, &many] {
        assert!(found(&store, "ann", none).await?.is_empty(), "{none:.40}");
    }
    assert_eq!(count(&store, "SELECT count(*) FROM facts").await?, 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_word_of_a_fact_finds_it(words in prop::collection::vec("[a-zA-Z0-9\u{e9}\u{4f60}]{1,9}", 1..6), noise in "\\PC{0,12}") {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let tested: Result = tokio.block_on(async {
            let (_folder, store) = store()?;
            store.fact_add(fact("ann", &words.join(" "), None)).await?;
            for word in &words {
                assert_eq!(found(&store, "ann", word).await?.len(), 1, "{word}");
            }
            store.fact_search("ann", &noise, 1).await?;
            Ok(())
        });
        tested.map_err(|error| TestCaseError::fail(error.to_string()))?;
    }
}

#[tokio::test]
async fn of_a_forgotten_fact_no_word_is_left() -> Result {
    let (folder, store) = store()?;
    let id = store.fact_add(fact("ann", "the password is xylophone", None)).await?;
    store.fact_add(fact("ann", "the weather is fine", None)).await?;
    assert!(!store.fact_forget("ben", id).await?);
    assert!(store.fact_forget("ann", id).await?);
    assert!(!store.fact_forget("ann", id).await?);
    assert!(found(&store, "ann", "xylophone").await?.is_empty());
    let blocks = "SELECT count(*) FROM fact_text_data WHERE instr(block, CAST('xylo' AS BLOB)) > 0";
    assert_eq!(count(&store, blocks).await?, 0);
    drop(folder);
    Ok(())
}

#[tokio::test]
async fn what_was_learnt_in_a_session_goes_with_it() -> Result {
    let (_folder, store) = store()?;
    let orphan = store.fact_add(fact("ann", "likes tea", Some("ann"))).await;
    assert!(matches!(orphan, Err(StoreError::NoSession(_))));
    store.accept(message("ann", 1, "I like green tea")).await?;
    store.fact_add(fact("ann", "likes tea", Some("ann"))).await?;
    store.fact_add(fact("ann", "likes tea too", None)).await?;
    assert_eq!(store.message_search(&session("ann"), "green", 5).await?.len(), 1);
    store.delete(&session("ann"), Epoch(1)).await?;
    assert_eq!(found(&store, "ann", "tea").await?, ["likes tea too"]);
    assert!(store.message_search(&session("ann"), "green", 5).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn messages_are_found_in_their_session_only() -> Result {
    let (_folder, store) = store()?;
    for (number, peer) in [(1, "ann"), (2, "ben")] {
        store.accept(message(peer, number, &format!("tea for {peer}"))).await?;
    }
    let found = store.message_search(&session("ann"), "tea s1 s2", 10).await?;
    assert_eq!(found.iter().map(|message| message.turn).collect::<Vec<_>>(), [turn(1)]);
    assert!(store.message_search(&session("ann"), "s1", 10).await?.is_empty());
    assert!(store.message_search(&session("eve"), "tea", 10).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_fact_has_a_largest_size() -> Result {
    let (_folder, store) = store()?;
    store.fact_add(fact("ann", &"x".repeat(MAX_FACT), None)).await?;
    let more = store.fact_add(fact("ann", &"x".repeat(MAX_FACT + 1), None)).await;
    assert!(matches!(more, Err(StoreError::TooLarge { what: "a fact", limit: MAX_FACT })));
    Ok(())
}

#[tokio::test]
async fn facts_come_out_of_their_indexes() -> Result {
    let (_folder, store) = store()?;
    let page = plan(&store, select(PAGE)).await?;
    assert!(page.contains("facts_owner (owner=? AND id>?)") && !page.contains("TEMP B-TREE"), "{page}");
    let search = plan(&store, select(FACT_SEARCH)).await?;
    assert!(search.starts_with("SCAN fact_text VIRTUAL TABLE INDEX"), "{search}");
    assert!(search.contains("SEARCH facts USING INTEGER PRIMARY KEY"), "{search}");
    Ok(())
}
