//! The role that Discord makes for a bot, which people mention as often as the bot itself.
//!
//! A message says which roles it mentions and not whose they are. So once for each guild its roles
//! are asked for; of what comes before the answer, a mention of the role is not recognised.

use exoclaw_chat::{Turn, segment};
use exoclaw_guest::Response;
use exoclaw_guest::channel::Outcome;
use serde::Deserialize;

use crate::rest;
use crate::settings::Discord;
use crate::state::State;

/// Before the guild's id: the tag of the request.
pub const TAG: &str = "roles:";
/// Guilds whose role is kept; the bot of more than these is mentioned by its name.
const MAX_GUILDS: usize = 256;

#[derive(Deserialize)]
struct Role {
    id: String,
    tags: Option<Tags>,
}

#[derive(Deserialize)]
struct Tags {
    bot_id: Option<String>,
}

/// Asks for a guild's roles when something comes from it for the first time.
pub fn ask(settings: &Discord, turn: &mut Turn<State>, guild: &str) {
    let roles = &mut turn.state.roles;
    if roles.contains_key(guild) || roles.len() >= MAX_GUILDS || guild.len() > 20 {
        return;
    }
    roles.insert(guild.to_owned(), None);
    turn.lazy();
    let request = rest::get(settings, &format!("/guilds/{}/roles", segment(guild)));
    turn.request(format!("{TAG}{guild}"), request);
}

/// What came of it. Whatever else it is, it is not asked again.
pub fn told(turn: &mut Turn<State>, guild: &str, outcome: Outcome) {
    let Ok(Response { status: 200, body, .. }) = outcome else { return };
    let Ok(roles) = serde_json::from_slice::<Vec<Role>>(&body) else { return };
    let me = turn.state.me.clone();
    let own = roles.into_iter().find(|role| {
        let bot = role.tags.as_ref().and_then(|tags| tags.bot_id.as_ref());
        bot.is_some() && bot == me.as_ref()
    });
    if let (Some(own), Some(known)) = (own, turn.state.roles.get_mut(guild)) {
        *known = Some(own.id);
        turn.lazy();
    }
}
