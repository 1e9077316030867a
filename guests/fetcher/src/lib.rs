//! A plugin that sends the HTTP requests that it is told to, and says what came of them.

use serde::{Deserialize, Serialize};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::streams::StreamError;

use crate::exports::exoclaw::plugin::tool::{Content, Context, Definition, Description, Error, Guest, Hints};

wit_bindgen::generate!({ world: "tool-plugin", path: "../../wit" });

const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "method": { "type": "string" },
        "scheme": { "type": "string" },
        "authority": { "type": "string" },
        "path": { "type": "string" },
        "headers": { "type": "array", "items": { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 } },
        "body": { "type": "string" },
        "upload": { "type": "integer", "minimum": 0 },
        "unfinished": { "type": "boolean" },
        "first_byte_ms": { "type": "integer", "minimum": 1 },
        "idle_ms": { "type": "integer", "minimum": 1 },
        "discard": { "type": "boolean" },
        "count": { "type": "integer", "minimum": 1 },
        "mixed_needles": { "type": "array", "items": { "type": "array", "items": { "type": "integer", "maximum": 255 } } }
    },
    "required": ["scheme"],
    "additionalProperties": false
}"#;

/// What is written to a body at once: the most that `blocking-write-and-flush` takes.
const CHUNK: usize = 4 << 10;
/// What is asked for at once of a response.
const READ: u64 = 64 << 10;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    method: Option<String>,
    scheme: String,
    #[serde(default)]
    authority: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    body: Option<String>,
    /// The length of the body, where its bytes don't matter.
    #[serde(default)]
    upload: Option<u64>,
    /// Whether the call ends with the head of the response, and before its own body does.
    #[serde(default)]
    unfinished: bool,
    #[serde(default)]
    first_byte_ms: Option<u64>,
    #[serde(default)]
    idle_ms: Option<u64>,
    /// Whether the response's body is counted instead of kept.
    #[serde(default)]
    discard: bool,
    /// How many such requests to hold at once, for `hold`.
    #[serde(default)]
    count: Option<usize>,
    /// What to look for in all of the plugin's memory after the response, each byte of it mixed with
    /// 0x55, so that the needle itself is nowhere.
    #[serde(default)]
    mixed_needles: Vec<Vec<u8>>,
}

#[derive(Serialize, Default)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "String::is_empty")]
    body: String,
    /// Bytes of the response's body.
    received: u64,
    /// Which of the needles are in memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    found: Vec<bool>,
    /// What failed, by its name in `wasi:http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

struct Fetcher;

impl Guest for Fetcher {
    fn describe() -> Description {
        Description { settings_schema: r#"{"type":"object"}"#.into(), hosts: vec![], secrets: vec![] }
    }

    fn definitions(_settings: String) -> Result<Vec<Definition>, Error> {
        let define = |name: &str, description: &str| Definition {
            name: name.into(),
            title: None,
            description: description.into(),
            input_schema: SCHEMA.into(),
            output_schema: None,
            hints: Hints::empty(),
        };
        Ok(vec![
            define("fetch", "Sends one HTTP request and reports the response."),
            define("hold", "Sends requests without reading the responses, and reports how many were let out."),
        ])
    }

    fn call(_context: Context, name: String, arguments: String) -> Result<Vec<Content>, Error> {
        let request: Request =
            serde_json::from_str(&arguments).map_err(|error| Error::InvalidInput(error.to_string()))?;
        let report = match name.as_str() {
            "hold" => hold(&request),
            _ => {
                let mut report = Report::default();
                if let Err(error) = fetch(&request, &mut report) {
                    report.error = Some(error);
                }
                report.found = request.mixed_needles.iter().map(|needle| is_in_memory(needle)).collect();
                report
            }
        };
        let json = serde_json::to_string(&report).map_err(|error| Error::Failed(error.to_string()))?;
        Ok(vec![Content::Json(json)])
    }
}

/// As many at once as are let out; the first error of those that are not.
fn hold(request: &Request) -> Report {
    let mut report = Report::default();
    let mut held = Vec::new();
    for _ in 0..request.count.unwrap_or(1) {
        match start(request).and_then(|(response, _)| answer(&response)) {
            Ok(response) => held.push(response),
            Err(error) => report.error = report.error.or(Some(error)),
        }
    }
    report.received = held.len() as u64;
    report
}

fn fetch(request: &Request, report: &mut Report) -> Result<(), String> {
    let (response, body) = start(request)?;
    if let Some(body) = body {
        let sent = upload(request, &body);
        if request.unfinished {
            answer(&response)?;
            // It goes with the instance.
            std::mem::forget(body);
            return Ok(());
        }
        // Where the host took no more of it, the response says why.
        if sent {
            OutgoingBody::finish(body, None).map_err(code)?;
        }
    }
    let response = answer(&response)?;
    report.status = Some(response.status());
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    report.headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let body = response.consume().map_err(|()| "no body")?;
    read(request, &body, report)?;
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get() {
        Some(Ok(Ok(_))) => Ok(()),
        Some(Ok(Err(error))) => Err(code(error)),
        _ => Err("no trailers".into()),
    }
}

fn start(request: &Request) -> Result<(FutureIncomingResponse, Option<OutgoingBody>), String> {
    let headers = Fields::new();
    for (name, value) in &request.headers {
        headers.append(name, value.as_bytes()).map_err(|error| format!("{name}: {error:?}"))?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let method = match request.method.as_deref().unwrap_or("GET") {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.into()),
    };
    outgoing.set_method(&method).map_err(|()| "method")?;
    let scheme = match request.scheme.as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.into()),
    };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    outgoing.set_authority(request.authority.as_deref()).map_err(|()| "authority")?;
    outgoing.set_path_with_query(request.path.as_deref()).map_err(|()| "path")?;
    let body = match request.body.is_some() || request.upload.is_some() {
        true => Some(outgoing.body().map_err(|()| "request body")?),
        false => None,
    };
    let options = RequestOptions::new();
    let nanoseconds = |ms: Option<u64>| ms.map(|ms| ms * 1_000_000);
    options.set_first_byte_timeout(nanoseconds(request.first_byte_ms)).map_err(|()| "timeout")?;
    options.set_between_bytes_timeout(nanoseconds(request.idle_ms)).map_err(|()| "timeout")?;
    Ok((handle(outgoing, Some(options)).map_err(code)?, body))
}

/// Whether all of it was taken.
fn upload(request: &Request, body: &OutgoingBody) -> bool {
    let Ok(stream) = body.write() else { return false };
    if let Some(text) = &request.body {
        return text.as_bytes().chunks(CHUNK).all(|chunk| stream.blocking_write_and_flush(chunk).is_ok());
    }
    let mut left = request.upload.unwrap_or(0);
    while left > 0 {
        let chunk = left.min(CHUNK as u64);
        if stream.blocking_write_and_flush(&[b'x'; CHUNK][..chunk as usize]).is_err() {
            return false;
        }
        left -= chunk;
    }
    true
}

fn answer(response: &FutureIncomingResponse) -> Result<wasip2::http::types::IncomingResponse, String> {
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(error))) => Err(code(error)),
        _ => Err("no response".into()),
    }
}

fn read(request: &Request, body: &IncomingBody, report: &mut Report) -> Result<(), String> {
    let stream = body.stream().map_err(|()| "no stream")?;
    loop {
        match stream.blocking_read(READ) {
            Ok(bytes) => {
                report.received += bytes.len() as u64;
                if !request.discard {
                    report.body.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

/// Whether these bytes, unmixed, lie anywhere in this instance's memory.
fn is_in_memory(mixed: &[u8]) -> bool {
    let size = core::arch::wasm32::memory_size(0) * 65_536;
    // From the second byte on: Rust knows nothing at the address zero.
    (1..size - mixed.len()).any(|start| {
        mixed.iter().enumerate().all(|(index, byte)| {
            // SAFETY: all of it lies below the size of the memory, which never shrinks.
            let found = unsafe { core::ptr::read_volatile((start + index) as *const u8) };
            found == byte ^ 0x55
        })
    })
}

fn code(error: ErrorCode) -> String {
    format!("{error:?}")
}

export!(Fetcher);
