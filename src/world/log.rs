//! Reads DNS questions as evidence from the log of the world.

use parallax_vocab::world::Entry;

/// Returns a sentence for each DNS question in the lines of the world's log. The sentence has the client's address, the
/// name and the type in the question, and the answer. Only questions whose time (in milliseconds since the Unix epoch)
/// satisfies `counts` are returned.
pub fn questions(lines: &[String], counts: impl Fn(u64) -> bool) -> Vec<String> {
    let entries = lines.iter().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    let question = |entry| match entry {
        Entry::Dns { at, from, name, kind_asked, answer } if counts(at) => {
            Some(format!("{} asked for {name} {kind_asked}: {answer}", from.ip()))
        }
        Entry::Dns { .. } | Entry::Listening { .. } | Entry::Edge { .. } => None,
    };
    entries.filter_map(question).collect()
}
