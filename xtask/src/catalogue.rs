//! `cargo xtask catalogue` compares the catalogue (`scenarios/catalogue.md`) with the existing scenarios and breaks,
//! so that the catalogue contains all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::parts::say;

/// The path of the catalogue file.
const FILE: &str = "scenarios/catalogue.md";

/// The content of the catalogue file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Catalogue {
    /// The text of the catalogue before its first scenario.
    preamble: String,
    scenarios: BTreeMap<String, Scenario>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Scenario {
    entry: Entry,
    breaks: Vec<(String, Entry)>,
}

/// The entry of one scenario or one break in the catalogue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    /// The issue that plans the entry, for example `issue 4`. It is `None` if the scenario or break exists.
    planned: Option<String>,
    text: String,
}

/// Compares the catalogue with the existing scenarios. If `check` is not set, the function first adds new entries to
/// the catalogue. Returns whether the catalogue and the scenarios agree.
pub(crate) fn run(parallax: &Path, check: bool) -> Result<bool> {
    let output = Command::new(parallax).arg("list").output();
    let output = output.with_context(|| format!("failed to start {}", parallax.display()))?;
    ensure!(output.status.success(), "parallax list failed: {}", String::from_utf8_lossy(&output.stderr));
    let listed = listed(&String::from_utf8(output.stdout).context("parallax list printed no text")?);
    let text = std::fs::read_to_string(FILE).with_context(|| format!("failed to read {FILE}"))?;
    let mut catalogue = Catalogue::parse(&text)?;
    if !check {
        catalogue.add(&listed);
        let text = catalogue.render();
        std::fs::write(FILE, text).with_context(|| format!("failed to write {FILE}"))?;
    }
    let findings = catalogue.differences(&listed);
    for finding in &findings {
        say(&format!("{FILE}: {finding}"));
    }
    for (place, names) in catalogue.planned() {
        say(&format!("planned but not yet written ({place}): {}", names.join(", ")));
    }
    if !findings.is_empty() {
        say("`cargo xtask catalogue` adds new entries; remove entries of deleted scenarios by hand");
    }
    Ok(findings.is_empty())
}

/// Returns the variants with their summaries, from the lines of `parallax list`.
fn listed(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (variant, summary) = line.split_once(' ').unwrap_or((line, ""));
        (variant.to_owned(), summary.trim().to_owned())
    };
    text.lines().filter(|line| !line.is_empty()).map(line).collect()
}

impl Catalogue {
    fn parse(text: &str) -> Result<Self> {
        let mut catalogue = Self::default();
        let mut current: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let wrong = || format!("{FILE}:{}: not a line of a catalogue: {line}", number + 1);
            if let Some(title) = line.strip_prefix("## ") {
                let (name, planned) = named(title);
                let entry = Entry { planned, text: String::new() };
                let scenario = Scenario { entry, breaks: Vec::new() };
                ensure!(catalogue.scenarios.insert(name.clone(), scenario).is_none(), "{}: it occurs twice", wrong());
                current = Some(name);
                continue;
            }
            let Some(scenario) = current.as_ref().and_then(|name| catalogue.scenarios.get_mut(name)) else {
                let _ = writeln!(catalogue.preamble, "{line}");
                continue;
            };
            if let Some(rest) = line.strip_prefix("- `") {
                let (name, rest) = rest.split_once('`').with_context(wrong)?;
                let (planned, text) = rest.split_once(": ").with_context(wrong)?;
                let entry = Entry { planned: named(planned).1, text: text.to_owned() };
                ensure!(scenario.breaks.iter().all(|(other, _)| other != name), "{}: it occurs twice", wrong());
                scenario.breaks.push((name.to_owned(), entry));
            } else if !line.trim().is_empty() {
                ensure!(scenario.entry.text.is_empty() && scenario.breaks.is_empty(), wrong());
                line.clone_into(&mut scenario.entry.text);
            }
        }
        Ok(catalogue)
    }

    fn render(&self) -> String {
        let place = |entry: &Entry| entry.planned.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
        let mut text = format!("{}\n", self.preamble.trim_end());
        for (name, scenario) in &self.scenarios {
            let _ = write!(text, "\n## {name}{}\n\n{}\n", place(&scenario.entry), scenario.entry.text);
            for (number, (name, entry)) in scenario.breaks.iter().enumerate() {
                let gap = if number == 0 { "\n" } else { "" };
                let _ = writeln!(text, "{gap}- `{name}`{}: {}", place(entry), entry.text);
            }
        }
        text
    }

    /// Adds to the catalogue each variant of `listed` that it does not contain. Removes the planning issue from each
    /// entry whose scenario or break exists now.
    fn add(&mut self, listed: &[(String, String)]) {
        for (variant, summary) in listed {
            let (scenario, break_name) = parts(variant);
            let scenario = self.scenarios.entry(scenario.to_owned()).or_default();
            let entry = match break_name {
                None => &mut scenario.entry,
                Some(name) => {
                    if !scenario.breaks.iter().any(|(other, _)| other == name) {
                        scenario.breaks.push((name.to_owned(), Entry::default()));
                    }
                    let found = scenario.breaks.iter_mut().find(|(other, _)| other == name);
                    &mut found.expect("it was put there").1
                }
            };
            entry.planned = None;
            if entry.text.is_empty() {
                entry.text.clone_from(summary);
            }
        }
    }

    /// Returns every entry with its full name: `SCENARIO` or `SCENARIO+BREAK`.
    fn entries(&self) -> impl Iterator<Item = (String, &Entry)> {
        self.scenarios.iter().flat_map(|(name, scenario)| {
            let breaks = scenario.breaks.iter().map(move |(its, entry)| (format!("{name}+{its}"), entry));
            std::iter::once((name.clone(), &scenario.entry)).chain(breaks)
        })
    }

    fn differences(&self, listed: &[(String, String)]) -> Vec<String> {
        let table: BTreeMap<String, &Entry> = self.entries().collect();
        let mut findings = Vec::new();
        for (variant, _) in listed {
            match table.get(variant) {
                None => findings.push(format!("{variant} is in scenarios/ but not in this catalogue")),
                Some(Entry { planned: Some(place), .. }) => {
                    findings.push(format!("{variant} exists, but is still listed as planned ({place})"));
                }
                Some(_) => {}
            }
        }
        for (name, entry) in &table {
            if entry.planned.is_none() && !listed.iter().any(|(variant, _)| variant == name) {
                findings.push(format!("{name} is no longer in scenarios/"));
            }
            if entry.text.is_empty() {
                findings.push(format!("{name} has no description"));
            }
        }
        findings
    }

    /// Returns the planned entries, grouped by the issue that plans them.
    fn planned(&self) -> BTreeMap<String, Vec<String>> {
        let mut planned: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, entry) in self.entries() {
            // The breaks of a planned scenario are left out, because the planned scenario includes them.
            let of_a_planned = name.split_once('+').is_some_and(|(of, _)| self.scenarios[of].entry.planned.is_some());
            if let Some(place) = entry.planned.as_ref().filter(|_| !of_a_planned) {
                planned.entry(place.clone()).or_default().push(name);
            }
        }
        planned
    }
}

/// Splits a variant's id into scenario and break.
fn parts(variant: &str) -> (&str, Option<&str>) {
    variant.split_once('+').map_or((variant, None), |(scenario, name)| (scenario, Some(name)))
}

/// Splits an entry's title into the name and the issue in parentheses. For example, `presign/ingress (issue 4)` is the
/// entry of a scenario that issue 4 plans.
fn named(text: &str) -> (String, Option<String>) {
    match text.split_once('(') {
        Some((name, place)) => (name.trim().to_owned(), Some(place.trim_end().trim_end_matches(')').to_owned())),
        None => (text.trim().to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Catalogue

Words.

## a/one

One holds.

- `x`: X is wrong.
- `y` (issue 4): Y is wrong.

## a/two (issue 5)

Two holds.

- `z` (issue 5): Z is wrong.
";

    fn table() -> Catalogue {
        Catalogue::parse(TABLE).expect("a table")
    }

    fn list(variants: &[&str]) -> Vec<(String, String)> {
        variants.iter().map(|it| ((*it).to_owned(), "words of its own".to_owned())).collect()
    }

    #[test]
    fn a_catalogue_is_written_as_it_was_read() {
        assert_eq!(table().render(), TABLE);
        assert_eq!(
            listed("a/one    One\na/one+x  X is\n\n"),
            [("a/one".into(), "One".into()), ("a/one+x".into(), "X is".into())]
        );
    }

    #[test]
    fn removed_new_and_no_longer_planned_entries_are_found() {
        for (variants, expected) in [
            (&["a/one", "a/one+x"][..], &[][..]),
            (&["a/one"], &["a/one+x is no longer in scenarios/"]),
            (&["a/one", "a/one+x", "a/one+new"], &["a/one+new is in scenarios/ but not in this catalogue"]),
            (&["a/one", "a/one+x", "a/one+y"], &["a/one+y exists, but is still listed as planned (issue 4)"]),
            (&["a/one", "a/one+x", "b"], &["b is in scenarios/ but not in this catalogue"]),
        ] {
            assert_eq!(table().differences(&list(variants)), expected, "{variants:?}");
        }
        let planned = table().planned();
        assert_eq!(planned["issue 4"], ["a/one+y"]);
        assert_eq!(planned["issue 5"], ["a/two"]);
    }

    #[test]
    fn new_entries_are_added_and_removed_ones_stay() {
        let mut table = table();
        let now = list(&["a/one", "a/one+y", "a/two", "c"]);
        table.add(&now);
        assert_eq!(table.differences(&now), ["a/one+x is no longer in scenarios/"]);
        assert_eq!(table.scenarios["a/one"].breaks[1].1.text, "Y is wrong.", "an existing description stays");
        assert_eq!(table.scenarios["c"].entry.text, "words of its own");
    }

    #[test]
    fn an_invalid_line_is_an_error() {
        for text in ["## a\n\none\n\ntwo\n", "## a\n\n- `b` no colon\n", "## a\n## a\n", "## a\n- `b`: x\n- `b`: y\n"] {
            assert!(Catalogue::parse(text).is_err(), "{text}");
        }
    }
}
