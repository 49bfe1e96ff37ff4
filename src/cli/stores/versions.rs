//! What the stores do at other versions than those in the titles of the table's columns, and the comparison of the table
//! with a run, which may have been at any of these versions.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indexmap::IndexMap;
use parallax_vocab::event::{Event, EventKind, Verdict};
use parallax_vocab::{VariantId, Versions};
use serde::{Deserialize, Serialize};

use super::{Cell, Seen, Shown, Store, Table};

/// What `table.yaml` says about one other version of a store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WrittenVersion {
    /// The scenarios that ran with this version. Their steps saw what the table says, except in `differs`.
    #[serde(default)]
    ran: Vec<String>,
    /// The rows in which this version does not do what the table says. The value says what it does.
    #[serde(default)]
    differs: IndexMap<String, String>,
    /// What differs beyond the scenarios in `ran`, for example why the store does not start in another one.
    #[serde(default)]
    beyond: String,
    /// The reason why nothing ran with this version.
    #[serde(default)]
    not_run: Option<String>,
}

/// Another version of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherVersion {
    /// The version, as images.lock lists it.
    pub version: String,
    /// The scenarios that ran with this version. `parallax stores --of` can compare such a run with the table.
    pub ran: Vec<String>,
    /// The rows of `ran` in which this version does not do what the table says, with what it does.
    pub differs: IndexMap<String, String>,
    /// What differs beyond the scenarios in `ran`. Empty if nothing is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub beyond: String,
    /// The reason why nothing ran with this version. Empty if something ran.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_run: String,
}

/// Checks what `table.yaml` says about the other versions of a store. `listed` are those that images.lock has, and
/// `shown` is what steps show about the store.
pub(super) fn others(
    written: IndexMap<String, WrittenVersion>,
    listed: &[String],
    shown: &[&Shown],
) -> Result<Vec<OtherVersion>, String> {
    if let Some(missing) = listed.iter().find(|it| !written.contains_key(*it)) {
        return Err(format!("images.lock has version {missing}, and nothing says what was seen at it"));
    }
    let mut others = Vec::new();
    for (version, it) in written {
        if !listed.contains(&version) {
            return Err(format!("{version} is no other version in images.lock"));
        }
        if it.ran.is_empty() != it.not_run.is_some() {
            return Err(format!("version {version} has scenarios in `ran`, or a reason in `not-run`, and not both"));
        }
        if let Some(scenario) = it.ran.iter().find(|name| !shown.iter().any(|it| it.proof.scenario == **name)) {
            return Err(format!("version {version} names `{scenario}`, which shows nothing of the store"));
        }
        let in_ran = |row: &str| shown.iter().any(|of| of.capability == row && it.ran.contains(&of.proof.scenario));
        if let Some(row) = it.differs.keys().find(|row| !in_ran(row)) {
            return Err(format!("version {version} differs in `{row}`, which no scenario of its `ran` shows"));
        }
        let not_run = it.not_run.unwrap_or_default();
        others.push(OtherVersion { version, ran: it.ran, differs: it.differs, beyond: it.beyond, not_run });
    }
    Ok(others)
}

impl Table {
    /// Returns the part of the page about the other versions. Empty if no store has any.
    pub(super) fn other_versions(&self) -> String {
        let mut out = String::new();
        for (column, store) in self.stores.iter().enumerate() {
            for other in &store.other_versions {
                let (seen, differs) = self.cells_at(column, other);
                let ran: Vec<String> = other.ran.iter().map(|it| format!("`{it}`")).collect();
                let seen = if other.ran.is_empty() {
                    format!("**not tried**: {}", other.not_run)
                } else {
                    format!("{seen}, by {}", ran.join(", "))
                };
                let differs = if differs.is_empty() { "–".to_owned() } else { differs.join("; ") };
                let _ = writeln!(out, "| {} {} | {seen} | {differs} |", store.name, other.version);
            }
        }
        if out.is_empty() {
            return out;
        }
        format!(
            "\n## Other versions\n\nA run chooses a version by the option of the store, for example `parallax e2e stores/s3 --breaks none \
             --versitygw 1.7`.\n`parallax stores --of RUN` compares such a run with this table, too. It must see each difference that is \
             stated here.\n\n| store and version | cells that are as above | what differs |\n|---|---|---|\n{out}"
        )
    }

    /// Returns how many cells of a column were seen at another version as the table says, and what differs.
    fn cells_at(&self, column: usize, other: &OtherVersion) -> (usize, Vec<String>) {
        let is_shown = |cell: &Cell| cell.proofs.iter().any(|proof| other.ran.contains(&proof.scenario));
        let rows = self.rows.iter().filter(|row| row.cells.get(column).is_some_and(is_shown));
        let (differs, same): (Vec<_>, Vec<_>) = rows.partition(|row| other.differs.contains_key(&row.id));
        let mut words: Vec<String> =
            differs.iter().map(|row| format!("{}: {}", row.name, other.differs[&row.id])).collect();
        words.extend((!other.beyond.is_empty()).then(|| other.beyond.clone()));
        (same.len(), words.into_iter().map(|it| it.replace('|', "\\|")).collect())
    }
}

/// The results of the steps of a run.
pub(super) struct Results {
    /// The combinations of versions at which the run was. One combination, of the defaults, if it chose none.
    pub(super) versions: Vec<Versions>,
    /// Whether a step of a variant passed in each of its executions. The key is the id of the variant and the step.
    passed: BTreeMap<(VariantId, String), bool>,
}

impl Results {
    pub(super) fn of(events: &[Event]) -> Self {
        let mut results = Self { versions: Vec::new(), passed: BTreeMap::new() };
        for event in events {
            match &event.event {
                EventKind::RunStarted(it) => results.versions.clone_from(&it.versions),
                // A variant starts a second time if the machine failed the first time. The results of the first time do
                // not count.
                EventKind::VariantStarted(it) => results.passed.retain(|(variant, _), _| *variant != it.variant),
                EventKind::StepEnded(it) => {
                    let passed = results.passed.entry((it.variant.clone(), it.step.to_string())).or_insert(true);
                    *passed &= it.verdict == Verdict::Passed;
                }
                _ => {}
            }
        }
        if results.versions.is_empty() {
            results.versions.push(Versions::default());
        }
        results
    }

    /// What the run shows about a cell: the worst of what it shows at each of its combinations of versions.
    pub(super) fn seen(&self, store: &Store, row: &str, cell: &Cell) -> Seen {
        let mut worst = None;
        let several = self.versions.len() > 1;
        for versions in &self.versions {
            let chosen = store.system.and_then(|system| versions.get(system));
            let other = store.other_versions.iter().find(|it| Some(it.version.as_str()) == chosen);
            let differs = other.is_some_and(|it| it.differs.contains_key(row));
            let steps = cell.proofs.iter().map(|proof| {
                let plain = VariantId::from(proof.scenario.as_str());
                let variant = if several { plain.at(versions) } else { plain };
                self.passed.get(&(variant, proof.step.clone())).copied()
            });
            let steps: Vec<Option<bool>> = steps.collect();
            let seen = match (steps.contains(&Some(false)), steps.contains(&None)) {
                (false, true) => Seen::NotRun,
                (failed, _) if failed == differs => Seen::Held,
                _ => Seen::Failed,
            };
            worst = worst.max(Some(seen));
        }
        worst.unwrap_or(Seen::NotRun)
    }
}
