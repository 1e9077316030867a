//! No markup at all: for platforms that have none, and for texts whose markup was refused.

use crate::dialect::{Dialect, Mark, Place};

/// Plain text. Quotes keep their `> `, links show where they lead.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Dialect for Plain {
    fn links(&self, _url: &str) -> bool {
        false
    }

    fn open(&self, _mark: &Mark, _out: &mut String) {}

    fn close(&self, mark: &Mark, out: &mut String) {
        if let Mark::Link { url, bare: false } = mark {
            out.push_str(" (");
            out.push_str(url);
            out.push(')');
        }
    }

    fn line(&self, marks: &[Mark], out: &mut String) {
        if marks.first() == Some(&Mark::Quote) {
            out.push_str("> ");
        }
    }

    fn escape(&self, character: char, _place: Place<'_>, out: &mut String) {
        out.push(character);
    }
}
