//! `parallax-client`: the Rust clients that scenarios try.

fn main() {}
