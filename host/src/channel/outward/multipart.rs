//! `multipart/form-data` (RFC 7578), written as the HTML standard has browsers write it.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::HeaderValue;

use super::body::{Join, Part, Sized, open};
use super::{FileSource, Unsent};
use crate::net::RequestBody;
use crate::runtime::bindings::channel::{Field, FieldValue};

/// The most fields of a form.
pub(super) const MAX_FIELDS: usize = 64;

/// Characters of a boundary's random part: 160 bits, so that no file has it by chance.
const CHANCE: usize = 20;

/// A form's body, and its media type. What is no file has at most `limit` bytes.
pub(super) async fn build(
    fields: &[Field],
    limit: u64,
    files: &dyn FileSource,
    join: Join<'_>,
) -> Result<(RequestBody, HeaderValue), Unsent> {
    if fields.len() > MAX_FIELDS {
        return Err(Unsent::TooManyFields);
    }
    let boundary = boundary()?;
    let mut parts = Vec::with_capacity(2 * fields.len() + 1);
    let mut written = 0;
    // What is between two files.
    let mut text = Vec::new();
    for field in fields {
        head(&mut text, &boundary, field)?;
        match &field.value {
            // As it is: an API counts on every character, though a browser would write CRLF for LF.
            FieldValue::Text(pieces) => text.extend_from_slice(join(pieces)?.expose().as_bytes()),
            FieldValue::File(file) => {
                written += text.len() as u64;
                parts.push(Part::Bytes(std::mem::take(&mut text).into()));
                parts.push(Part::File(open(files, file).await?));
            }
        }
        text.extend_from_slice(b"\r\n");
        if written + text.len() as u64 > limit {
            return Err(Unsent::BodyTooLarge { limit });
        }
    }
    text.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    parts.push(Part::Bytes(Bytes::from(text)));
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
    Ok((Sized::of(parts).boxed_unsync(), content_type.map_err(|_| Unsent::NoChance)?))
}

fn boundary() -> Result<String, Unsent> {
    let mut chance = [0; CHANCE];
    getrandom::fill(&mut chance).map_err(|_| Unsent::NoChance)?;
    Ok(format!("exoclaw-{}", data_encoding::BASE32_NOPAD.encode(&chance)))
}

/// What stands before a field's value.
fn head(text: &mut Vec<u8>, boundary: &str, field: &Field) -> Result<(), Unsent> {
    let Field { name, filename, mime_type, value } = field;
    let is_file = matches!(value, FieldValue::File(_));
    let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", escaped(&lines(name)));
    // Servers know a file by its having a name.
    if let Some(filename) = filename.as_deref().or(is_file.then_some("file")) {
        head.push_str(&format!("; filename=\"{}\"", escaped(filename)));
    }
    if let Some(mime_type) = mime_type.as_deref().or(is_file.then_some("application/octet-stream")) {
        let visible = mime_type.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !visible || !mime_type.contains('/') {
            return Err(Unsent::Field);
        }
        head.push_str(&format!("\r\nContent-Type: {mime_type}"));
    }
    if name.contains('\0') || filename.as_deref().is_some_and(|name| name.contains('\0')) {
        return Err(Unsent::Field);
    }
    text.extend_from_slice(head.as_bytes());
    text.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// A name's line ends, all as CRLF (the HTML standard, section 4.10.21.8, "multipart/form-data encoding
/// algorithm").
fn lines(name: &str) -> String {
    name.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

/// As that algorithm escapes names of fields and files.
fn escaped(name: &str) -> String {
    name.replace('\n', "%0A").replace('\r', "%0D").replace('"', "%22")
}

#[cfg(test)]
mod tests {
    use super::super::NoFiles;
    use super::*;
    use crate::runtime::bindings::channel::Piece;
    use crate::runtime::egress_secrets::{Joined, SecretRules};

    fn join(pieces: &[Piece]) -> Result<Joined, Unsent> {
        let origin = crate::config::Origin::of(&hyper::Uri::from_static("https://a.example.com/")).unwrap();
        Ok(SecretRules::default().join_text(pieces, &origin)?)
    }

    fn field(name: &str, filename: Option<&str>, mime_type: Option<&str>, text: &str) -> Field {
        Field {
            name: name.into(),
            filename: filename.map(Into::into),
            mime_type: mime_type.map(Into::into),
            value: FieldValue::Text(vec![Piece::Text(text.into())]),
        }
    }

    async fn written(fields: &[Field]) -> Result<(String, String), Unsent> {
        let (body, content_type) = build(fields, 10_000, &NoFiles, &join).await?;
        let boundary =
            content_type.to_str().unwrap().strip_prefix("multipart/form-data; boundary=").unwrap().to_owned();
        let length = hyper::body::Body::size_hint(&body).exact().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, length);
        Ok((String::from_utf8(body.into()).unwrap(), boundary))
    }

    #[tokio::test]
    async fn a_form_is_written_as_browsers_write_it() {
        let fields = [
            field("chat_id", None, None, "42"),
            field("note", Some("a.txt"), Some("text/plain; charset=utf-8"), "line\nline"),
        ];
        let (body, boundary) = written(&fields).await.unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n42\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"note\"; filename=\"a.txt\"\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\nline\nline\r\n--{boundary}--\r\n"
        );
        assert_eq!(body, expected);
        assert_eq!(written(&[]).await.unwrap().0.matches("exoclaw-").count(), 1);
    }

    #[tokio::test]
    async fn no_name_breaks_out_of_its_place() {
        let name = "x\"; filename=\"evil\r\nX-Evil: 1\n\ra";
        let (body, _) = written(&[field(name, Some(name), None, "v")]).await.unwrap();
        let head = body.split("\r\n\r\n").next().unwrap();
        assert_eq!(head.lines().count(), 2, "{head}");
        let escaped = "x%22; filename=%22evil%0D%0AX-Evil: 1";
        assert!(head.contains(&format!("name=\"{escaped}%0D%0A%0D%0Aa\"; ")), "{head}");
        assert!(head.ends_with(&format!("filename=\"{escaped}%0A%0Da\"")), "{head}");
        for mime_type in ["text/plain\r\nX-Evil: 1", "text", "text/\u{e9}"] {
            let refused = written(&[field("x", None, Some(mime_type), "v")]).await;
            assert!(matches!(refused, Err(Unsent::Field)), "{mime_type}");
        }
        assert!(matches!(written(&[field("x\0", None, None, "v")]).await, Err(Unsent::Field)));
    }

    #[tokio::test]
    async fn two_forms_have_two_boundaries_and_a_form_has_its_bounds() {
        let (one, other) = (written(&[]).await.unwrap().1, written(&[]).await.unwrap().1);
        assert_ne!(one, other);
        let many = vec![field("x", None, None, "v"); MAX_FIELDS + 1];
        assert!(matches!(written(&many).await, Err(Unsent::TooManyFields)));
        let large = field("x", None, None, &"v".repeat(10_000));
        assert!(matches!(written(&[large]).await, Err(Unsent::BodyTooLarge { limit: 10_000 })));
    }
}
