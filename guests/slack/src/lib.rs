//! Slack.
mod emoji;
mod settings;
mod state;
mod text;
