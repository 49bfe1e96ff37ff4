//! A file of more than 500 lines has two ideas in it.

use super::{Finding, is_rust};

const LIMIT: usize = 500;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if is_rust(path) && lines > LIMIT {
        return vec![Finding::new(LIMIT + 1, format!("{lines} lines: past {LIMIT} a file has two ideas in it"))];
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
