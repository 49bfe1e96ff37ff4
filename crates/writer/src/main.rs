//! `parallax-writer`: the application that the backup scenarios lose and find again.

fn main() {}
