//! What every engine is held to, of this one, on real files that are closed and opened again.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Durability, SqliteOptions, SqliteStore};
use crate::config::ByteSize;
use crate::store::{DynStore, Epoch, MemoryLimits, MemoryStore, contract};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn options(folder: &Path) -> SqliteOptions {
    SqliteOptions {
        path: folder.join("exoclaw.db"),
        // What is tested outlives the process, not the loss of power.
        durability: Durability::Process,
        files: ByteSize::kib(512),
        session_files: ByteSize::kib(256),
    }
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(options(folder)).expect("a store")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_answer_is_the_models(operations in contract::operations()) {
        let folder = tempfile::tempdir()?;
        let reopen = async |store: Option<DynStore>| -> DynStore {
            drop(store);
            let store: DynStore = Arc::new(open(folder.path()));
            store
        };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        tokio.block_on(contract::the_store_does_what_the_model_does(reopen, operations))?;
    }

    #[test]
    fn plugins_keep_what_they_set_within_their_quota(uses in contract::uses()) {
        let folder = tempfile::tempdir()?;
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        tokio.block_on(contract::keys_and_values_are_maps_within_a_quota(&open(folder.path()), uses))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sums_are_those_of_the_calls(calls in contract::calls(), questions in contract::questions()) {
        let folder = tempfile::tempdir()?;
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let reopen = async |store: DynStore| -> DynStore {
            drop(store);
            let problems = super::verify(&options(folder.path()).path, &mut |_| {}).expect("a store").problems;
            assert!(problems.is_empty(), "{problems:?}");
            let store: DynStore = Arc::new(open(folder.path()));
            store
        };
        let store = Arc::new(open(folder.path()));
        tokio.block_on(contract::sums_are_those_of_the_calls(store, calls, questions, reopen))?;
    }
}

#[tokio::test]
async fn the_last_that_was_learnt_of_a_model_is_kept() -> Result {
    let folder = tempfile::tempdir()?;
    contract::the_last_that_was_learnt_of_a_model_is_kept(&open(folder.path())).await
}

#[tokio::test]
async fn a_file_is_of_one_session() -> Result {
    let folder = tempfile::tempdir()?;
    contract::a_file_is_of_one_session(&open(folder.path())).await
}

#[tokio::test]
async fn files_stay_within_their_limits() -> Result {
    let folder = tempfile::tempdir()?;
    let (files, session_files) = (ByteSize::kib(16), ByteSize::kib(12));
    let store = SqliteStore::open(SqliteOptions { files, session_files, ..options(folder.path()) })?;
    contract::files_stay_within_their_limits(&store).await
}

#[tokio::test]
async fn what_plugins_keep_for_a_session_goes_with_it() -> Result {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path());
    let delete = async |session: &crate::store::SessionKey, _| {
        assert!(crate::store::Store::delete(&store, session, Epoch(0)).await.expect("a store"));
    };
    contract::what_is_of_a_session_goes_with_it(&store, delete).await
}

#[tokio::test]
async fn a_page_of_open_turns_goes_on_behind_a_turn_that_ended() -> Result {
    let folder = tempfile::tempdir()?;
    contract::a_page_of_open_turns_goes_on_behind_a_turn_that_ended(&open(folder.path())).await
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes() -> Result {
    let folder = tempfile::tempdir()?;
    contract::what_is_too_old_or_too_much_goes(&open(folder.path())).await
}

#[tokio::test]
async fn what_is_exported_is_found_again_where_it_is_imported() -> Result {
    let (one, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (one, other) = (open(one.path()), open(other.path()));
    contract::what_is_exported_is_found_again_where_it_is_imported(&one, &other).await
}

#[tokio::test]
async fn what_one_engine_exports_the_other_imports() -> Result {
    let folder = tempfile::tempdir()?;
    let (sqlite, memory) = (open(folder.path()), MemoryStore::new(MemoryLimits::default()));
    contract::what_is_exported_is_found_again_where_it_is_imported(&sqlite, &memory).await?;
    let (folder, memory) = (tempfile::tempdir()?, MemoryStore::new(MemoryLimits::default()));
    contract::what_is_exported_is_found_again_where_it_is_imported(&memory, &open(folder.path())).await
}

#[tokio::test]
async fn what_a_channel_may_not_store_leaves_nothing() -> Result {
    let folder = tempfile::tempdir()?;
    contract::what_a_channel_may_not_store_leaves_nothing(&open(folder.path())).await
}

#[tokio::test]
async fn writers_who_wait_are_bounded() -> Result {
    let folder = tempfile::tempdir()?;
    contract::writers_who_wait_are_bounded(&open(folder.path())).await
}

#[tokio::test]
async fn what_is_of_no_session_goes_when_its_window_has_passed() -> Result {
    let folder = tempfile::tempdir()?;
    contract::what_is_of_no_session_goes_when_its_window_has_passed(&open(folder.path())).await
}
