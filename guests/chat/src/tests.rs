//! What comes out of what a model writes, and that no cut breaks it.

use proptest::prelude::*;

use crate::{Dialect, Limit, Mark, Place, Plain, Starred, Unit, render};

/// Tags that show where each mark begins and ends.
struct Tags;

impl Dialect for Tags {
    fn open(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Quote => out.push_str("<q>"),
            Mark::Pre { language } => {
                out.push_str("<pre:");
                out.push_str(language.as_deref().unwrap_or(""));
                out.push('>');
            }
            Mark::Heading(level) => out.push_str(&format!("<h:{level}>")),
            Mark::Link { url, .. } => out.push_str(&format!("<a:{}>", url.replace(['>', '&'], ""))),
            Mark::Strong => out.push_str("<b>"),
            Mark::Emphasis => out.push_str("<i>"),
            Mark::Strike => out.push_str("<s>"),
            Mark::Code => out.push_str("<c>"),
        }
    }

    fn close(&self, mark: &Mark, out: &mut String) {
        out.push_str(match mark {
            Mark::Quote => "</q>",
            Mark::Pre { .. } => "</pre>",
            Mark::Heading(_) => "</h>",
            Mark::Link { .. } => "</a>",
            Mark::Strong => "</b>",
            Mark::Emphasis => "</i>",
            Mark::Strike => "</s>",
            Mark::Code => "</c>",
        });
    }

    fn escape(&self, character: char, _: Place<'_>, out: &mut String) {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            other => out.push(other),
        }
    }
}

fn whole(markdown: &str, dialect: &impl Dialect) -> String {
    let parts = render(markdown, dialect, Limit::new(1 << 20, Unit::Bytes));
    parts.into_iter().map(|part| part.markup).collect::<Vec<_>>().join("|PART|")
}

fn markup(markdown: &str, dialect: &impl Dialect, limit: Limit) -> Vec<String> {
    render(markdown, dialect, limit).into_iter().map(|part| part.markup).collect()
}

#[test]
fn commonmark_becomes_marks() {
    for (markdown, tags) in [
        ("", ""),
        ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
        ("# A *b* **c**\ntext", "<h:1>A <i>b</i> c</h>\n\ntext"),
        ("**a *b* c** ~~d~~ `e<`", "<b>a <i>b</i> c</b> <s>d</s> <c>e&lt;</c>"),
        ("**a\nb**", "<b>a</b>\n<b>b</b>"),
        ("[t](https://a.b/c)", "<a:https://a.b/c>t</a>"),
        ("[t](javascript:x)", "t (javascript:x)"),
        ("see https://a.b/c_d_e.", "see <a:https://a.b/c_d_e>https://a.b/c_d_e</a>."),
        ("![cat](https://a.b/c.png)", "<a:https://a.b/c.png>cat</a>"),
        ("- a\n- b\n  - c\n\nd", "• a\n• b\n  • c\n\nd"),
        ("x\n\n3. a\n\n   more\n4. b", "x\n\n3. a\n\n  more\n4. b"),
        ("- [x] done\n- [ ] open", "☑ done\n☐ open"),
        ("> a\n>\n> b\n\nc", "<q>a\n\nb</q>\n\nc"),
        ("> > deep\n\n> other", "<q>deep\n\nother</q>"),
        ("a\n```rust,ignore\n  x\n```\n```\ny\n```\nb", "a\n\n<pre:>  x</pre>\n\n<pre:>y</pre>\n\nb"),
        ("```rust\nfn x() {}\n  y\n```\nb", "<pre:rust>fn x() {}\n  y</pre>\n\nb"),
        ("> ```\n> code\n> ```", "<pre:>code</pre>"),
        ("- a\n  ```\n  code\n  ```", "• a\n<pre:>code</pre>"),
        ("| a | b |\n|---|---|\n| long | **c** |", "<pre:>a    | b\n-----|--\nlong | c</pre>"),
        ("a\n\n---\n\nb", "a\n\n———\n\nb"),
        ("<b>x</b> & <script>", "&lt;b>x&lt;/b> &amp; &lt;script>"),
        ("<div>\nx\n</div>\n\ny", "&lt;div>\nx\n&lt;/div>\n\ny"),
        ("bell\u{7}", "bell"),
    ] {
        assert_eq!(whole(markdown, &Tags), tags, "{markdown}");
    }
}

#[test]
fn each_dialect_has_its_own_words() {
    let markdown = "# T\n\n**b** *i* ~~s~~ `c` [l](https://a.b/?x&y) <b> & @all\n\n> q\n\n```rust\nx\n```";
    assert_eq!(
        whole(markdown, &Starred::Slack),
        "*T*\n\n*b* _i_ ~s~ `c` <https://a.b/?x&amp;y|l> &lt;b&gt; &amp; @all\n\n> q\n\n```\nx\n```"
    );
    assert_eq!(
        whole(markdown, &Starred::WhatsApp),
        "*T*\n\n*b* _i_ ~s~ `c` l (https://a.b/?x&y) <b> & @all\n\n> q\n\n```\nx\n```"
    );
    assert_eq!(whole(markdown, &Plain), "T\n\nb i s c l (https://a.b/?x&y) <b> & @all\n\n> q\n\nx");
}

#[test]
fn nothing_that_a_model_writes_ends_its_code() {
    let slack = whole("````\na\n```\n<!channel> b\n````", &Starred::Slack);
    assert_eq!(slack, "```\na\nˋˋˋ\n&lt;!channel&gt; b\n```");
}

#[test]
fn parts_end_where_a_reader_would_pause() {
    let limit = Limit::new(64, Unit::Chars);
    let paragraphs = format!("{}\n\n{}", "a ".repeat(20), "b ".repeat(20));
    assert_eq!(markup(&paragraphs, &Plain, limit), ["a ".repeat(20).trim(), "b ".repeat(20).trim()]);
    let sentences = format!("{}. {}", "a".repeat(40), "b ".repeat(20));
    assert_eq!(markup(&sentences, &Plain, limit), [format!("{}.", "a".repeat(40)), "b ".repeat(20).trim().into()]);
    assert_eq!(markup(&"x".repeat(100), &Plain, limit), ["x".repeat(64), "x".repeat(36)]);
}

#[test]
fn a_block_of_code_goes_on_in_the_next_part() {
    let code = format!("```py\n{}```", "    line\n".repeat(8));
    let parts = markup(&code, &Tags, Limit::new(64, Unit::Bytes));
    assert_eq!(parts.len(), 2);
    for part in &parts {
        assert!(part.starts_with("<pre:py>    line\n") && part.ends_with("    line</pre>"), "{parts:?}");
    }
}

#[test]
fn a_platform_that_counts_text_alone_is_given_more() {
    let bold = "**a** ".repeat(32);
    assert_eq!(markup(&bold, &Tags, Limit::of_text(64, Unit::Utf16)).len(), 1);
    assert!(markup(&bold, &Tags, Limit::new(64, Unit::Utf16)).len() > 1);
    // Outside of the basic plane a character counts twice.
    assert_eq!(markup(&"😀".repeat(64), &Tags, Limit::of_text(64, Unit::Utf16)).len(), 2);
}

#[test]
fn people_and_flags_are_not_cut_in_two() {
    let family = "👨‍👩‍👧‍👦";
    for part in markup(&family.repeat(50), &Plain, Limit::new(64, Unit::Bytes)) {
        assert_eq!(part.len() % family.len(), 0);
    }
    // One grapheme that is longer than a part is cut between its characters.
    let stacked = format!("a{}", "\u{301}".repeat(500));
    assert_eq!(markup(&stacked, &Plain, Limit::new(64, Unit::Bytes)).concat(), stacked);
}

#[test]
fn a_markup_that_fills_a_part_is_left_away() {
    let url = format!("https://a.b/{}", "x".repeat(200));
    let parts = markup(&format!("[text]({url})"), &Tags, Limit::new(64, Unit::Bytes));
    assert_eq!(parts, ["text"]);
}

#[test]
fn deep_and_long_answers_are_no_trouble() {
    for nested in [">".repeat(5_000) + "x", "- ".repeat(2_000) + "x", "*a ".repeat(20_000), "[".repeat(20_000)] {
        render(&nested, &Tags, Limit::new(2_000, Unit::Bytes));
    }
    let table = format!("|a|\n|-|\n|{}|\n{}", "w".repeat(10_000), "|b|\n".repeat(5_000));
    let size: usize = markup(&table, &Tags, Limit::new(2_000, Unit::Bytes)).iter().map(String::len).sum();
    assert!(size < 400_000, "{size}");
}

/// Whether each tag is closed in order, and nothing stands half.
fn well_formed(part: &str) -> bool {
    let mut open = Vec::new();
    let mut rest = part;
    while let Some((_, tag)) = rest.split_once('<') {
        let Some((tag, after)) = tag.split_once('>') else { return false };
        match tag.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => {}
            Some(_) => return false,
            None => open.push(tag.split(':').next().unwrap_or(tag)),
        }
        rest = after;
    }
    let entities =
        part.match_indices('&').all(|(at, _)| part[at..].starts_with("&lt;") || part[at..].starts_with("&amp;"));
    open.is_empty() && entities
}

/// The letters that a reader sees, without white space.
fn seen(parts: &[String]) -> String {
    let mut seen = String::new();
    for part in parts {
        let mut rest = part.as_str();
        while let Some((text, tag)) = rest.split_once('<') {
            seen.push_str(text);
            rest = tag.split_once('>').map_or("", |(_, after)| after);
        }
        seen.push_str(rest);
    }
    seen.replace("&lt;", "<").replace("&amp;", "&").chars().filter(|c| !c.is_whitespace()).collect()
}

fn markdown() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("**"),
        Just("*"),
        Just("_"),
        Just("~~"),
        Just("`"),
        Just("```"),
        Just("```rust\n"),
        Just("\n"),
        Just("\n\n"),
        Just("> "),
        Just("- "),
        Just("1. "),
        Just("# "),
        Just("[a b](https://x.y/z)"),
        Just("https://x.y/q_r"),
        Just("<b>"),
        Just("&amp;"),
        Just("&"),
        Just("|"),
        Just("|a|b|\n|-|-|\n|c|d|\n"),
        Just(" "),
        Just("    "),
        Just("word "),
        Just("Sentence. "),
        Just("世界。"),
        Just("👋🏽"),
        Just("e\u{301}"),
        Just("loooooooooooooooooooooooooooooooooooooooooooooooong"),
        Just("- [x] "),
        Just("\t"),
        Just("\u{200b}"),
        Just("\u{202e}"),
        Just("\u{7}"),
        Just("\r\n"),
    ];
    prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_part_is_short_enough_and_well_formed_and_nothing_is_lost(
        markdown in markdown(),
        max in 64..200usize,
        unit in prop_oneof![Just(Unit::Bytes), Just(Unit::Chars), Just(Unit::Utf16)],
    ) {
        let parts = markup(&markdown, &Tags, Limit::new(max, unit));
        for part in &parts {
            prop_assert!(unit.count(part) <= max, "{part:?} is longer than {max}");
            prop_assert!(well_formed(part), "{part:?}");
            prop_assert!(!part.is_empty());
        }
        let uncut = markup(&markdown, &Tags, Limit::new(1 << 20, unit));
        prop_assert_eq!(seen(&parts), seen(&uncut));
        let plain = render(&markdown, &Tags, Limit::new(max, unit));
        prop_assert!(plain.iter().all(|part| !part.plain.trim().is_empty()));
    }

    #[test]
    fn fences_and_quotes_hold_in_dialects_of_lines(markdown in markdown(), max in 64..200usize) {
        for dialect in [Starred::Slack, Starred::WhatsApp] {
            for part in markup(&markdown, &dialect, Limit::new(max, Unit::Bytes)) {
                prop_assert!(part.len() <= max);
                prop_assert_eq!(part.lines().filter(|line| line.ends_with("```")).count() % 2, 0, "{}", part);
            }
        }
    }

    #[test]
    fn any_text_at_all_is_rendered(markdown in "\\PC{0,300}") {
        for part in markup(&markdown, &Tags, Limit::of_text(64, Unit::Utf16)) {
            prop_assert!(well_formed(&part), "{part:?}");
        }
    }
}
