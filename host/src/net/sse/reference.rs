//! The standard's algorithm over a whole text, written to be compared with and not to be fast.

/// An event with texts of its own: name, data, last id.
pub(crate) type Owned = (String, String, String);

/// All events of a whole stream.
pub(crate) fn parse(stream: &[u8]) -> Vec<Owned> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    // What no line end follows is no line.
    let Some((lines, _)) = text.rsplit_once('\n') else { return Vec::new() };

    let (mut events, mut name, mut data, mut id) = (Vec::new(), String::new(), None::<String>, String::new());
    for line in lines.split('\n') {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            if let Some(data) = data.take() {
                events.push((if name.is_empty() { "message".to_owned() } else { name }, data, id.clone()));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            },
            "event" => name = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    events
}
