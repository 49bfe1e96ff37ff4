//! Checks that no code waits by a sleep if it could await an event. If there is no event to await, a comment must say
//! why. This comment is next to the call of `sleep`, or at the constant for the duration. (`sleep_until` with a
//! deadline is a time limit and not a wait.)

use super::{Finding, code, has_word, is_rust, numbered};

const CALL: &str = "sleep";

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut above = "";
    for (number, line) in numbered(text) {
        let call = format!("{CALL}(");
        if has_word(code(line), &call) {
            let beside = line.contains(" // ") || above.trim_start().starts_with("//");
            let argument = line.split_once(&call).map_or("", |(_, argument)| argument);
            if !beside && !constants(argument).any(|name| is_documented(name, text)) {
                findings.push(Finding::new(number, "a sleep without a comment that says why nothing can be awaited"));
            }
        }
        above = line;
    }
    findings
}

/// Returns the names of constants that occur in `text`.
fn constants(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words
        .filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()))
}

/// Whether `text` defines the constant `name` with a doc comment.
fn is_documented(name: &str, text: &str) -> bool {
    let mut above = "";
    for line in text.lines() {
        if has_word(line, &format!("const {name}:")) && above.trim_start().starts_with("///") {
            return true;
        }
        above = line;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_needs_its_reason_beside_it_or_at_its_constant() {
        let call = CALL;
        let table = [
            (format!("tokio::time::{call}(d).await;"), 1),
            (format!("{call}(d);"), 1),
            (format!("{call}(d); // nothing says when"), 0),
            (format!("// nothing says when\n    {call}(d);"), 0),
            (format!("// about {call}(d)"), 0),
            (format!("my_{call}(d);"), 0),
            (format!("time::{call}_until(d)"), 0),
            (format!("const RETRY: u64 = 1;\nf();\n{call}(RETRY);"), 1),
            (format!("/// The kernel has no event for it.\nconst RETRY: u64 = 1;\nf();\n{call}(RETRY);"), 0),
            (format!("/// Why.\nconst RETRY: u64 = 1;\nf();\n{call}(OTHER);"), 1),
        ];
        for (text, findings) in table {
            assert_eq!(check("a.rs", &text).len(), findings, "{text}");
        }
    }
}
