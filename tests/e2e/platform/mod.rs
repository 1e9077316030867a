//! Servers that act as the platforms, over real HTTP, WebSocket and TLS on loopback. They are strict about every
//! field that they are sent, and misbehave as a test has planned.
//!
//! What breaks a platform's rules is answered as the platform would, and fails the test at its end.

#![allow(dead_code, unused_imports, reason = "each test target uses what it needs")]

mod check;
pub(crate) mod config;
mod courier;
mod desk;
#[path = "../../crash/dice.rs"]
pub(crate) mod dice;
pub(crate) mod discord;
pub(crate) mod github;
pub(crate) mod irc;
pub(crate) mod issuer;
mod left;
mod multipart;
pub(crate) mod plain;
mod push;
mod server;
pub(crate) mod slack;
pub(crate) mod telegram;
pub(crate) mod whatsapp;

pub(crate) use config::trusting;
pub(crate) use desk::{Seen, Trouble};
pub(crate) use discord::Discord;
pub(crate) use github::GitHub;
pub(crate) use irc::Irc;
pub(crate) use issuer::Issuer;
pub(crate) use left::left_in;
pub(crate) use plain::Plain;
pub(crate) use push::{Hook, Pushed, SigningKey, hmac_sha256, now};
pub(crate) use server::{Answer, CA_FILE, Scheme};
pub(crate) use slack::Slack;
pub(crate) use telegram::Telegram;
pub(crate) use whatsapp::WhatsApp;
