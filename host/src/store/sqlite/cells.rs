//! What stands in a row's cells: numbers, texts that are parsed, JSON.

use std::fmt::Display;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{SqlError, SqlResult};
use crate::store::StoreError;

/// A number as SQLite keeps it, whose integers end at half of ours. A larger one is kept as the largest: of
/// times, counts and positions, none is.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A limit of a page, as SQLite takes it.
pub(super) fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number that is not negative, read back.
pub(super) fn number(integer: i64) -> u64 {
    u64::try_from(integer).unwrap_or(0)
}

/// A small number, read back.
pub(super) fn small(integer: i64) -> u32 {
    u32::try_from(number(integer)).unwrap_or(u32::MAX)
}

/// The JSON of something that always has one.
pub(super) fn json<T: Serialize + ?Sized>(what: &'static str, value: &T) -> SqlResult<String> {
    serde_json::to_string(value).map_err(|error| corrupt(what, error))
}

/// What a JSON text holds.
pub(super) fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> SqlResult<T> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// What a text says.
pub(super) fn parse<T: FromStr<Err: Display>>(what: &'static str, text: &str) -> SqlResult<T> {
    text.parse().map_err(|error| corrupt(what, error))
}

/// What is stored cannot be read.
pub(super) fn corrupt(what: &'static str, reason: impl Display) -> SqlError {
    StoreError::Corrupt { what, reason: reason.to_string() }.into()
}
