//! Results and durations of a project's earlier runs on this machine. They are stored in the state folder, next to the
//! runs' ledgers.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use parallax_vocab::event::Outcome;
use parallax_vocab::{Event, RunId, VariantId};
use serde::{Deserialize, Serialize};

use super::prints::Prints;
use parallax_engine::StateDir;
use parallax_images::digest::Fields;
use parallax_plan::{History, Plan};
use parallax_record::{Noted as _, Present as _};
use parallax_report::Summary;

/// What is stored about the earlier runs of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// How long the parts of earlier runs took. The expected duration of a run is computed from these times.
    #[serde(default)]
    pub took: History,
    /// The last result of each variant.
    pub last: BTreeMap<VariantId, Last>,
}

/// The last result of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// The run in which the variant had this result.
    pub run: RunId,
    /// Whether the variant behaved in this run as its scenario declares.
    pub green: bool,
    /// The digest of everything on which the variant's verdict depends. `None` if it could not be computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub print: Option<String>,
}

impl Past {
    /// Reads the stored results and durations of the project in the folder `root`. Returns an empty value if nothing
    /// is stored, or if this version of Parallax cannot read the file.
    pub fn of(root: &Path) -> Self {
        let text = file(root).and_then(|file| std::fs::read_to_string(file).present("read the times of earlier runs"));
        text.and_then(|text| serde_json::from_str(&text).noted("understand the times of earlier runs"))
            .unwrap_or_default()
    }

    /// Adds the results and durations of a run's variants. A variant that was skipped, interrupted or not started is
    /// ignored, because it has no verdict.
    pub fn learn(&mut self, plan: &Plan, events: &[Event], prints: &Prints) {
        self.took.learn(plan, events);
        let summary = Summary::from_events(events);
        let Some(run) = summary.run.as_ref().map(|run| run.run.clone()) else { return };
        for scenario in &summary.scenarios {
            for variant in &scenario.variants {
                let green = match &variant.outcome {
                    Some(Outcome::AsExpected) => true,
                    Some(Outcome::NotAsExpected { .. } | Outcome::Error { .. }) => false,
                    Some(Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. }) | None => continue,
                };
                let last = Last { run: run.clone(), green, print: prints.get(&scenario.name).cloned() };
                self.last.insert(variant.id.clone(), last);
            }
        }
    }

    /// Stores the results and durations of the project in the folder `root`. The file is replaced atomically.
    pub fn keep(&self, root: &Path) -> Result<(), String> {
        let path = file(root).ok_or("there is no state folder")?;
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        let folder = path.parent().unwrap_or(root);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(folder).map_err(failed)?;
        // Only the owner may read the file. `tempfile` creates the file with such permissions, and the file keeps
        // them when it is renamed.
        let mut whole = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        whole.write_all(text.as_bytes()).map_err(failed)?;
        whole.persist(&path).map(drop).map_err(|error| failed(error.error))
    }
}

/// Returns the path of the file in which the results of the project in the folder `root` are stored. Each project has a
/// file of its own.
fn file(root: &Path) -> Option<PathBuf> {
    let state = StateDir::of_user().ok()?;
    let root = root.canonicalize().ok()?;
    let mut fields = Fields::new("project 1");
    fields.add("folder", root.as_os_str().as_encoded_bytes());
    Some(state.path().join("projects").join(format!("{}.json", &fields.finish()[..16])))
}
