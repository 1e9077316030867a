//! c
pub struct Compacted;
pub fn compact() {}
