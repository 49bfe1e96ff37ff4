//! Reads evidence from the log of the external network (the world).

use parallax_vocab::world::Entry;

/// The DNS questions in a log. Only questions whose time (milliseconds since the Unix epoch) satisfies `counts` are
/// returned. Each is one sentence: who asked, for which name, and the answer.
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
