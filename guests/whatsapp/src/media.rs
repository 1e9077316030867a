//! Files, both ways (Cloud API, "Media").

use exoclaw_guest::channel::{Body, Fetch, Field, FieldValue, File, Outbound, text};
use exoclaw_guest::{Error, Response, failed, invalid};
use serde::Deserialize;

use crate::{ACCESS_TOKEN, WhatsAppSettings, graph};

/// How long a file may take, in milliseconds.
const TIMEOUT: u32 = 300_000;

/// The types that are shown as what they are, and how large they may be in bytes ("Supported media types").
const SHOWN: [(&str, u64, &[&str]); 3] = [
    ("image", 5_000_000, &["image/jpeg", "image/png"]),
    ("video", 16_000_000, &["video/mp4", "video/3gpp"]),
    ("audio", 16_000_000, &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"]),
];

/// As what a file is sent.
pub fn kind(file: &File) -> &'static str {
    let fits =
        |(_, size, types): &&(&str, u64, &[&str])| file.size <= *size && types.contains(&file.mime_type.as_str());
    SHOWN.iter().find(fits).map_or("document", |(kind, ..)| kind)
}

/// `POST /{phone-number-id}/media`, whose answer is `{"id": ...}`.
pub fn upload(settings: &WhatsAppSettings, account: &str, file: &File) -> Outbound {
    let field = |name: &str, value: FieldValue| Field { name: name.into(), filename: None, mime_type: None, value };
    let request = Outbound {
        method: "POST".into(),
        url: text(graph::url(settings, &format!("{account}/media"))),
        headers: vec![],
        body: Body::Form(vec![
            field("messaging_product", FieldValue::Text(text("whatsapp"))),
            field("type", FieldValue::Text(text(&file.mime_type))),
            Field {
                filename: Some(file.name.clone()),
                mime_type: Some(file.mime_type.clone()),
                ..field("file", FieldValue::File(file.id.clone()))
            },
        ]),
        timeout_ms: TIMEOUT,
    };
    request.bearer(ACCESS_TOKEN)
}

/// `GET /{media-id}` tells an address, good for five minutes, where the bytes are.
pub fn fetch(settings: &WhatsAppSettings, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
    let get = |url: String, timeout_ms| {
        let request =
            Outbound { method: "GET".into(), url: text(url), headers: vec![], body: Body::Bytes(vec![]), timeout_ms };
        request.bearer(ACCESS_TOKEN)
    };
    let Some(response) = previous else {
        let id = std::str::from_utf8(handle)?;
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(invalid("a media id has digits and letters only"));
        }
        return Ok(Fetch::Lookup(get(graph::url(settings, id), 30_000)));
    };
    #[derive(Deserialize)]
    struct Found {
        url: String,
    }
    if response.status != 200 {
        return Err(failed(format_args!("the Graph API answered the look-up of a file with {}", response.status)));
    }
    let Found { url } = serde_json::from_slice(&response.body)?;
    // Our token goes there, so it goes nowhere else.
    let is_theirs = url.strip_prefix(&settings.media_url).is_some_and(|rest| rest.starts_with(['/', '?']));
    if !is_theirs || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format_args!("a file is not at {}; set `media_url`, and grant it", settings.media_url)));
    }
    Ok(Fetch::Download(get(url, TIMEOUT)))
}
