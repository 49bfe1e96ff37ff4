//! Checks that ARCHITECTURE.md mentions every room, so that a new developer can find each room there. A room is a
//! crate, or a top-level module of `src`.

use std::collections::BTreeSet;

use super::Finding;

/// Compares the rooms in `text`, the text of ARCHITECTURE.md, with the existing folders.
pub(super) fn check<'a>(text: &str, files: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let existing: BTreeSet<&str> = files.filter_map(room).collect();
    let mut findings = Vec::new();
    for name in existing.iter().filter(|name| !text.contains(&format!("`{name}`"))) {
        findings.push(Finding::new(1, format!("does not name `{name}`, which is a room or crate")));
    }
    for (number, line) in super::numbered(text) {
        let first = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
        if let Some(name) = first.filter(|name| name.contains('/') && !existing.contains(name)) {
            findings.push(Finding::new(number, format!("names `{name}`, which is not a room or crate")));
        }
    }
    findings
}

/// Returns the name of the room to which a file belongs, for example `crates/plan` for `crates/plan/src/build.rs`.
fn room(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("src/").or_else(|| file.strip_prefix("crates/"))?;
    let name = rest.split_once('/')?.0;
    Some(&file[..file.len() - rest.len() + name.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_and_the_folders_must_agree() {
        let files = ["crates/plan/src/build.rs", "src/lib.rs", "crates/vocab/Cargo.toml", "README.md"];
        let table = [
            ("| `crates/plan` | x |\n| `crates/vocab` | x |", 0),
            ("| `crates/plan` | x |", 1),
            ("| `crates/plan` | x |\n| `crates/vocab` | x |\n| `src/act` | x |", 1),
            ("", 2),
        ];
        for (text, findings) in table {
            assert_eq!(check(text, files.into_iter()).len(), findings, "{text}");
        }
    }
}
