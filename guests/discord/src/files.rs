//! Files that come with a message: told by address, fetched when they are needed.
//!
//! The address of a file on Discord's CDN is signed and ends after a day or so (Reference, "Signed
//! Attachment CDN URLs"). Then the message is asked for, which has a new one.

use exoclaw_chat::segment;
use exoclaw_guest::channel::{Attachment, Context, Fetch, text};
use exoclaw_guest::{Error, Response, failed, invalid};
use serde::{Deserialize, Serialize};

use crate::rest;
use crate::settings::Discord;

/// What nobody said the type of.
const UNKNOWN: &str = "application/octet-stream";
/// How long a file may take.
const DOWNLOAD_MS: u32 = 120_000;
/// An address that ends within this time is not used.
const MARGIN_MS: u64 = 60_000;

/// An attachment object ("Message", "Attachment Object").
#[derive(Deserialize)]
pub struct Wire {
    id: String,
    filename: Option<String>,
    content_type: Option<String>,
    size: Option<u64>,
    url: String,
}

/// What is handed back to fetch it.
#[derive(Serialize, Deserialize)]
struct Handle {
    channel: String,
    message: String,
    id: String,
    url: String,
}

/// A message, asked for again.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    attachments: Vec<Wire>,
}

/// For the host.
pub fn attachment(wire: Wire, channel: &str, message: &str) -> Option<Attachment> {
    let mime = wire.content_type.as_deref().unwrap_or(UNKNOWN);
    let mime = mime.split(';').next().map(str::trim).filter(|mime| mime.contains('/')).unwrap_or(UNKNOWN);
    let handle = Handle { channel: channel.to_owned(), message: message.to_owned(), id: wire.id, url: wire.url };
    Some(Attachment {
        mime_type: mime.to_owned(),
        name: wire.filename,
        size: wire.size,
        handle: serde_json::to_vec(&handle).ok()?,
    })
}

/// The file itself, or its message first.
pub fn fetch(settings: &Discord, context: &Context, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
    let handle: Handle = serde_json::from_slice(handle)?;
    match previous {
        None if ends_at(&handle.url).is_none_or(|end| context.now + MARGIN_MS < end) => download(settings, &handle.url),
        None => Ok(Fetch::Lookup(rest::get(
            settings,
            &format!("/channels/{}/messages/{}", segment(&handle.channel), segment(&handle.message)),
        ))),
        Some(Response { status: 200, body, .. }) => {
            let message: Message = serde_json::from_slice(&body)?;
            match message.attachments.into_iter().find(|file| file.id == handle.id) {
                Some(file) => download(settings, &file.url),
                None => Err(failed("the message no longer has this file")),
            }
        }
        Some(Response { status, .. }) => {
            Err(failed(format_args!("Discord answered with {status} when asked for the message of the file")))
        }
    }
}

fn download(settings: &Discord, url: &str) -> Result<Fetch, Error> {
    if !settings.is_file(url) {
        return Err(invalid(format_args!("{url} is not on Discord's CDN")));
    }
    let request = rest::request("GET", text(url));
    Ok(Fetch::Download(exoclaw_guest::channel::Outbound { timeout_ms: DOWNLOAD_MS, ..request }))
}

/// When an address ends, in milliseconds: its `ex`, in hexadecimal seconds.
fn ends_at(url: &str) -> Option<u64> {
    let (_, query) = url.split_once('?')?;
    let ex = query.split('&').find_map(|pair| pair.strip_prefix("ex="))?;
    u64::from_str_radix(ex, 16).ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://cdn.discordapp.com/attachments/1/2/cat.png?ex=65d903de&is=65c68ede&hm=2481f30d";

    fn settings() -> Discord {
        serde_json::from_str("{}").unwrap()
    }

    fn at(now: u64) -> Context {
        Context { settings: "{}".into(), webhook_url: None, now, random: 0, attempt: 1 }
    }

    fn handle(url: &str) -> Vec<u8> {
        let wire = Wire { id: "9".into(), filename: None, content_type: None, size: None, url: url.into() };
        attachment(wire, "5", "6").unwrap().handle
    }

    #[test]
    fn a_fresh_address_is_fetched_without_the_token() {
        let Fetch::Download(request) =
            fetch(&settings(), &at(0x65d9_03de * 1_000 - 60_001), &handle(URL), None).unwrap()
        else {
            panic!("a download was expected")
        };
        assert!(request.headers.iter().all(|(name, _)| name != "authorization"));
    }

    #[test]
    fn an_old_address_is_renewed_by_its_message() {
        let old = handle(URL);
        let Fetch::Lookup(request) = fetch(&settings(), &at(0x65d9_03de * 1_000), &old, None).unwrap() else {
            panic!("a lookup was expected")
        };
        assert_eq!(rest::tests::url(&request), "https://discord.com/api/v10/channels/5/messages/6");
        let body = format!(r#"{{"attachments": [{{"id": "8", "url": "x"}}, {{"id": "9", "url": "{URL}"}}]}}"#);
        let answer = Response { status: 200, headers: vec![], body: body.into_bytes() };
        assert!(matches!(fetch(&settings(), &at(0), &old, Some(answer)), Ok(Fetch::Download(_))));
        let gone = Response { status: 404, headers: vec![], body: vec![] };
        assert!(fetch(&settings(), &at(0), &old, Some(gone)).is_err());
    }

    #[test]
    fn an_address_elsewhere_is_refused() {
        assert!(fetch(&settings(), &at(0), &handle("https://evil.example/x"), None).is_err());
        assert!(fetch(&settings(), &at(0), b"{", None).is_err());
    }
}
