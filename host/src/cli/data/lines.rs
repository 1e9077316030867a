//! The format of an export: JSON Lines. A header, a record a line, and a last line with their number, so that
//! a file that was cut is told from a whole one.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::store::{OLDEST_PORTABLE_VERSION, PORTABLE_VERSION, Record};

/// The longest line, in bytes. A record is a message or a piece of a file at most, which are far smaller.
const MAX_LINE: u64 = 256 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// The version of the program that wrote it.
    exoclaw: String,
    /// The version of the format.
    format: u32,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    /// How many there are between the first line and this one.
    records: u64,
}

/// How much was read or written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Why a text is no export.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// Another file.
    #[error("line 1 is not the first line of an export: this is another kind of file")]
    NoExport,
    /// A later program's.
    #[error(
        "it has format {found}, and this program reads formats up to {PORTABLE_VERSION}; import it with the exoclaw that \
         wrote it ({by}), or a later one"
    )]
    Format { found: u32, by: String },
    /// A line that is no record.
    #[error("line {line} is no record: {reason}")]
    Record { line: u64, reason: String },
    /// A line without end.
    #[error("line {line} is longer than {} MiB, which no record is", MAX_LINE >> 20)]
    Long { line: u64 },
    /// The end is missing.
    #[error("it ends after line {line}, and its last line is missing: the file was cut")]
    Cut { line: u64 },
    /// Some are missing, or there twice.
    #[error("its last line speaks of {said} records, and there are {found}: some were lost, or put in")]
    Count { said: u64, found: u64 },
    /// Something follows.
    #[error("line {line} stands after its last line")]
    After { line: u64 },
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Writes an export.
pub(super) struct Writer<W> {
    out: W,
    totals: Totals,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub(super) fn begin(out: W) -> io::Result<Self> {
        let mut writer = Self { out, totals: Totals::default(), line: Vec::new() };
        writer.line(&Header { exoclaw: env!("CARGO_PKG_VERSION").to_owned(), format: PORTABLE_VERSION })?;
        Ok(writer)
    }

    pub(super) fn record(&mut self, record: &Record) -> io::Result<()> {
        self.line(record)?;
        self.totals.records += 1;
        Ok(())
    }

    /// Writes the last line, and gives back where it all went.
    pub(super) fn end(mut self) -> io::Result<(W, Totals)> {
        self.line(&Footer { records: self.totals.records })?;
        self.out.flush()?;
        Ok((self.out, self.totals))
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.totals.bytes += self.line.len() as u64;
        Ok(())
    }
}

/// Reads an export, and takes nothing that is none.
pub(super) struct Reader<R> {
    source: R,
    /// The number of the line that was read last.
    number: u64,
    totals: Totals,
    line: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn begin(source: R) -> Result<Self, LineError> {
        let mut reader = Self { source, number: 0, totals: Totals::default(), line: Vec::new() };
        if !reader.advance()? {
            return Err(LineError::NoExport);
        }
        // Whatever a later format adds to its header, its version stands there.
        #[derive(Deserialize)]
        struct Version {
            exoclaw: String,
            format: u32,
        }
        let Version { exoclaw: by, format: found } =
            serde_json::from_slice(&reader.line).map_err(|_| LineError::NoExport)?;
        if !(OLDEST_PORTABLE_VERSION..=PORTABLE_VERSION).contains(&found) {
            return Err(LineError::Format { found, by: by.chars().take(40).collect() });
        }
        serde_json::from_slice::<Header>(&reader.line).map_err(|_| LineError::NoExport)?;
        Ok(reader)
    }

    /// The next record, with the number of its line and its length in bytes; none at the end, once all that
    /// the last line says is so.
    pub(super) fn next(&mut self) -> Result<Option<(Record, u64, usize)>, LineError> {
        if !self.advance()? {
            return Err(LineError::Cut { line: self.number });
        }
        let reason = match serde_json::from_slice::<Record>(&self.line) {
            Ok(record) => {
                self.totals.records += 1;
                return Ok(Some((record, self.number, self.line.len())));
            }
            Err(error) => error,
        };
        let line = self.number;
        match serde_json::from_slice::<Footer>(&self.line) {
            Ok(Footer { records }) if records != self.totals.records => {
                Err(LineError::Count { said: records, found: self.totals.records })
            }
            Ok(_) if self.advance()? => Err(LineError::After { line: self.number }),
            Ok(_) => Ok(None),
            // The last line of a file that was cut is seldom a whole one.
            Err(_) if reason.is_eof() && !self.advance()? => Err(LineError::Cut { line }),
            Err(_) => Err(LineError::Record { line, reason: reason.to_string() }),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Reads a line without its end. No, where there is none.
    fn advance(&mut self) -> Result<bool, LineError> {
        self.line.clear();
        let length = self.source.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut self.line)?;
        if length == 0 {
            return Ok(false);
        }
        self.number += 1;
        self.totals.bytes += length as u64;
        match self.line.last() {
            Some(b'\n') => {
                self.line.pop();
                Ok(true)
            }
            _ if length as u64 > MAX_LINE => Err(LineError::Long { line: self.number }),
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::{EventId, FactId, Seq, SetAsideId, Timestamp};

    fn records() -> Vec<Record> {
        vec![
            Record::Channel { channel: "telegram\n".into(), state: "{\"offset\": 3}".into() },
            Record::Seen {
                channel: "telegram".into(),
                event: EventId { account: "1".into(), id: "e-1".into() },
                at: Timestamp(5),
            },
            Record::Counters { next_seq: Seq(9), next_fact: FactId(2), next_set_aside: SetAsideId(1) },
        ]
    }

    fn export(records: &[Record]) -> String {
        let mut writer = Writer::begin(Vec::new()).expect("a vector");
        for record in records {
            writer.record(record).expect("a vector");
        }
        String::from_utf8(writer.end().expect("a vector").0).expect("UTF-8")
    }

    fn read(text: &str) -> Result<Vec<String>, LineError> {
        let mut reader = Reader::begin(text.as_bytes())?;
        let mut records = Vec::new();
        while let Some((record, ..)) = reader.next()? {
            records.push(serde_json::to_string(&record).expect("JSON"));
        }
        Ok(records)
    }

    fn refused(text: &str) -> String {
        read(text).expect_err("no export").to_string()
    }

    #[test]
    fn what_was_written_is_read() {
        let written: Vec<_> = records().iter().map(|record| serde_json::to_string(record).expect("JSON")).collect();
        let text = export(&records());
        assert_eq!(read(&text).expect("an export"), written);
        assert_eq!(text.lines().count(), 2 + written.len());
        assert_eq!(read(&export(&[])).expect("an export"), [""; 0]);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_is_told() {
        let text = export(&records());
        // Without its last line end it is whole.
        for end in 0..text.len() - 1 {
            if text.is_char_boundary(end) {
                assert!(read(&text[..end]).is_err(), "{end}");
            }
        }
        let lines: Vec<_> = text.lines().collect();
        let cut = lines[..3].join("\n");
        assert_eq!(refused(&cut), "it ends after line 3, and its last line is missing: the file was cut");
        assert!(refused(&cut[..cut.len() - 5]).contains("cut"));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let text = export(&records());
        let mut lines: Vec<_> = text.lines().collect();
        lines[2] = "{\"seen\": {}}";
        assert!(refused(&lines.join("\n")).starts_with("line 3 is no record: missing field"));
        lines[2] = "";
        assert!(refused(&lines.join("\n")).starts_with("line 3 is no record"));
        lines.remove(2);
        assert_eq!(
            refused(&lines.join("\n")),
            "its last line speaks of 3 records, and there are 2: some were lost, or put in"
        );
        assert_eq!(refused(&format!("{text}{{}}")), "line 6 stands after its last line");
    }

    #[test]
    fn another_file_and_another_format_are_told() {
        assert_eq!(refused(""), "line 1 is not the first line of an export: this is another kind of file");
        assert_eq!(refused("SQLite format 3\0"), refused(""));
        let later = "{\"exoclaw\":\"9.1\",\"format\":4,\"more\":true}\n";
        assert!(refused(later).contains("format 4") && refused(later).contains("9.1"), "{}", refused(later));
    }

    #[test]
    fn an_export_of_the_first_format_is_read() {
        let text = concat!(
            r#"{"exoclaw":"0.1.0","format":1}"#,
            "\n",
            r#"{"turn":{"session":"a:b:c:d","turn":"01hzzzzzzzzzzzzzzzzz","accepted_at":1,"open":true,"resumes":0,"#,
            r#""idempotency":null}}"#,
            "\n",
            r#"{"delivery":{"id":"01hzzzzzzzzzzzzzzzzz","session":"a:b:c:d","channel":"x","conversation":"y","#,
            r#""content":"","draft":false,"state":"sent","progress":null,"attempts":1,"due":1,"reason":null,"#,
            r#""created_at":1}}"#,
            "\n",
            r#"{"records":2}"#,
            "\n",
        );
        let records = read(text).expect("an export");
        assert!(records[0].contains(r#""destination":null"#), "{}", records[0]);
        assert!(
            records[1].contains(r#""session":"a:b:c:d""#) && records[1].contains(r#""shown":[]"#),
            "{}",
            records[1]
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(text in "\\PC{0,200}", at in 0_usize..400, byte: u8) {
            let _ = read(&text);
            let mut bytes = export(&records()).into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let mut reader = Reader::begin(&bytes[..]);
            if let Ok(reader) = &mut reader {
                while let Ok(Some(_)) = reader.next() {}
            }
        }
    }
}
