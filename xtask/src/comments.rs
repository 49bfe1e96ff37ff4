//! `cargo xtask comments` draws comments of the Rust files at random, and prints each with the code below it. A reader
//! who does not know the project must understand each drawn comment at first reading.

use std::fmt;

use anyhow::Result;

use crate::parts::say;
use crate::soak::fresh_seed;
use crate::tidy;

/// The number of lines of code that are shown below a comment.
const CODE_LINES: usize = 3;

/// The command-line arguments of `cargo xtask comments`.
#[derive(Debug, clap::Args)]
pub(crate) struct Comments {
    /// The number of comments to draw.
    #[arg(default_value_t = 10)]
    count: usize,
    /// The seed of the random choice. The same seed draws the same comments from the same tree. By default the seed is
    /// random and is printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// A block of comment lines, with the code that follows it.
#[derive(Debug, PartialEq, Eq)]
struct Comment<'a> {
    path: &'a str,
    /// The number of the comment's first line in the file, counted from 1.
    line: usize,
    lines: Vec<&'a str>,
}

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}", self.path, self.line)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Draws comments at random, and prints them.
pub(crate) fn run(arguments: &Comments) -> Result<bool> {
    let seed = arguments.seed.map_or_else(fresh_seed, Ok)?;
    let files = tidy::files()?;
    let rust = files.iter().filter(|(path, _)| tidy::is_rust(path));
    let mut all: Vec<Comment<'_>> = rust.flat_map(|(path, text)| comments(path, text)).collect();
    say(&format!("{} of {} comments, --seed {seed}\n", arguments.count.min(all.len()), all.len()));
    for comment in draw(&mut all, arguments.count, seed) {
        say(&comment.to_string());
    }
    Ok(true)
}

/// Returns the comments of a file, each with the code below it.
fn comments<'a>(path: &'a str, text: &'a str) -> Vec<Comment<'a>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let mut all = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let length = lines[at..].iter().take_while(|it| is_comment(it)).count();
        if length > 0 {
            let end = (at + length + CODE_LINES).min(lines.len());
            all.push(Comment { path, line: at + 1, lines: lines[at..end].to_vec() });
        }
        at += length.max(1);
    }
    all
}

/// Selects `count` items at random by the seed, moves them to the front of the slice, and returns them.
fn draw<T>(items: &mut [T], count: usize, seed: u64) -> &[T] {
    let count = count.min(items.len());
    let mut state = seed;
    for at in 0..count {
        let left = (items.len() - at) as u64;
        let other = at + usize::try_from(next(&mut state) % left).unwrap_or_default();
        items.swap(at, other);
    }
    &items[..count]
}

/// Returns the next number of the random number generator `SplitMix64`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_a_block_with_the_code_below_it() {
        let text = "//! a\n//! b\n\nfn c() {\n    // d\n    e();\n}";
        let found = comments("x.rs", text);
        let expected = [
            Comment { path: "x.rs", line: 1, lines: vec!["//! a", "//! b", "", "fn c() {", "    // d"] },
            Comment { path: "x.rs", line: 5, lines: vec!["    // d", "    e();", "}"] },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_seed_decides_what_is_drawn() {
        let drawn = |seed| draw(&mut (0..1000).collect::<Vec<_>>(), 10, seed).to_vec();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let mut all = draw(&mut [1, 2, 3], 10, 7).to_vec();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    }
}
