//! Checks that the first line of every Rust file states the file's purpose.

use super::{Finding, is_rust};

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    match text.lines().next() {
        Some(first) if first.starts_with("//! ") && first.len() > "//! stub".len() => Vec::new(),
        _ => vec![Finding::new(1, "a file begins with `//!` and its purpose")],
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_first_line_says_the_purpose() {
        let table = [("//! What it does.\nuse a;", 0), ("use a;", 1), ("//!", 1), ("", 1), ("\n//! What it does.", 1)];
        for (text, findings) in table {
            assert_eq!(check("a.rs", text).len(), findings, "{text:?}");
        }
        assert!(check("a.md", "text").is_empty());
    }
}
