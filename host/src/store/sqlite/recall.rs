//! Facts, and what is found by its words, as rows and full-text indexes.

use futures_util::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::cells::{integer, number, parse, rows};
use super::error::SqlResult;
use super::messages::MessageRow;
use super::sessions::{existing, row_of};
use crate::store::{Fact, FactId, MAX_FACT, NewFact, Recall, SessionKey, StoreError, StoredMessage, Timestamp, TurnId};

/// Words of a search that are looked for: the first ones.
const MAX_WORDS: usize = 32;

/// Whether a character is of a word. The marks are the ones that the index takes for a part of the letter before
/// them, and leaves out.
fn of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '\u{300}'..='\u{36f}')
}

/// The expression that finds what holds a word of `text` in the column `text`, and in the column `scope` the word
/// `within`. Absent where the text has no words. Every word is quoted, and has no quotes: none of it is syntax.
fn expression(scope: &str, within: &str, text: &str) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split(|character| !of_word(character)).filter(|word| word.contains(char::is_alphanumeric)) {
        if words.len() == MAX_WORDS {
            break;
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let quoted: Vec<_> = words.into_iter().map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| format!("{scope} : \"{within}\" AND text : ({})", quoted.join(" OR ")))
}

/// What a fact consists of, as [`read`] takes it, of `facts` joined with `sessions`.
pub(super) const COLUMNS: &str = "facts.id, facts.owner, facts.text, facts.created_at, facts.turn, sessions.key";

/// A row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> SqlResult<Fact> {
    let turn: Option<String> = row.get(4)?;
    let session: Option<String> = row.get(5)?;
    let source = match (session, turn) {
        (Some(session), Some(turn)) => {
            let session: SessionKey = parse("a fact's session", &session)?;
            let turn: TurnId = parse("a fact's turn", &turn)?;
            Some((session, turn))
        }
        _ => None,
    };
    Ok(Fact {
        id: FactId(number(row.get(0)?)),
        owner: row.get(1)?,
        text: row.get(2)?,
        source,
        created_at: Timestamp(number(row.get(3)?)),
    })
}

fn add(connection: &Connection, fact: &NewFact) -> SqlResult<FactId> {
    if fact.text.len() > MAX_FACT {
        return Err(StoreError::TooLarge { what: "a fact", limit: MAX_FACT }.into());
    }
    let session = fact.source.as_ref().map(|(session, _)| existing(connection, session)).transpose()?;
    let turn = fact.source.as_ref().map(|(_, turn)| turn.as_str());
    let mut statement = connection
        .prepare_cached("INSERT INTO facts (owner, text, session, turn, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let id = statement.insert(params![fact.owner, fact.text, session, turn, integer(fact.now.0)])?;
    Ok(FactId(number(id)))
}

fn select(from: &str) -> String {
    format!("SELECT {COLUMNS} FROM {from}")
}

const PAGE: &str = "facts LEFT JOIN sessions ON sessions.id = facts.session
    WHERE facts.owner = ?1 AND facts.id > ?2 ORDER BY facts.id LIMIT ?3";

/// Out of the index, whose column `whose` holds the search to one owner and counts for nothing in the order.
const FACT_SEARCH: &str = "fact_text CROSS JOIN facts ON facts.id = fact_text.rowid
      LEFT JOIN sessions ON sessions.id = facts.session
    WHERE fact_text MATCH ?1 AND facts.owner = ?2 ORDER BY bm25(fact_text, 0.0, 1.0), facts.id DESC LIMIT ?3";

fn facts(connection: &Connection, owner: &str, after: Option<FactId>, limit: usize) -> SqlResult<Vec<Fact>> {
    let after = after.map_or(-1, |after| integer(after.0));
    let mut statement = connection.prepare_cached(&select(PAGE))?;
    collect(statement.query(params![owner, after, rows(limit)])?)
}

fn fact_search(connection: &Connection, owner: &str, text: &str, limit: usize) -> SqlResult<Vec<Fact>> {
    let whose = format!("o{}", data_encoding::HEXLOWER.encode(owner.as_bytes()));
    let Some(expression) = expression("whose", &whose, text) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(&select(FACT_SEARCH))?;
    collect(statement.query(params![expression, owner, rows(limit)])?)
}

fn collect(mut found: rusqlite::Rows<'_>) -> SqlResult<Vec<Fact>> {
    let mut facts = Vec::new();
    while let Some(row) = found.next()? {
        facts.push(read(row)?);
    }
    Ok(facts)
}

/// The word of the index under which the messages of a session stand.
pub(super) fn session_word(session: i64) -> String {
    format!("s{session}")
}

fn message_search(
    connection: &Connection,
    session: &SessionKey,
    text: &str,
    limit: usize,
) -> SqlResult<Vec<StoredMessage>> {
    let Some(session) = row_of(connection, session)? else { return Ok(Vec::new()) };
    let Some(expression) = expression("session", &session_word(session), text) else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM message_text CROSS JOIN messages ON messages.id = message_text.rowid
         WHERE message_text MATCH ?1 AND messages.session = ?2
         ORDER BY bm25(message_text, 0.0, 1.0), messages.position DESC LIMIT ?3",
        MessageRow::COLUMNS
    ))?;
    let found = statement.query_map(params![expression, session, rows(limit)], MessageRow::of)?;
    found.map(|row| row?.read()).collect()
}

impl Recall for SqliteStore {
    fn fact_add(&self, fact: NewFact) -> BoxFuture<'_, Result<FactId, StoreError>> {
        self.db.write(move |connection| add(connection, &fact)).boxed()
    }

    fn fact_forget<'a>(&'a self, owner: &'a str, id: FactId) -> BoxFuture<'a, Result<bool, StoreError>> {
        let owner = owner.to_owned();
        let forget = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("DELETE FROM facts WHERE id = ?1 AND owner = ?2")?;
            Ok(statement.execute(params![integer(id.0), owner])? > 0)
        };
        self.db.write(forget).boxed()
    }

    fn facts<'a>(
        &'a self,
        owner: &'a str,
        after: Option<FactId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        let owner = owner.to_owned();
        self.db.read(move |connection| facts(connection, &owner, after, limit)).boxed()
    }

    fn fact_search<'a>(
        &'a self,
        owner: &'a str,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Fact>, StoreError>> {
        let (owner, text) = (owner.to_owned(), text.to_owned());
        self.db.read(move |connection| fact_search(connection, &owner, &text, limit)).boxed()
    }

    fn message_search<'a>(
        &'a self,
        session: &'a SessionKey,
        text: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        let (session, text) = (session.clone(), text.to_owned());
        self.db.read(move |connection| message_search(connection, &session, &text, limit)).boxed()
    }
}

#[cfg(test)]
mod tests;
