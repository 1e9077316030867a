//! Files that come with a message, which Slack gives to whoever has the bot's token ("File object").

use exoclaw_guest::channel::{Attachment, Body, Fetch, Outbound, text};
use exoclaw_guest::{Error, Response, failed, invalid};
use serde::{Deserialize, Serialize};

use crate::api;
use crate::settings::{BOT_TOKEN, Slack};

/// What nobody said the type of.
const UNKNOWN: &str = "application/octet-stream";
/// How long a file may take.
const DOWNLOAD_MS: u32 = 120_000;

#[derive(Deserialize)]
pub struct Wire {
    id: String,
    name: Option<String>,
    mimetype: Option<String>,
    size: Option<u64>,
    /// `tombstone` is what was deleted, `hidden_by_limit` what the plan does not show.
    mode: Option<String>,
    url_private: Option<String>,
    url_private_download: Option<String>,
}

/// What is handed back to fetch it.
#[derive(Serialize, Deserialize)]
struct Handle {
    id: String,
    /// Absent for files of Slack Connect, which are asked for first.
    url: Option<String>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    ok: bool,
    error: Option<String>,
    file: Option<Wire>,
}

/// For the host.
pub fn attachment(wire: Wire) -> Option<Attachment> {
    if matches!(wire.mode.as_deref(), Some("tombstone" | "hidden_by_limit")) {
        return None;
    }
    let mime_type = wire.mimetype.filter(|mime| mime.contains('/')).unwrap_or_else(|| UNKNOWN.into());
    let handle = Handle { id: wire.id, url: wire.url_private_download.or(wire.url_private) };
    Some(Attachment { mime_type, name: wire.name, size: wire.size, handle: serde_json::to_vec(&handle).ok()? })
}

/// The file itself, or what Slack says of it first.
pub fn fetch(settings: &Slack, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
    let handle: Handle = serde_json::from_slice(handle)?;
    match (previous, handle.url) {
        (None, Some(url)) => download(settings, &url),
        (None, None) => Ok(Fetch::Lookup(api::form(settings, "files.info", &[("file", &handle.id)]))),
        (Some(Response { status: 200, body, .. }), _) => {
            let info: Info = serde_json::from_slice(&body)?;
            let file = info.file.filter(|_| info.ok);
            match file.and_then(|file| file.url_private_download.or(file.url_private)) {
                Some(url) => download(settings, &url),
                None => {
                    let why = info.error.unwrap_or_else(|| "it has no address".into());
                    Err(failed(format_args!("Slack does not give the file: {why}")))
                }
            }
        }
        (Some(Response { status, .. }), _) => Err(failed(format_args!("Slack answered files.info with {status}"))),
    }
}

fn download(settings: &Slack, url: &str) -> Result<Fetch, Error> {
    // The token goes with it.
    if !settings.is_file(url) {
        return Err(invalid(format_args!("{url} is not where Slack keeps files")));
    }
    let request = Outbound {
        method: "GET".into(),
        url: text(url),
        headers: vec![],
        body: Body::Bytes(vec![]),
        timeout_ms: DOWNLOAD_MS,
    };
    Ok(Fetch::Download(request.bearer(BOT_TOKEN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Slack {
        serde_json::from_str("{}").unwrap()
    }

    fn wire(json: &str) -> Wire {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_file_is_fetched_with_the_token_and_from_slack_only() {
        let here = attachment(wire(r#"{"id": "F1", "url_private": "https://files.slack.com/files-pri/T1-F1/a.png"}"#));
        let Ok(Fetch::Download(request)) = fetch(&settings(), &here.unwrap().handle, None) else {
            panic!("a download was expected")
        };
        assert_eq!(request.headers[0].0, "authorization");
        let elsewhere = attachment(wire(r#"{"id": "F1", "url_private": "https://evil.example/a.png"}"#)).unwrap();
        assert!(fetch(&settings(), &elsewhere.handle, None).is_err());
    }

    #[test]
    fn a_file_without_an_address_is_asked_for() {
        let file = attachment(wire(r#"{"id": "F1", "mode": "file_access"}"#)).unwrap();
        assert!(matches!(fetch(&settings(), &file.handle, None), Ok(Fetch::Lookup(_))));
        let answer = |body: &str| Some(Response { status: 200, headers: vec![], body: body.into() });
        let told = r#"{"ok": true, "file": {"id": "F1", "url_private": "https://files.slack.com/x"}}"#;
        assert!(matches!(fetch(&settings(), &file.handle, answer(told)), Ok(Fetch::Download(_))));
        let refused = fetch(&settings(), &file.handle, answer(r#"{"ok": false, "error": "file_not_found"}"#));
        assert!(matches!(refused, Err(Error::Failed(why)) if why.contains("file_not_found")));
    }

    #[test]
    fn what_was_deleted_is_no_attachment() {
        assert!(attachment(wire(r#"{"id": "F1", "mode": "tombstone"}"#)).is_none());
    }
}
