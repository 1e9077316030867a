//! Slack's upload of a file, in three steps.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{Api, Shown};
use crate::platform::multipart;
use crate::platform::server::{Answer, Request};

/// A file on its way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    name: String,
    length: usize,
    bytes: Option<Vec<u8>>,
    shared: bool,
}

type Outcome = Result<Value, String>;

/// The first step.
pub(super) fn url(api: &Api, fields: &Map<String, Value>) -> Outcome {
    let number = |name: &str| {
        let value = &fields[name];
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).ok_or_else(|| format!("invalid_arguments: {name}"))
    };
    let (name, length) = (fields["filename"].as_str().unwrap_or_default().to_owned(), number("length")?);
    if name.is_empty() || length == 0 {
        return Err("invalid_arguments: an empty file, or one without a name".into());
    }
    let mut state = api.state.lock().expect("no poison");
    let id = state.id("F");
    state.uploads.insert(id.clone(), Upload { name, length: length as usize, bytes: None, shared: false });
    Ok(json!({"upload_url": format!("{}/upload/v1/{id}", api.origin), "file_id": id}))
}

/// The second step: the bytes, as they are or as a form's one file.
pub(super) fn receive(api: &Api, request: &Request, id: &str) -> Answer {
    let refuse = |why: String| {
        api.desk.violation(format!("upload of {id}: {why}"));
        Answer::bytes(400, "text/plain", why.into_bytes())
    };
    if request.method != "POST" {
        return refuse(format!("the method is POST, not {}", request.method));
    }
    let bytes = if request.media_type() == "multipart/form-data" {
        let content_type = request.header("content-type").unwrap_or_default();
        match multipart::parse(content_type, &request.body).map(<[multipart::Part; 1]>::try_from) {
            Ok(Ok([part])) => part.bytes,
            Ok(Err(parts)) => return refuse(format!("one file, not {}", parts.len())),
            Err(why) => return refuse(why),
        }
    } else {
        request.body.clone()
    };
    let mut state = api.state.lock().expect("no poison");
    let Some(upload) = state.uploads.get_mut(id) else {
        drop(state);
        return refuse("no such upload".into());
    };
    if bytes.len() != upload.length {
        let length = upload.length;
        drop(state);
        return refuse(format!("{} bytes, where {length} were said", bytes.len()));
    }
    let answer = format!("OK - {}", bytes.len());
    upload.bytes = Some(bytes);
    Answer::bytes(200, "text/plain", answer.into_bytes())
}

/// The third step.
pub(super) fn complete(api: &Api, request: &Request, fields: &Map<String, Value>) -> Outcome {
    let files = match &fields["files"] {
        Value::String(text) => serde_json::from_str(text).map_err(|_| "invalid_arguments: files")?,
        files => files.clone(),
    };
    let ids = files.as_array().into_iter().flatten().filter_map(|file| file["id"].as_str());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut state = api.state.lock().expect("no poison");
    let channel = text("channel_id").unwrap_or_default();
    if !state.channels.contains_key(&channel) {
        return Err("channel_not_found".into());
    }
    let mut sent = Vec::new();
    for id in &ids {
        let upload = state.uploads.get_mut(id).filter(|upload| !upload.shared).ok_or("file_not_found")?;
        let bytes = upload.bytes.clone().ok_or("file_not_found: nothing was uploaded")?;
        upload.shared = true;
        sent.push((upload.name.clone(), bytes));
    }
    if sent.is_empty() {
        return Err("invalid_arguments: no files".into());
    }
    let ts = state.ts();
    drop(state);
    api.messages.push(Shown {
        request: request.number,
        at: Instant::now(),
        channel,
        ts,
        thread: text("thread_ts"),
        text: text("initial_comment").unwrap_or_default(),
        earlier: Vec::new(),
        files: sent,
    });
    Ok(json!({"files": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()}))
}
