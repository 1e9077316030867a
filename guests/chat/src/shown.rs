//! Which parts of an answer stand on the platform, and what is to be done next.
//!
//! A growing answer and its final text are delivered alike: what is shown is brought to what should
//! be. Parts that differ are edited, further ones are sent, and those that are too many deleted.

use serde::{Deserialize, Serialize};

/// Goes into a delivery's progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    messages: Vec<Message>,
    /// What was asked last of the platform, and is not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    under_way: Option<Move>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    id: String,
    /// A hash of its text.
    text: u64,
}

/// What is to be done for one part, which is counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// It stands nowhere yet.
    Send(usize),
    /// It stands there with another text.
    Edit(usize),
    /// It stands there and should not.
    Delete(usize),
}

impl Shown {
    /// The next move towards `parts`. None where all of them stand.
    pub fn next<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Option<Move> {
        let mut count = 0;
        for (index, part) in parts.into_iter().enumerate() {
            match self.messages.get(index) {
                None => return Some(Move::Send(index)),
                Some(shown) if shown.text != hash(part) => return Some(Move::Edit(index)),
                Some(_) => count = index + 1,
            }
        }
        (count < self.messages.len()).then(|| Move::Delete(self.messages.len() - 1))
    }

    /// The same for a platform that can't change what was sent: a part is sent or it is not.
    pub fn next_unsent<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Option<Move> {
        (parts.into_iter().count() > self.messages.len()).then_some(Move::Send(self.messages.len()))
    }

    /// Of the message that shows a part.
    pub fn id(&self, part: usize) -> Option<&str> {
        self.messages.get(part).map(|message| message.id.as_str())
    }

    /// Of all that stand, in order: what `done` tells.
    pub fn ids(&self) -> Vec<String> {
        self.messages.iter().map(|message| message.id.clone()).collect()
    }

    /// Nothing stands yet.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The platform is asked for this now.
    pub fn begin(&mut self, next: Move) {
        self.under_way = Some(next);
    }

    /// What the platform was asked for; it is not under way any more.
    pub fn take(&mut self) -> Option<Move> {
        self.under_way.take()
    }

    /// What the platform was asked for.
    pub fn under_way(&self) -> Option<Move> {
        self.under_way
    }

    /// A part stands now, in the message with this id. An edit may keep the id or change it.
    pub fn stands(&mut self, part: usize, id: impl Into<String>, text: &str) {
        let message = Message { id: id.into(), text: hash(text) };
        match self.messages.get_mut(part) {
            Some(shown) => *shown = message,
            None => self.messages.push(message),
        }
    }

    /// A part stands nowhere any more, nor does what followed it.
    pub fn gone(&mut self, part: usize) {
        self.messages.truncate(part);
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): it only has to tell versions of one text apart.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_grows_into_its_answer() {
        let mut shown = Shown::default();
        assert_eq!(shown.next(["a"]), Some(Move::Send(0)));
        shown.begin(Move::Send(0));
        assert_eq!(shown.take(), Some(Move::Send(0)));
        shown.stands(0, "10", "a");
        assert_eq!(shown.next(["a"]), None);
        assert_eq!(shown.next(["ab", "c"]), Some(Move::Edit(0)));
        shown.stands(0, "10", "ab");
        assert_eq!(shown.next(["ab", "c"]), Some(Move::Send(1)));
        shown.stands(1, "11", "c");
        assert_eq!(shown.next(["ab"]), Some(Move::Delete(1)), "the model took something back");
        shown.gone(1);
        assert_eq!((shown.next(["ab"]), shown.ids()), (None, vec!["10".to_owned()]));
    }

    #[test]
    fn what_cannot_be_edited_is_only_sent() {
        let mut shown = Shown::default();
        shown.stands(0, "10", "before an upgrade");
        assert_eq!(shown.next_unsent(["after", "it"]), Some(Move::Send(1)));
        shown.stands(1, "11", "it");
        assert_eq!(shown.next_unsent(["after", "it"]), None);
    }
}
