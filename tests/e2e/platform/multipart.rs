//! `multipart/form-data`, read to the letter (RFC 7578, RFC 2046).

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Part {
    /// What a part without a file says.
    pub(crate) fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.bytes).map_err(|_| format!("the part `{}` is not UTF-8", self.name))
    }
}

/// The parts of a body, or what is wrong with it.
pub(crate) fn parse(content_type: &str, body: &[u8]) -> Result<Vec<Part>, String> {
    let parameters = content_type.strip_prefix("multipart/form-data;").ok_or("it is no multipart/form-data")?;
    let boundary = parameters.trim().strip_prefix("boundary=").ok_or("it names no boundary")?;
    let boundary = boundary.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(boundary);
    if boundary.is_empty() || boundary.len() > 70 {
        return Err(format!("a boundary has 1 to 70 characters, not {}", boundary.len()));
    }
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut rest = body.strip_prefix(&delimiter[2..]).ok_or("it does not begin with its boundary")?;
    let mut parts: Vec<Part> = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            let whole = end.is_empty() || end == b"\r\n";
            return if whole { Ok(parts) } else { Err("something follows its end".into()) };
        }
        rest = rest.strip_prefix(b"\r\n").ok_or("a boundary ends with its line")?;
        let end = find(rest, b"\r\n\r\n").ok_or("a part has no end of its head")?;
        let (head, value) = (&rest[..end], &rest[end + 4..]);
        let end = find(value, &delimiter).ok_or("a part has no end")?;
        let part = part(head, value[..end].to_vec())?;
        if parts.iter().any(|other| other.name == part.name) {
            return Err(format!("two parts are called `{}`", part.name));
        }
        parts.push(part);
        rest = &value[end + delimiter.len()..];
    }
}

fn part(head: &[u8], bytes: Vec<u8>) -> Result<Part, String> {
    let head = std::str::from_utf8(head).map_err(|_| "a part's head is not UTF-8")?;
    let mut part = Part { name: String::new(), filename: None, media_type: None, bytes };
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line}"))?;
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" => {
                let mut parameters = value.trim().split("; ");
                if parameters.next() != Some("form-data") {
                    return Err(format!("a part is form-data, not {value}"));
                }
                for parameter in parameters {
                    let (key, value) = parameter.split_once('=').ok_or_else(|| format!("no parameter: {parameter}"))?;
                    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                    let value = value.filter(|value| !value.contains('"'));
                    let value = value.ok_or_else(|| format!("{key} is not quoted: {parameter}"))?.to_owned();
                    match key {
                        "name" => part.name = value,
                        "filename" => part.filename = Some(value),
                        _ => return Err(format!("an unknown parameter: {parameter}")),
                    }
                }
            }
            "content-type" => part.media_type = Some(value.trim().to_owned()),
            "content-length" => {}
            _ => return Err(format!("an unknown header of a part: {line}")),
        }
    }
    if part.name.is_empty() { Err("a part has no name".into()) } else { Ok(part) }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
