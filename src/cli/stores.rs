//! `parallax stores` generates a table of what each S3 store supports, from the steps of scenarios.
//!
//! A step that shows a capability of a store declares this with `shows`. The file `scenarios/stores/table.yaml` lists
//! the rows of the table. For each cell that no step shows, the file also contains the reason why the capability was
//! not tried. A cell has either steps or such a reason, never both.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use parallax_images::{Lock, Recipe, Recipes};
use parallax_language::scenario::document::Document;
use parallax_language::scenario::{Diagnostic, Loaded};
use parallax_vocab::event::Event;
use parallax_vocab::{System, Versions};
use serde::{Deserialize, Serialize};

use self::versions::{OtherVersion, WrittenVersion};
use super::CliError;
use super::wiring::Project;

mod versions;

/// The title of the table. A step names the table by this title (in `shows`).
const TITLE: &str = "stores";
/// The path of the page with the table, below the project.
pub const PAGE: &str = "docs/stores.md";
/// The path of the page with the steps that show each cell, below the project. It is a page of its own, so that a
/// search in [`PAGE`] finds the answers first.
pub const PROOF_PAGE: &str = "docs/stores-proof.md";
/// The path of the file with the rows of the table, below the project.
pub const TABLE: &str = "scenarios/stores/table.yaml";
/// The image label that contains the version of the image's program. It is read from the image's recipe.
const VERSION: &str = "org.opencontainers.image.version";
/// The first line of each page.
const MADE: &str = "<!-- Made by `parallax stores --write` from the scenarios; do not edit. -->";

/// The content of `scenarios/stores/table.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    /// The stores, in the order of the columns. The key is the name of the store's fixture.
    stores: IndexMap<String, WrittenStore>,
    /// Markdown paragraphs about the whole table, for its page.
    #[serde(default)]
    notes: Vec<String>,
    groups: Vec<WrittenGroup>,
}

/// Rows about one subject. The page has a heading and a table for each group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenGroup {
    title: String,
    rows: Vec<WrittenRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenStore {
    name: String,
    /// The name of the image whose recipe contains the version of the store.
    image: String,
    /// What was seen at the other versions of the image that images.lock lists.
    #[serde(default)]
    versions: IndexMap<String, WrittenVersion>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenRow {
    id: String,
    /// The capability in few words, for the summary of a store.
    name: String,
    asks: String,
    /// The stores with which the capability was not tried. The key is the name of the store's fixture, and the value is
    /// the reason.
    #[serde(default)]
    not_tried: BTreeMap<String, String>,
}

/// The table of stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The stores, in the order of the columns.
    pub stores: Vec<Store>,
    /// Markdown paragraphs about the whole table.
    pub notes: Vec<String>,
    /// The rows of the table.
    pub rows: Vec<Row>,
    /// The versions of the run with which the table was compared. Empty if it was compared with no run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compared_at: Vec<Versions>,
}

/// A store, which is a column of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Store {
    /// The name of the store's fixture.
    pub fixture: String,
    /// The store's name for people.
    pub name: String,
    /// The version of the store's program. The cells were seen at this version.
    pub version: String,
    /// The other versions that a run can choose.
    pub other_versions: Vec<OtherVersion>,
    /// The system whose version a run can choose; `None` if this store has no such option.
    #[serde(skip)]
    system: Option<System>,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The id of the capability in this row. A step names the capability by this id (in `shows`).
    pub id: String,
    /// The title of the group that contains the row, such as "Presigned URLs".
    pub group: String,
    /// The capability in few words, such as "a presigned HEAD".
    pub name: String,
    /// The capability in words, such as "A presigned HEAD".
    pub asks: String,
    /// The cells of the row, one for each store, in the order of the columns.
    pub cells: Vec<Cell>,
}

/// What the scenarios show about one capability of one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The short answer in the cell.
    pub answer: Answer,
    /// The details of the short answer, or the reason why the capability was not tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub how: String,
    /// The steps that show the answer. The list is empty if the capability was not tried.
    pub proofs: Vec<Proof>,
    /// Whether a run confirms the cell. `None` if the table was not compared with a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// The short answer of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The store supports the capability as S3 does.
    Works,
    /// The store supports the capability, but differs from S3.
    WorksOtherwise,
    /// The store does not have the capability.
    Missing,
    /// The store is vulnerable: an attack succeeds.
    Hole,
    /// No scenario tries the capability with this store.
    NotTried,
}

/// A step that shows the answer of a cell, and the breaks in which the step fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The path of the scenario that contains the step.
    pub scenario: String,
    /// The id of the step that shows the answer.
    pub step: String,
    /// The ids of the breaks in which the step fails.
    pub breaks: Vec<String>,
}

/// What a run shows about a cell. The last of these outweighs the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// The run saw what the table says.
    Held,
    /// A step that shows the cell did not run.
    NotRun,
    /// The run saw something else.
    Failed,
}

/// The versions of an image.
struct Known {
    /// The version in the label of the image's recipe.
    default: String,
    /// The other versions that images.lock lists.
    others: Vec<String>,
}

/// What one step shows about one capability of a store.
#[derive(Clone, Debug)]
struct Shown {
    fixture: String,
    /// Whether the step's scenario uses the fixture `fixture`. If it does not, the step declares something about a
    /// store that its scenario does not contain, which is a mistake.
    used: bool,
    capability: String,
    answer: Answer,
    how: String,
    proof: Proof,
}

impl Table {
    /// Creates the table from a project's scenarios. Fails if a cell has neither a step nor a reason why it was not
    /// tried, or if steps contradict each other.
    pub fn of(project: &Project) -> Result<Self, CliError> {
        let file = project.root.join(TABLE);
        let bytes = std::fs::read(&file).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
        let (document, errors) = Document::parse_bytes(TABLE, &bytes);
        let document = document.filter(|_| errors.is_empty());
        let Some(document) = document else {
            let first = errors.first().map_or_else(|| "it is empty".to_owned(), Diagnostic::on_one_line);
            return Err(CliError::Usage(format!("{TABLE}: {first}")));
        };
        let written: Written =
            serde_json::from_value(document.value).map_err(|error| CliError::Usage(format!("{TABLE}: {error}")))?;
        let known = |image: &str| known(&project.root, image);
        let shown: Vec<Shown> = project.scenarios.iter().flat_map(shown).collect();
        Self::make(written, &shown, known).map_err(CliError::Usage)
    }

    fn make(written: Written, shown: &[Shown], known: impl Fn(&str) -> Result<Known, String>) -> Result<Self, String> {
        let mut wrong: Vec<String> = Vec::new();
        for it in shown {
            let place = format!("{}: {}", it.proof.scenario, it.proof.step);
            if !written.stores.contains_key(&it.fixture) {
                wrong.push(format!("{place} shows something of `{}`, which is no store of {TABLE}", it.fixture));
            }
            if !it.used {
                wrong.push(format!("{place} shows something of `{}`, which its scenario does not use", it.fixture));
            }
            if !written.groups.iter().flat_map(|it| &it.rows).any(|row| row.id == it.capability) {
                wrong.push(format!("{place} shows `{}`, which is no row of {TABLE}", it.capability));
            }
            if it.proof.breaks.is_empty() {
                wrong.push(format!("{place} fails in no break, so it shows nothing"));
            }
        }
        let mut rows = Vec::new();
        let of_groups = written.groups.into_iter().flat_map(|group| {
            let title = group.title;
            group.rows.into_iter().map(move |row| (title.clone(), row))
        });
        for (group, row) in of_groups {
            for fixture in row.not_tried.keys().filter(|it| !written.stores.contains_key(*it)) {
                wrong.push(format!("{TABLE}: row `{}` names `{fixture}`, which is no store", row.id));
            }
            let cell = |fixture: &String| {
                let shown = shown.iter().filter(|it| it.fixture == *fixture && it.capability == row.id);
                cell(shown.cloned().collect(), row.not_tried.get(fixture))
                    .map_err(|why| format!("row `{}`, store `{fixture}`: {why}", row.id))
            };
            let cells: Vec<_> = written.stores.keys().map(cell).collect();
            wrong.extend(cells.iter().filter_map(|it| it.as_ref().err().cloned()));
            let cells = cells.into_iter().flatten().collect();
            rows.push(Row { id: row.id, group, name: row.name, asks: row.asks, cells });
        }
        let mut stores = Vec::new();
        for (fixture, it) in written.stores {
            let known = match known(&it.image) {
                Ok(known) => known,
                Err(why) => {
                    wrong.push(why);
                    continue;
                }
            };
            let of_store: Vec<&Shown> = shown.iter().filter(|it| it.fixture == fixture).collect();
            let other_versions = versions::others(it.versions, &known.others, &of_store)
                .map_err(|why| wrong.push(format!("{TABLE}: store `{fixture}`: {why}")));
            let system = System::ALL.iter().copied().find(|system| system.image() == it.image);
            let (name, version) = (it.name, known.default);
            stores.push(Store { fixture, name, version, other_versions: other_versions.unwrap_or_default(), system });
        }
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        Ok(Self { stores, notes: written.notes, rows, compared_at: Vec::new() })
    }

    /// Compares each cell with the results of its steps in a run. If the run was at several versions, it must have seen
    /// what the table says at each of them.
    pub fn compare(&mut self, events: &[Event]) {
        let results = versions::Results::of(events);
        for row in &mut self.rows {
            for (store, cell) in self.stores.iter().zip(&mut row.cells) {
                if cell.answer != Answer::NotTried {
                    cell.seen = Some(results.seen(store, &row.id, cell));
                }
            }
        }
        self.compared_at = results.versions;
    }

    /// Whether the table agrees with the run with which it was compared: the run confirms at least one cell and
    /// contradicts none. Cells whose steps did not run are ignored, because a run may contain only some of the
    /// scenarios. If the table was compared with no run, the result is `true`.
    pub fn holds(&self) -> bool {
        let seen: Vec<Seen> = self.rows.iter().flat_map(|row| &row.cells).filter_map(|cell| cell.seen).collect();
        seen.is_empty() || seen.contains(&Seen::Held) && !seen.contains(&Seen::Failed)
    }
}

/// Returns what the steps in the baseline of a scenario show about stores.
fn shown(loaded: &Loaded) -> Vec<Shown> {
    let steps = loaded.scenario.steps();
    let shown = steps.iter().filter_map(|it| {
        let step = it.step;
        let shows = step.shows.as_ref().filter(|it| it.table == TITLE)?;
        let used = loaded.scenario.fixtures.values().any(|it| it.fixture == shows.column);
        let (answer, how) = match (&step.vulnerable, &shows.otherwise, &shows.missing) {
            (Some(hole), ..) => (Answer::Hole, hole.means.clone()),
            (None, _, Some(missing)) => (Answer::Missing, missing.clone()),
            (None, Some(otherwise), None) => (Answer::WorksOtherwise, otherwise.clone()),
            (None, None, None) => (Answer::Works, String::new()),
        };
        let fails = loaded.variants.iter().filter(|it| it.fails.contains_key(&step.id));
        let proof = Proof {
            scenario: loaded.path.clone(),
            step: step.id.clone(),
            breaks: fails.filter_map(|it| it.break_id.clone()).collect(),
        };
        Some(Shown { fixture: shows.column.clone(), used, capability: shows.row.clone(), answer, how, proof })
    });
    shown.collect()
}

/// Joins what several steps show about one cell. The steps may complement each other, but must not contradict each
/// other. `not_tried` is the reason why the capability was not tried, if the file `table.yaml` contains one for this
/// cell.
fn cell(shown: Vec<Shown>, not_tried: Option<&String>) -> Result<Cell, &'static str> {
    let some = |answer: Answer| shown.iter().any(|it| it.answer == answer);
    let answer = match not_tried {
        Some(_) if !shown.is_empty() => return Err("a step shows it, so it was tried"),
        Some(why) => return Ok(Cell { answer: Answer::NotTried, how: why.clone(), proofs: Vec::new(), seen: None }),
        None if shown.is_empty() => return Err("no step shows it, and `not-tried` does not say why"),
        None if some(Answer::Hole) => Answer::Hole,
        None if some(Answer::Missing) && (some(Answer::Works) || some(Answer::WorksOtherwise)) => {
            return Err("one step says that it works, and another that it is missing");
        }
        None if some(Answer::Missing) => Answer::Missing,
        None if some(Answer::WorksOtherwise) => Answer::WorksOtherwise,
        None => Answer::Works,
    };
    let mut hows: Vec<String> = shown.iter().filter(|it| it.answer == answer).map(|it| it.how.clone()).collect();
    hows.dedup();
    Ok(Cell { answer, how: hows.join("; "), proofs: shown.into_iter().map(|it| it.proof).collect(), seen: None })
}

/// Returns the version of the program in an image, according to the image's recipe, and the others of images.lock.
fn known(root: &Path, image: &str) -> Result<Known, String> {
    let recipe = Recipe::load(&root.join("images").join(image)).map_err(|error| error.to_string())?;
    let default = recipe.config.labels.get(VERSION).cloned();
    let default = default.ok_or_else(|| format!("images/{image}/recipe.yaml has no label {VERSION}"))?;
    let lock = Lock::listed(&Recipes::of(root)).map_err(|error| error.to_string())?;
    let number = default.strip_prefix('v').unwrap_or(&default);
    let others = lock.offered(image).into_iter().filter(|it| *it != number).map(str::to_owned).collect();
    Ok(Known { default, others })
}

mod page;
#[cfg(test)]
mod tests;
