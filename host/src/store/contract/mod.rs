//! What every engine is held to: one set of tests, whatever is underneath.

mod channels;
mod files;
mod kv;
mod model;
mod operations;
mod portable;
mod readings;
mod retention;
mod sessions;
mod turns;
mod usage;

use std::sync::Arc;

use proptest::prelude::*;

pub(super) use self::channels::{
    what_a_channel_may_not_store_leaves_nothing, what_is_of_no_session_goes_when_its_window_has_passed,
    writers_who_wait_are_bounded,
};
pub(super) use self::files::{a_file_is_of_one_session, files_stay_within_their_limits};
pub(super) use self::kv::{keys_and_values_are_maps_within_a_quota, uses};
pub(super) use self::operations::{operations, the_store_does_what_the_model_does};
pub(super) use self::portable::what_is_exported_is_found_again_where_it_is_imported;
pub(super) use self::retention::what_is_too_old_or_too_much_goes;
pub(super) use self::sessions::what_is_of_a_session_goes_with_it;
pub(super) use self::turns::a_page_of_open_turns_goes_on_behind_a_turn_that_ended;
pub(super) use self::usage::{
    calls, questions, sums_are_those_of_the_calls, the_last_that_was_learnt_of_a_model_is_kept,
};
use super::*;

type Outcome = std::result::Result<(), TestCaseError>;

pub(super) type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn session(peer: &str) -> SessionKey {
    SessionKey::new("a", "b", "c", peer).expect("a key")
}

async fn open(store: &dyn Store, session: &SessionKey, turn: u64) -> Result<TurnId, StoreError> {
    let (turn, now) = (TurnId::new(Timestamp(turn), turn), Timestamp(turn));
    let message = Arc::new(Message::text(Role::User, "hello"));
    store
        .accept(Accept {
            session: session.clone(),
            turn,
            message,
            destination: None,
            begin: None,
            idempotency: None,
            epoch: Epoch(0),
            now,
        })
        .await?;
    Ok(turn)
}
