//! The code by which a stranger is let in.

use crate::runtime::bindings::channel::Message;
use crate::store::{NewPairing, PairingState, StoreError, Timestamp, Writer};

use super::super::line::Line;

/// Writers of one channel who may wait for the owner at once. Who comes then is not answered: the
/// owner is not to be flooded with codes by anyone who finds the channel.
const MAX_PENDING: usize = 8;

/// Without letters and digits that look alike: 32 of them, so that each is 5 bits of chance.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Letters of a code. With [`MAX_PENDING`] at a time, a guess hits one in 10¹¹.
const LENGTH: usize = 8;

/// The longest name that is kept, in characters.
const MAX_NAME: usize = 80;

/// Has a stranger ask. Nothing where too many wait already, or no code can be made.
pub(super) async fn ask(
    line: &Line,
    message: &Message,
    writer: Writer,
    now: Timestamp,
) -> Result<Option<NewPairing>, StoreError> {
    let known = line.store.pairings(Some(line.name.as_str()), now).await?;
    let pending = known.iter().filter(|pairing| matches!(pairing.state, PairingState::Pending { .. })).count();
    if pending >= MAX_PENDING {
        tracing::info!(channel = %line.name, "a stranger wrote, and {MAX_PENDING} wait already: they are not answered");
        return Ok(None);
    }
    // Unlike a nonce, a code must not be guessed: without a source of randomness there is none.
    let Ok(bits) = getrandom::u64() else { return Ok(None) };
    let name = message.sender.name.as_deref().map(|name| crate::text::one_line(name, MAX_NAME));
    Ok(Some(NewPairing { writer, name, code: code(bits), now }))
}

fn code(mut bits: u64) -> String {
    let mut code = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        code.push(char::from(ALPHABET[(bits & 31) as usize]));
        bits >>= 5;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_uses_all_of_its_chance_and_no_letters_that_look_alike() {
        assert_eq!(code(0), "AAAAAAAA");
        assert_eq!(code(u64::MAX), "99999999");
        assert_eq!(code(1 << 35), "AAAAAAAB");
        let unlike = |letter: u8| !b"01IO".contains(&letter);
        assert!(ALPHABET.iter().copied().all(unlike));
    }
}
