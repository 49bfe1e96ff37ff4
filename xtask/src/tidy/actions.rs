//! Checks that a workflow pins each action by its commit, because the owner of an action can move its tag. A comment on
//! the same line must contain the tag.

use super::{Finding, numbered};

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !path.starts_with(".github/") && path != "action.yml" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        let Some(action) = line.trim_start().trim_start_matches("- ").strip_prefix("uses:") else { continue };
        let (action, tag) = action.split_once(" # ").unwrap_or((action, ""));
        let commit = action.trim().rsplit_once('@').map_or("", |(_, commit)| commit);
        let is_pinned = commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit());
        // An action of this repository (`./…`) needs no pin, because the action and the workflow belong to the same
        // commit.
        if !action.trim().starts_with("./") && (!is_pinned || tag.trim().is_empty()) {
            findings
                .push(Finding::new(number, "an action that is not pinned by commit: `uses: OWNER/NAME@COMMIT # TAG`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_pinned_by_its_commit() {
        let commit = "0".repeat(40);
        for (line, findings) in [
            (format!("      - uses: actions/checkout@{commit} # v5.1.0"), 0),
            (format!("      - uses: actions/checkout@{commit}"), 1),
            ("      - uses: actions/checkout@v5".to_owned(), 1),
            ("        uses: actions/checkout@main # v5".to_owned(), 1),
            ("      - uses: ./.github/actions/own".to_owned(), 0),
            ("      - run: echo uses: nothing".to_owned(), 0),
        ] {
            assert_eq!(check(".github/workflows/a.yml", &line).len(), findings, "{line}");
            assert_eq!(check("action.yml", &line).len(), findings, "{line}");
            assert_eq!(check("docs/a.yml", &line).len(), 0);
        }
    }
}
