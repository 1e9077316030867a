//! What people write.

use exoclaw_guest::Error;
use exoclaw_guest::channel::{Context, Conversation, Event, Frame, Kind, TaggedFrame, glue};

use super::{Life, Stored};
use crate::Discord;

fn create(s: u64, d: &str) -> String {
    format!(r#"{{"op": 0, "t": "MESSAGE_CREATE", "s": {s}, "d": {d}}}"#)
}

const DIRECT: &str = r#"{
    "id": "1100000000000000001", "channel_id": "5", "type": 0, "content": "Hi there",
    "author": {"id": "7", "username": "ada", "global_name": "Ada"}, "timestamp": "2023-04-24T12:00:00.000000+00:00",
    "edited_timestamp": null, "tts": false, "mention_everyone": false, "mentions": [], "mention_roles": [],
    "attachments": [], "embeds": [], "pinned": false
}"#;

#[test]
fn a_direct_message_is_stored_with_its_number() {
    let mut life = Life::ready();
    assert!(life.frame(&create(2, DIRECT)).is_empty());
    assert_eq!(life.stored, Stored::Durably);
    let [message] = &life.messages[..] else { panic!("{:?}", life.messages) };
    assert_eq!((message.text.as_str(), message.address.peer.as_str()), ("Hi there", "5"));
    assert_eq!(message.conversation, Conversation::Direct);
    assert_eq!(message.sender.name.as_deref(), Some("Ada"));
    assert!(!message.sender.bot);
    assert!(!message.mentions_agent);
    assert_eq!(message.sent_at, Some(1_682_330_837_011));
    assert!(String::from_utf8(life.state.clone()).unwrap().contains(r#""seq":2"#));
}

#[test]
fn a_mention_in_a_guild_addresses_the_agent_and_goes_from_the_text() {
    let mut life = Life::ready();
    let wire = DIRECT
        .replace(r#""channel_id""#, r#""guild_id": "6", "member": {"nick": "Countess"}, "channel_id""#)
        .replace("Hi there", "<@42> /status")
        .replace(r#""mentions": []"#, r#""mentions": [{"id": "42", "username": "agent", "bot": true}]"#);
    let asked = ["GET https://discord.com/api/v10/guilds/6/roles", "GET https://discord.com/api/v10/channels/5"];
    assert_eq!(life.frame(&create(2, &wire)), asked);
    assert_eq!((life.messages.len(), life.stored), (0, Stored::Durably), "it waits");
    assert!(life.response("channel:5", 200, r#"{"id": "5", "type": 0, "guild_id": "6", "parent_id": "4"}"#).is_empty());
    assert_eq!(life.stored, Stored::Durably);
    let message = &life.messages[0];
    assert_eq!(message.text, "/status");
    assert!(message.mentions_agent);
    assert_eq!(message.conversation, Conversation::Group);
    assert_eq!(message.address.guild.as_deref(), Some("6"));
    assert_eq!(message.sender.name.as_deref(), Some("Countess"));
}

#[test]
fn a_mention_of_the_bots_own_role_addresses_the_agent() {
    let mut life = Life::ready();
    let wire = DIRECT
        .replace(r#""channel_id""#, r#""guild_id": "6", "channel_id""#)
        .replace("Hi there", "<@&43> hello")
        .replace(r#""mention_roles": []"#, r#""mention_roles": ["43"]"#);
    life.frame(&create(2, &wire));
    let roles = r#"[{"id": "6", "name": "@everyone"}, {"id": "41", "tags": {"bot_id": "40"}}, {"id": "43", "tags": {"bot_id": "42"}}]"#;
    assert!(life.response("roles:6", 200, roles).is_empty());
    life.response("channel:5", 200, r#"{"id": "5", "type": 0}"#);
    assert!(life.frame(&create(3, &wire)).is_empty(), "roles are asked for once");
    assert!(life.messages[0].mentions_agent);
    assert_eq!(life.messages[0].text, "hello");
}

#[test]
fn a_reply_to_the_bot_addresses_the_agent() {
    let mut life = Life::ready();
    let wire = DIRECT.replace(
        r#""type": 0"#,
        r#""type": 19, "message_reference": {"message_id": "9", "channel_id": "5"}, "referenced_message": {"id": "9", "channel_id": "5", "author": {"id": "42", "username": "agent"}}"#,
    );
    life.frame(&create(2, &wire));
    assert!(life.messages[0].mentions_agent);
    assert_eq!(life.messages[0].reply_to.as_deref(), Some("9"));
}

#[test]
fn bots_webhooks_and_its_own_messages_are_told_as_such() {
    let author = r#""author": {"id": "7", "username": "ada", "global_name": "Ada"}"#;
    for other in [
        r#""author": {"id": "8", "username": "other", "bot": true}"#,
        r#""author": {"id": "42", "username": "agent"}"#,
        r#""webhook_id": "9", "author": {"id": "9", "username": "hook"}"#,
    ] {
        let mut life = Life::ready();
        life.frame(&create(2, &DIRECT.replace(author, other)));
        assert!(life.messages[0].sender.bot, "{other}");
    }
}

#[test]
fn an_edit_is_another_event_of_the_same_message() {
    let mut life = Life::ready();
    let edit = |time: &str| {
        let wire = DIRECT.replace(r#""edited_timestamp": null"#, &format!(r#""edited_timestamp": {time}"#));
        create(3, &wire).replace("MESSAGE_CREATE", "MESSAGE_UPDATE")
    };
    life.frame(&edit(r#""2023-04-24T12:01:00.000000+00:00""#));
    let [message] = &life.messages[..] else { panic!("{:?}", life.messages) };
    assert!(matches!(message.kind, Kind::Edit));
    assert_eq!(message.id, "1100000000000000001");
    assert_eq!(message.event_id, "1100000000000000001:edit:2023-04-24T12:01:00.000000+00:00");
    // So Discord tells that it looked up a link.
    life.frame(&edit("null"));
    assert!(life.messages.is_empty());
}

#[test]
fn a_reaction_is_an_event_that_may_come_twice() {
    let mut life = Life::ready();
    life.frame(&create(2, &DIRECT.replace(r#""channel_id""#, r#""guild_id": "6", "channel_id""#)));
    life.response("channel:5", 200, r#"{"id": "5", "type": 0}"#);
    let reaction = |s: u64| {
        format!(
            r#"{{"op": 0, "t": "MESSAGE_REACTION_ADD", "s": {s}, "d": {{"user_id": "7", "channel_id": "5", "message_id": "9", "guild_id": "6", "member": {{"user": {{"id": "7", "username": "ada"}}}}, "emoji": {{"id": null, "name": "👍"}}, "message_author_id": "42", "burst": false, "type": 0}}}}"#
        )
    };
    life.frame(&reaction(2));
    let first = life.messages[0].clone();
    assert!(matches!(&first.kind, Kind::Reaction(emoji) if emoji == "👍"));
    assert!(first.mentions_agent);
    life.frame(&reaction(2));
    assert_eq!(life.messages[0].event_id, first.event_id, "sent again");
    life.frame(&reaction(3));
    assert_ne!(life.messages[0].event_id, first.event_id, "given again");
}

#[test]
fn files_forwards_and_stickers_are_told() {
    let mut life = Life::ready();
    let wire = DIRECT.replace("Hi there", "look").replace(
        r#""attachments": []"#,
        r#""attachments": [{"id": "3", "filename": "a.txt", "content_type": "text/plain; charset=utf-8", "size": 5, "url": "https://cdn.discordapp.com/attachments/5/3/a.txt"}],
           "message_snapshots": [{"message": {"content": "news", "attachments": [{"id": "4", "filename": "b", "size": 6, "url": "https://cdn.discordapp.com/attachments/5/4/b"}]}}],
           "sticker_items": [{"id": "1", "name": "wave", "format_type": 1}]"#,
    );
    life.frame(&create(2, &wire));
    let message = &life.messages[0];
    assert_eq!(message.text, "look\n\n[forwarded] news\n\n[sticker: wave]");
    let kinds: Vec<&str> = message.attachments.iter().map(|file| file.mime_type.as_str()).collect();
    assert_eq!(kinds, ["text/plain", "application/octet-stream"]);
}

/// In a guild, and as what Discord says of the channel.
fn in_guild() -> String {
    DIRECT.replace(r#""channel_id""#, r#""guild_id": "6", "channel_id""#)
}

#[test]
fn a_thread_belongs_to_its_channel() {
    let mut life = Life::ready();
    life.frame(&create(2, &in_guild()));
    life.frame(&create(3, &in_guild().replace("0000001", "0000002").replace("Hi there", "and more")));
    assert!(life.messages.is_empty());
    // Sent again by a gateway that was cut.
    assert!(
        life.frame(&create(3, &in_guild().replace("0000001", "0000002").replace("Hi there", "and more"))).is_empty()
    );
    life.response("channel:5", 200, r#"{"id": "5", "type": 11, "guild_id": "6", "parent_id": "4"}"#);
    let texts: Vec<&str> = life.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["Hi there", "and more"]);
    let address = &life.messages[1].address;
    assert_eq!((address.peer.as_str(), address.thread.as_deref()), ("4", Some("5")));
    // From now on it is known.
    assert!(life.frame(&create(4, &in_guild().replace("0000001", "0000003"))).is_empty());
    assert_eq!(life.messages[0].address.peer, "4");
}

#[test]
fn what_waits_for_its_channel_outlives_a_restart() {
    let mut life = Life::ready();
    life.frame(&create(2, &in_guild()));
    let said = life.event(Event::Start(exoclaw_guest::channel::Start::Restart));
    assert_eq!(said[0], "GET https://discord.com/api/v10/channels/5");
    life.response("channel:5", 200, r#"{"id": "5", "type": 0}"#);
    assert_eq!((life.messages.len(), life.stored), (1, Stored::Durably));
}

#[test]
fn a_channel_that_can_not_be_asked_for_is_taken_for_what_it_seems_to_be() {
    let mut life = Life::ready();
    life.frame(&create(2, &in_guild()));
    let mut pauses = vec![];
    while life.messages.is_empty() {
        let said = life.response("channel:5", 503, "");
        if let Some(timer) = said.first() {
            assert!(timer.starts_with("timer channel:5 "), "{said:?}");
            pauses.push(timer.clone());
            assert_eq!(life.timer("channel:5"), ["GET https://discord.com/api/v10/channels/5"]);
        }
    }
    assert_eq!((pauses.len(), life.messages[0].address.peer.as_str()), (5, "5"));
    let mut life = Life::ready();
    life.frame(&create(2, &in_guild()));
    life.response("channel:5", 403, r#"{"message": "Missing Access", "code": 50001}"#);
    assert_eq!(life.messages.len(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut life = Life::ready();
    for index in 0..100 {
        let wire = in_guild().replace("1100000000000000001", &format!("11{index:017}"));
        life.frame(&create(2 + index, &wire.replace("Hi there", &"x".repeat(4_000))));
        assert!(life.state.len() < 256 << 10, "{}", life.state.len());
    }
    assert_eq!(life.messages.len(), 1, "what finds no room goes on at once");
}

#[test]
fn joins_pins_and_texts_that_discord_hides_are_no_messages() {
    for (from, to) in [(r#""type": 0"#, r#""type": 7"#), ("Hi there", "")] {
        let mut life = Life::ready();
        life.frame(&create(2, &DIRECT.replace(from, to)));
        assert!(life.messages.is_empty(), "{to}");
        assert_eq!(life.stored, Stored::Lazily, "the number counts all the same");
    }
}

#[test]
fn what_can_not_be_read_is_told_once_and_then_passed_over() {
    let mut life = Life::ready();
    let bad = create(2, r#"{"id": 1}"#);
    let event = Event::Frame(TaggedFrame { tag: "gateway".into(), frame: Frame::Text(bad.clone()) });
    let context = Context { settings: "{}".into(), webhook_url: None, now: 0, random: 0, attempt: 1 };
    let first = glue::receive::<Discord>(&context, &life.state, event);
    assert!(matches!(first, Err(Error::Failed(_))), "{first:?}");
    life.attempt = 2;
    life.frame(&bad);
    assert!(String::from_utf8(life.state).unwrap().contains(r#""seq":2"#));
}
