//! Checks that citations are valid. Each cited page below `docs/` and each cited section must exist. The scenarios,
//! variants and files to which the page of facts (`docs/facts.md`) refers must exist too. A comment with a broken
//! citation no longer explains the constant below it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, numbered};

/// The path of the page of facts. Code must cite a section of this page, not the whole page.
const FACTS: &str = "docs/facts.md";
/// The folder with the rules of `cargo xtask tidy`. The tests of the rules contain invalid citations as examples, so
/// this folder is not checked.
const EXAMPLES: &str = "xtask/src/tidy/";
/// The path of the catalogue, which has the names of all scenarios and variants.
const CATALOGUE: &str = "scenarios/catalogue.md";

/// Checks all files, each given as a name and a text. Returns each finding with the name of its file.
pub(super) fn check<'a>(files: &[(&'a str, &str)]) -> Vec<(&'a str, Finding)> {
    let pages: BTreeMap<&str, BTreeSet<String>> =
        files.iter().filter(|(name, _)| is_markdown(name)).map(|(name, text)| (*name, sections(text))).collect();
    let catalogue = files.iter().find(|(name, _)| *name == CATALOGUE).map_or("", |(_, text)| text);
    let variants = variants(catalogue);
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| !name.starts_with(EXAMPLES)) {
        for (number, line) in numbered(text) {
            let mut wrong = cited(line).filter_map(|it| it.wrong(is_markdown(name), &pages)).collect::<Vec<_>>();
            if line.matches("facts.md").count() > line.matches(FACTS).count() {
                wrong.push(format!("write `{FACTS}#SECTION`, so that the page is found"));
            }
            wrong.extend(links_within(line).filter_map(|section| {
                Citation { page: name, section: Some(section) }.wrong(true, &pages).filter(|_| is_markdown(name))
            }));
            if *name == FACTS {
                wrong.extend(quoted(line).filter_map(|it| no_proof(it, &variants, &names)));
            }
            findings.extend(wrong.into_iter().map(|message| (*name, Finding::new(number, message))));
        }
    }
    findings
}

/// A citation in a file: a page below `docs/`, and a section of that page. `section` is `None` if the citation is for
/// the whole page.
struct Citation<'a> {
    page: &'a str,
    section: Option<&'a str>,
}

impl Citation<'_> {
    fn wrong(&self, in_prose: bool, pages: &BTreeMap<&str, BTreeSet<String>>) -> Option<String> {
        let Some(sections) = pages.get(self.page) else { return Some(format!("there is no page `{}`", self.page)) };
        match self.section {
            Some(section) if !sections.contains(section) => {
                Some(format!("`{}` has no section `#{section}`", self.page))
            }
            None if self.page == FACTS && !in_prose => Some(format!("name the section: `{FACTS}#SECTION`")),
            _ => None,
        }
    }
}

/// Returns the citations of a line.
fn cited(line: &str) -> impl Iterator<Item = Citation<'_>> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    line.match_indices("docs/").filter_map(move |(at, _)| {
        if line[..at].chars().next_back().is_some_and(is_path) {
            return None;
        }
        let rest = &line[at..];
        let (path, after) = rest.split_at(rest.find(|c| !is_path(c)).unwrap_or(rest.len()));
        let page = path.trim_end_matches('.');
        let section = after.strip_prefix('#').filter(|_| page == path).map(slug);
        is_markdown(page).then_some(Citation { page, section })
    })
}

/// Returns the sections of the same page to which a line of Markdown links.
fn links_within(line: &str) -> impl Iterator<Item = &str> {
    line.split("](#").skip(1).map(slug)
}

/// Returns the section name with which a text begins.
fn slug(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// Returns the anchors of a page's headings, in the form that Markdown renderers generate.
fn sections(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        if let Some(title) = line.strip_prefix('#').filter(|_| !in_code) {
            found.insert(anchor(title.trim_start_matches('#').trim()));
        }
    }
    found
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Returns the ids of all existing variants, such as `identity/irsa` and `identity/irsa+no-binding`.
fn variants(catalogue: &str) -> BTreeSet<String> {
    let mut scenario = None;
    let mut found = BTreeSet::new();
    for line in catalogue.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            scenario = (!title.contains(' ')).then_some(title);
            found.extend(scenario.map(str::to_owned));
        } else if let (Some(scenario), Some(variant)) =
            (scenario, line.strip_prefix("- ").and_then(|it| quoted(it).next()))
        {
            found.insert(format!("{scenario}+{variant}"));
        }
    }
    found
}

/// Returns the texts between backquotes in a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Checks a word of the page of facts (`docs/facts.md`). Returns an error if the word looks like the name of a
/// scenario, a variant or a file of this repository, but nothing has this name. Returns `None` for every other word.
fn no_proof(word: &str, variants: &BTreeSet<String>, names: &BTreeSet<&str>) -> Option<String> {
    if !word.contains(['/', '+']) {
        return None;
    }
    if shares_root(word, variants.iter().map(String::as_str)) {
        return (!variants.contains(word)).then(|| format!("no scenario is called `{word}`; see `{CATALOGUE}`"));
    }
    let path = word.split('#').next().unwrap_or(word);
    let at = |name: &&str| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_missing = shares_root(path, names.iter().copied()) && !names.iter().any(at);
    is_missing.then(|| format!("there is no `{path}`"))
}

/// Whether the first part of `word` (an area of scenarios, or a top-level folder) is also the first part of one of the
/// names.
fn shares_root<'a>(word: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
    let root = |text: &str| text.split(['/', '+']).next().unwrap_or_default().to_owned();
    let own = root(word);
    names.any(|name| root(name) == own)
}

fn is_markdown(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "md")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the messages of the check for a line of the file `name`. The check also gets a page of facts, a guide
    /// and a catalogue.
    fn messages_for(name: &str, line: &str) -> Vec<String> {
        let facts = "# Facts\n\n## Role ARN\n\n```yaml\n# no heading\n```\n";
        let catalogue = "# x\n\n## identity/irsa\n\ny\n\n- `no-binding`: z\n\n## edge/front (no issue yet)\n\ny\n";
        let guide = ("docs/guide.md", "## 1. First: `a_b`, c\n");
        let files = match name {
            FACTS => vec![(FACTS, line), (CATALOGUE, catalogue), guide, ("crates/plan/src/lib.rs", "")],
            _ => vec![(FACTS, facts), (CATALOGUE, catalogue), guide, (name, line)],
        };
        check(&files)
            .into_iter()
            .map(|(name, finding)| format!("{name}:{}: {}", finding.line, finding.message))
            .collect()
    }

    #[test]
    fn a_cited_section_exists() {
        let table = [
            ("a.rs", "// why (docs/facts.md#role-arn).", ""),
            ("a.rs", "// see docs/facts.md#no-heading", "no section `#no-heading`"),
            ("a.rs", "// see docs/facts.md#role-arns", "no section `#role-arns`"),
            ("a.rs", "// see docs/facts.md.", "name the section"),
            ("a.yaml", "# see docs/facts.md", "name the section"),
            ("README.md", "`docs/facts.md` has them.", ""),
            ("README.md", "[x](#nothing)", "`README.md` has no section `#nothing`"),
            ("README.md", "# A `b`, c\n[x](#a-b-c)", ""),
            ("a.rs", concat!("// see ", "facts.md 3"), "so that the page is found"),
            ("a.rs", "// docs/guide.md#1-first-a_b-c, docs/guide.md", ""),
            ("a.rs", "// docs/other.md", "no page `docs/other.md`"),
            ("a.rs", "// crates/x/docs/other.md, docs/{name}.md, docs/x.txt", ""),
        ];
        for (name, line, expected) in table {
            let messages = messages_for(name, line);
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{line}: {messages:?}");
            assert!(
                messages.iter().all(|it| it.starts_with(&format!("{name}:1: ")) && it.contains(expected)),
                "{messages:?}"
            );
        }
    }

    #[test]
    fn a_fact_names_proof_that_exists() {
        let table = [
            (
                "`identity/irsa`, `identity/irsa+no-binding`, `crates/plan`, `crates/plan/src/lib.rs`, `cmd/x.go`, `identity`",
                "",
            ),
            ("`identity/irsa+other`", "no scenario is called `identity/irsa+other`"),
            ("`identity/other`", "no scenario is called `identity/other`"),
            ("`edge/front`", ""),
            ("`crates/plan/src/other.rs`", "there is no `crates/plan/src/other.rs`"),
            ("`crates/pla`", "there is no `crates/pla`"),
        ];
        for (line, expected) in table {
            let messages = messages_for(FACTS, line);
            assert_eq!(messages.len(), usize::from(!expected.is_empty()), "{line}: {messages:?}");
            assert!(messages.iter().all(|it| it.contains(expected)), "{messages:?}");
        }
    }
}
