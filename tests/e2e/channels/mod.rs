//! Channels on the real binary, with servers that act as their platforms.

mod refusals;
