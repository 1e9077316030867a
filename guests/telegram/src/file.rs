//! Attachments: `getFile` says where a file is, and then it is downloaded
//! (<https://core.telegram.org/bots/api#getfile>). Telegram gives bots files of up to 20 MB.

use exoclaw_guest::channel::{Body, Fetch, Outbound};
use exoclaw_guest::{Error, Response, failed, invalid};
use serde::Deserialize;
use serde_json::json;

use crate::TelegramSettings;
use crate::api::{Failure, address, call, result};

/// How long a download may take, in milliseconds.
const DOWNLOAD_MS: u32 = 60_000;

#[derive(Deserialize)]
struct File {
    file_path: Option<String>,
}

pub fn fetch(settings: &TelegramSettings, handle: &[u8], previous: Option<Response>) -> Result<Fetch, Error> {
    let id = std::str::from_utf8(handle)?;
    let Some(response) = previous else {
        return Ok(Fetch::Lookup(call(settings, "getFile", &json!({"file_id": id}))?));
    };
    let path = match result::<File>(&Ok(response), 0) {
        Ok(File { file_path: Some(path) }) => path,
        Ok(File { file_path: None }) => return Err(failed("Telegram does not say where the file is")),
        Err(Failure::Limited { after_ms, .. }) => return Err(Error::Unavailable(after_ms)),
        Err(failure) => return Err(failed(failure.why())),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.' | b'~');
    let inside = !path.starts_with('/') && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    // A server of one's own that runs with `--local` gives paths on its disk.
    if !inside || !path.bytes().all(plain) {
        return Err(invalid("Telegram gives the file a path that is none below the bot's files"));
    }
    Ok(Fetch::Download(Outbound {
        method: "GET".into(),
        url: address(settings, "/file/bot", &format!("/{path}")),
        headers: vec![],
        body: Body::Bytes(vec![]),
        timeout_ms: DOWNLOAD_MS,
    }))
}
