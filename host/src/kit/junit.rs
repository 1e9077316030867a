//! A report as JUnit XML, which every CI system shows.
//!
//! There is no standard; this is the part that all readers agree on: `testsuites`, `testsuite`,
//! `testcase`, and in it `failure`, `skipped` or `system-out`.

use std::fmt::Write as _;

use super::report::{Outcome, Report};

/// The document, in UTF-8.
#[must_use]
pub fn to_junit(report: &Report) -> String {
    let name = escape(&report.plugin);
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.6}\"",
        report.cases.len(),
        report.failed,
        report.skipped,
        report.time.as_secs_f64()
    );
    let mut xml =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"exoclaw plugin test\" {counts}>\n");
    let _ = writeln!(xml, "  <testsuite name=\"{name}\" {counts}>");
    for case in &report.cases {
        let _ = write!(
            xml,
            "    <testcase classname=\"{name}\" name=\"{}: {}\" time=\"{:.6}\"",
            escape(&case.id),
            escape(case.sentence),
            case.time.as_secs_f64()
        );
        let _ = match &case.outcome {
            Outcome::Pass(remark) if remark.is_empty() => writeln!(xml, "/>"),
            Outcome::Pass(remark) => {
                writeln!(xml, "><system-out>{}</system-out></testcase>", escape(remark))
            }
            Outcome::Skip(reason) => writeln!(xml, "><skipped message=\"{}\"/></testcase>", escape(reason)),
            Outcome::Fail(problems) => {
                let first = problems.first().map(|problem| escape(problem)).unwrap_or_default();
                let all = escape(&problems.join("\n"));
                writeln!(xml, "><failure message=\"{first}\">{all}</failure></testcase>")
            }
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text for an element or an attribute: the five special characters as entities, and what XML 1.0
/// (section 2.2, "Characters") has no way to write as U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // In an attribute, a plain one would be read as a blank (section 3.3.3).
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(letter));
            }
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::Trial;
    use super::*;

    fn report(text: &str) -> Report {
        let mut report = Report::new(text.into(), 1);
        let mut failed = Trial::begin(text, "does it");
        failed.problem(text);
        report.add(failed.end(""));
        report.add(Trial::begin("b", "does more").end(text));
        report.add(Trial::begin("c", "does all").skip(text));
        report
    }

    #[test]
    fn every_case_is_a_testcase() {
        let xml = to_junit(&report("<a & \"b\">\n]]>\u{1b}"));
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("<failure message=\"&lt;a &amp; &quot;b&quot;&gt;&#10;]]&gt;\u{fffd}\">"), "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), 3);
        assert_eq!(xml.matches("</testcase>").count(), 3);
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_place(text in "\\PC*[\u{0}-\u{7f}]*") {
            // A text that is there, as the other is: without one there is no element for it.
            let (plain, hostile) = (to_junit(&report("x")), to_junit(&report(&format!("x{text}"))));
            for mark in ['<', '>', '"'] {
                prop_assert_eq!(plain.matches(mark).count(), hostile.matches(mark).count());
            }
            prop_assert!(hostile.chars().all(|letter| letter == '\n' || !letter.is_control()));
        }
    }
}
