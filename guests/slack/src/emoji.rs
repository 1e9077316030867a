//! Slack's names of emoji. An agent reads and writes the characters, Slack's API takes the names.

/// The common ones: the name that Slack gives in events, and the character. Where several names are
/// one character, the first is the one to send.
const NAMES: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("thumbsup", "👍"),
    ("-1", "👎"),
    ("thumbsdown", "👎"),
    ("100", "💯"),
    ("alarm_clock", "⏰"),
    ("arrow_down", "⬇️"),
    ("arrow_left", "⬅️"),
    ("arrow_right", "➡️"),
    ("arrow_up", "⬆️"),
    ("bell", "🔔"),
    ("blush", "😊"),
    ("boom", "💥"),
    ("bug", "🐛"),
    ("bulb", "💡"),
    ("calendar", "📆"),
    ("cat", "🐱"),
    ("clap", "👏"),
    ("confused", "😕"),
    ("construction", "🚧"),
    ("cry", "😢"),
    ("disappointed", "😞"),
    ("dog", "🐶"),
    ("exclamation", "❗"),
    ("heavy_exclamation_mark", "❗"),
    ("eyes", "👀"),
    ("fire", "🔥"),
    ("grin", "😁"),
    ("grinning", "😀"),
    ("hammer_and_wrench", "🛠️"),
    ("heart", "❤️"),
    ("heart_eyes", "😍"),
    ("heavy_check_mark", "✔️"),
    ("heavy_plus_sign", "➕"),
    ("hourglass", "⌛"),
    ("hourglass_flowing_sand", "⏳"),
    ("hugging_face", "🤗"),
    ("joy", "😂"),
    ("key", "🔑"),
    ("link", "🔗"),
    ("lock", "🔒"),
    ("loudspeaker", "📢"),
    ("mag", "🔍"),
    ("memo", "📝"),
    ("pencil", "📝"),
    ("muscle", "💪"),
    ("neutral_face", "😐"),
    ("no_entry", "⛔"),
    ("ok_hand", "👌"),
    ("open_mouth", "😮"),
    ("package", "📦"),
    ("partying_face", "🥳"),
    ("point_right", "👉"),
    ("point_up", "☝️"),
    ("pray", "🙏"),
    ("pushpin", "📌"),
    ("question", "❓"),
    ("rage", "😡"),
    ("raised_hands", "🙌"),
    ("robot_face", "🤖"),
    ("rocket", "🚀"),
    ("rolling_on_the_floor_laughing", "🤣"),
    ("rotating_light", "🚨"),
    ("see_no_evil", "🙈"),
    ("shrug", "🤷"),
    ("slightly_smiling_face", "🙂"),
    ("smile", "😄"),
    ("smiley", "😃"),
    ("smirk", "😏"),
    ("sob", "😭"),
    ("sparkles", "✨"),
    ("star", "⭐"),
    ("stopwatch", "⏱️"),
    ("sunglasses", "😎"),
    ("sweat_smile", "😅"),
    ("tada", "🎉"),
    ("thinking_face", "🤔"),
    ("thought_balloon", "💭"),
    ("trophy", "🏆"),
    ("unicorn_face", "🦄"),
    ("upside_down_face", "🙃"),
    ("warning", "⚠️"),
    ("wave", "👋"),
    ("white_check_mark", "✅"),
    ("wink", "😉"),
    ("x", "❌"),
    ("zap", "⚡"),
    ("zzz", "💤"),
];

/// After an emoji that is a plain character too: shows it as a picture (Unicode, "Variation Sequences").
const PICTURE: char = '\u{fe0f}';

/// The character of a name; of one that is not known, `:name:`. A skin tone is left out.
pub fn character(name: &str) -> String {
    let plain = name.split("::").next().unwrap_or(name);
    match NAMES.iter().find(|(known, _)| *known == plain) {
        Some((_, character)) => (*character).to_owned(),
        None => format!(":{plain}:"),
    }
}

/// The name of a character or of `:name:`, where it is known.
pub fn name(emoji: &str) -> Option<&str> {
    if let Some(name) = emoji.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')) {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-+'".contains(&byte);
        return Some(name).filter(|name| !name.is_empty() && name.bytes().all(allowed));
    }
    let bare = emoji.trim_end_matches(PICTURE);
    let same = |character: &str| !bare.is_empty() && character.trim_end_matches(PICTURE) == bare;
    NAMES.iter().find(|(_, character)| same(character)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_characters_are_each_others() {
        for (known, character_of) in NAMES {
            assert_eq!(character(known), *character_of);
            let back = name(character_of).unwrap();
            assert_eq!(character(back), *character_of, "{known}");
        }
        assert_eq!(name("👍"), Some("+1"));
        assert_eq!(name("❤"), Some("heart"), "with or without the picture's mark");
    }

    #[test]
    fn what_is_not_known_keeps_its_name() {
        assert_eq!(character("party_parrot"), ":party_parrot:");
        assert_eq!(character("+1::skin-tone-3"), "👍");
        assert_eq!(name(":party_parrot:"), Some("party_parrot"));
        for wrong in ["🦖", "", "::", ":A b:", "thumbsup"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
