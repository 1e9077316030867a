//! exoclaw
fn main() {}
