//! Byte-pair encoding of one piece of a text: how many tokens it becomes.
//!
//! A piece begins as its bytes. Again and again, of all neighbours that together are a token, those of the lowest
//! rank (the leftmost of several) are made one, until none are left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::vocabulary::{Rank, Vocabulary};

/// The longest piece, in bytes, that is looked through for each merge. What a queue costs, it earns back on longer
/// ones only: measured on words, Chinese and emoji.
const SHORT: usize = 32;

/// The most parts for which memory is kept when a text is done.
const KEPT: usize = 1 << 14;

/// Memory that is used again from piece to piece.
#[derive(Default)]
pub(super) struct Workspace {
    /// For short pieces: where the parts begin, and the piece's end; and the rank of each with the next.
    starts: Vec<usize>,
    ranks: Vec<Rank>,
    /// For long ones: the parts by where they begin, and which pairs wait.
    parts: Vec<Part>,
    waiting: BinaryHeap<Reverse<u64>>,
}

#[derive(Clone, Copy)]
struct Part {
    /// Where the part before begins; of the first, what no part has.
    before: u32,
    /// Where the next begins.
    end: u32,
    /// Of what it would become with the next; [`Rank::NONE`] also where it has been merged into the one before.
    rank: Rank,
}

impl Workspace {
    /// How many tokens a piece becomes. In time, its length times the logarithm of that.
    pub(super) fn count(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> usize {
        match piece.len() {
            0 | 1 => piece.len(),
            _ if vocabulary.rank(piece).is_some() => 1,
            ..=SHORT => self.short(vocabulary, piece),
            _ => self.long(vocabulary, piece),
        }
    }

    /// Gives back what only a very long piece needs: 36 bytes for each of its own.
    pub(super) fn trim(&mut self) {
        if self.parts.capacity() > KEPT {
            *self = Self::default();
        }
    }

    fn short(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> usize {
        let rank = |start: Option<&usize>, end: Option<&usize>| {
            let bytes = start.zip(end).and_then(|(start, end)| piece.get(*start..*end));
            bytes.and_then(|bytes| vocabulary.rank(bytes)).unwrap_or(Rank::NONE)
        };
        let Self { starts, ranks, .. } = self;
        starts.clear();
        starts.extend(0..=piece.len());
        ranks.clear();
        ranks.extend(piece.windows(2).map(|pair| vocabulary.rank(pair).unwrap_or(Rank::NONE)));
        while let Some(lowest) = ranks.iter().copied().min().filter(|lowest| *lowest != Rank::NONE) {
            let Some(index) = ranks.iter().position(|rank| *rank == lowest) else { break };
            starts.remove(index + 1);
            ranks.remove(index);
            for index in [Some(index), index.checked_sub(1)].into_iter().flatten() {
                if let Some(changed) = ranks.get_mut(index) {
                    *changed = rank(starts.get(index), starts.get(index + 2));
                }
            }
        }
        ranks.len() + 1
    }

    fn long(&mut self, vocabulary: &Vocabulary, piece: &[u8]) -> usize {
        let Ok(length) = u32::try_from(piece.len()) else { return piece.len() };
        let rank = |start: u32, end: u32| {
            piece.get(start as usize..end as usize).and_then(|bytes| vocabulary.rank(bytes)).unwrap_or(Rank::NONE)
        };
        let Self { parts, waiting, .. } = self;
        parts.clear();
        parts.extend((0..length).map(|start| Part {
            before: start.wrapping_sub(1),
            end: start + 1,
            rank: rank(start, start + 2),
        }));
        waiting.clear();
        let pairs = parts.iter().zip(0..).filter(|(part, _)| part.rank != Rank::NONE);
        waiting.extend(pairs.map(|(part, start)| Reverse(part.rank.at(start))));
        let mut count = piece.len();
        while let Some(Reverse(packed)) = waiting.pop() {
            let (lowest, start) = Rank::of(packed);
            // One of the two may be something else by now.
            let same = parts.get(start as usize).filter(|part| part.rank == lowest);
            let Some(&Part { before, end: middle, .. }) = same else { continue };
            let Some(merged) = parts.get_mut(middle as usize) else { continue };
            merged.rank = Rank::NONE;
            let end = merged.end;
            count -= 1;
            let after = parts.get_mut(end as usize).map(|next| {
                next.before = start;
                next.end
            });
            let changed = [
                (start, end, after.map_or(Rank::NONE, |after| rank(start, after))),
                (before, start, if before < start { rank(before, end) } else { Rank::NONE }),
            ];
            for (start, end, rank) in changed {
                if let Some(part) = parts.get_mut(start as usize) {
                    part.end = end;
                    part.rank = rank;
                    if rank != Rank::NONE {
                        waiting.push(Reverse(rank.at(start)));
                    }
                }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metering::count::encoding::Encoding;

    proptest! {
        #[test]
        fn a_queue_and_a_look_through_merge_the_same_pairs(
            piece in prop_oneof!["[a-z ]{2,80}", "[ \t\n]{2,60}", "\\PC{2,60}", "(ab|a|ba){2,60}"],
        ) {
            let vocabulary = Encoding::Cl100kBase.vocabulary();
            let mut workspace = Workspace::default();
            let short = workspace.short(vocabulary, piece.as_bytes());
            prop_assert_eq!(workspace.long(vocabulary, piece.as_bytes()), short);
        }
    }
}
