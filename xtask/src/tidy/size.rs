//! Checks that no Rust file has more than 500 lines. A longer file has more than one subject and should be split.

use super::{Finding, is_rust};

const LIMIT: usize = 500;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if is_rust(path) && lines > LIMIT {
        return vec![Finding::new(LIMIT + 1, format!("{lines} lines: more than {LIMIT}; split the file by subject"))];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_allowed() {
        assert!(check("a.rs", &"x\n".repeat(LIMIT)).is_empty());
        assert_eq!(check("a.rs", &"x\n".repeat(LIMIT + 1)).len(), 1);
        assert!(check("Cargo.lock", &"x\n".repeat(LIMIT + 1)).is_empty());
    }
}
