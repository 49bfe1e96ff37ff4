//! Patterns for the names of scenarios and breaks.

use std::collections::BTreeSet;

/// Whether a pattern matches a text. `*` matches any text without `/`, and `**` matches any text. The function compares
/// each part of the pattern only once with each position of the text, so a pattern with many stars is not slow. The
/// library `globset` is not used, because its `**` matches only whole parts of a path.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    // The positions in `text` at which `rest`, the rest of the pattern, may begin.
    let mut reached = BTreeSet::from([0]);
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        let after = rest.trim_start_matches('*');
        let stars = rest.len() - after.len();
        if stars == 0 {
            rest = &rest[next.len_utf8()..];
            reached.retain(|at| text[*at..].starts_with(next));
            reached = reached.into_iter().map(|at| at + next.len_utf8()).collect();
        } else {
            rest = after;
            let slash = |at: usize| text[at..].find('/').filter(|_| stars == 1).map(|slash| at + slash);
            let places = reached.into_iter().flat_map(|at| at..=slash(at).unwrap_or(text.len()));
            reached = places.filter(|at| text.is_char_boundary(*at)).collect();
        }
    }
    reached.contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_mean() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "a/c", false),
            ("a**c", "a/b/c", true),
            ("a***c", "a/b/c", true),
            ("*/*", "a/b", true),
            ("*/*", "a/b/c", false),
            ("*é", "éé", true),
            ("*", "", true),
            ("?", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        // An algorithm that tries each star at each position of the text would not end in reasonable time for this
        // pattern.
        assert!(!glob(&"*a".repeat(30), &format!("{}b", "a".repeat(60))));
    }
}
