//! Waiting is never a sleep; where there is really nothing to wait on, a comment says why.

use super::{Finding, code, has_word, is_rust, numbered};

const CALLS: [&str; 2] = ["sleep", "sleep_until"];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut above = "";
    for (number, line) in numbered(text) {
        let sleeps = CALLS.iter().any(|call| has_word(code(line), &format!("{call}(")));
        let reasoned = line.contains(" // ") || above.trim_start().starts_with("//");
        if sleeps && !reasoned {
            findings.push(Finding::new(number, "a sleep without a comment that says why nothing can be awaited"));
        }
        above = line;
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_needs_its_reason_on_the_line_or_above() {
        let call = CALLS[0];
        let table = [
            (format!("tokio::time::{call}(d).await;"), 1),
            (format!("{call}(d);"), 1),
            (format!("{call}(d); // nothing says when"), 0),
            (format!("// nothing says when\n    {call}(d);"), 0),
            (format!("// about {call}(d)"), 0),
            (format!("my_{call}(d);"), 0),
            (format!("time::{}(d)", CALLS[1]), 1),
        ];
        for (text, findings) in table {
            assert_eq!(check("a.rs", &text).len(), findings, "{text}");
        }
    }
}
