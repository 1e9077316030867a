//! Telegram's HTML (<https://core.telegram.org/bots/api#html-style>).

use exoclaw_chat::{Dialect, Limit, Mark, Part, Place, Unit, render};

/// "1-4096 characters after entities parsing", which TDLib counts as UTF-16 units.
pub const LIMIT: Limit = Limit::of_text(4096, Unit::Utf16);

/// An answer in messages.
pub fn parts(markdown: &str) -> Vec<Part> {
    render(markdown, &Html, LIMIT)
}

struct Html;

/// All that has to be escaped, in text and in attributes.
fn entity(character: char, out: &mut String) {
    match character {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '"' => out.push_str("&quot;"),
        other => out.push(other),
    }
}

impl Dialect for Html {
    fn open(&self, mark: &Mark, out: &mut String) {
        match mark {
            Mark::Quote => out.push_str("<blockquote>"),
            Mark::Pre { language: None } => out.push_str("<pre>"),
            Mark::Pre { language: Some(language) } => {
                out.push_str("<pre><code class=\"language-");
                out.push_str(language);
                out.push_str("\">");
            }
            // Telegram has no headings.
            Mark::Heading(_) | Mark::Strong => out.push_str("<b>"),
            Mark::Emphasis => out.push_str("<i>"),
            Mark::Strike => out.push_str("<s>"),
            Mark::Code => out.push_str("<code>"),
            Mark::Link { url, bare: false } => {
                out.push_str("<a href=\"");
                url.chars().for_each(|character| entity(character, out));
                out.push_str("\">");
            }
            // Telegram finds it by itself.
            Mark::Link { bare: true, .. } => {}
        }
    }

    fn close(&self, mark: &Mark, out: &mut String) {
        out.push_str(match mark {
            Mark::Quote => "</blockquote>",
            Mark::Pre { language: None } => "</pre>",
            Mark::Pre { language: Some(_) } => "</code></pre>",
            Mark::Heading(_) | Mark::Strong => "</b>",
            Mark::Emphasis => "</i>",
            Mark::Strike => "</s>",
            Mark::Code => "</code>",
            Mark::Link { bare: false, .. } => "</a>",
            Mark::Link { bare: true, .. } => "",
        });
    }

    fn escape(&self, character: char, _place: Place<'_>, out: &mut String) {
        entity(character, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_html_that_telegram_parses() {
        let markdown = "# T <1>\n\n**b *bi*** ~~s~~ `a<b` [l](https://a.b/?x&y=\"z\") [m](tg://user?id=7)\n\n> q\n\n\
            ```rust\nif a < b && c {}\n```\n\n```\nx\n```\n<b>&amp;</b> https://a.b/c_d";
        let parts = parts(markdown);
        let [part] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!(
            part.markup,
            "<b>T &lt;1&gt;</b>\n\n<b>b <i>bi</i></b> <s>s</s> <code>a&lt;b</code> \
             l (https://a.b/?x&amp;y=&quot;z&quot;) m (tg://user?id=7)\n\n<blockquote>q</blockquote>\n\n\
             <pre><code class=\"language-rust\">if a &lt; b &amp;&amp; c {}</code></pre>\n\n<pre>x</pre>\n\n\
             &lt;b&gt;&amp;&lt;/b&gt; https://a.b/c_d"
        );
    }

    #[test]
    fn the_limit_counts_what_is_seen_in_utf_16() {
        assert_eq!(parts(&"&".repeat(4096)).len(), 1);
        assert_eq!(parts(&"😀".repeat(2048)).len(), 1);
        assert_eq!(parts(&"😀".repeat(2049)).len(), 2);
    }
}
