//! The text that is signed, made of a call.

use hyper::header::HeaderName;

use super::{Head, Refusal, VerifierError, header_name, only};

/// Pieces of a text, in order.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Where the platform calls, of those that sign that.
    url: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Body,
    Url,
    Header(HeaderName),
}

impl Template {
    /// `{body}`, `{url}` and `{header:NAME}` stand for parts of the call, and all else for itself.
    pub(super) fn parse(text: &str, webhook_url: Option<&str>) -> Result<Self, VerifierError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let wrong = || VerifierError::Template(crate::text::one_line(rest, 40));
            if let Some(inside) = rest.strip_prefix('{') {
                let (name, after) = inside.split_once('}').ok_or_else(wrong)?;
                pieces.push(match (name, name.strip_prefix("header:")) {
                    ("body", _) => Piece::Body,
                    ("url", _) => Piece::Url,
                    (_, Some(header)) => Piece::Header(header_name(header)?),
                    _ => return Err(wrong()),
                });
                rest = after;
            } else {
                let end = rest.find(['{', '}']).unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                if text.is_empty() {
                    return Err(wrong());
                }
                pieces.push(Piece::Text(text.to_owned()));
                rest = after;
            }
        }
        if !pieces.contains(&Piece::Body) {
            return Err(VerifierError::BodyUnsigned);
        }
        let url = match pieces.contains(&Piece::Url) {
            true => Some(webhook_url.ok_or(VerifierError::NoUrl)?.to_owned()),
            false => None,
        };
        Ok(Self { pieces, url })
    }

    /// Whether what is signed holds a header.
    pub(super) fn has_header(&self, name: &HeaderName) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Header(header) if header == name))
    }

    /// Whether a call has all that is signed, but for its body.
    pub(super) fn check_head(&self, head: &Head<'_>) -> Result<(), Refusal> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Header(name) => only(head.headers, name).map(drop),
            Piece::Text(_) | Piece::Body | Piece::Url => Ok(()),
        })
    }

    /// Hands the signed text on, piece by piece: a body is not copied for it.
    pub(super) fn fill(&self, head: &Head<'_>, body: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Refusal> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => take(text.as_bytes()),
                Piece::Body => take(body),
                Piece::Header(name) => take(only(head.headers, name)?.as_bytes()),
                Piece::Url => {
                    take(self.url.as_deref().unwrap_or_default().as_bytes());
                    if let Some(query) = head.query {
                        take(b"?");
                        take(query.as_bytes());
                    }
                }
            }
        }
        Ok(())
    }
}
