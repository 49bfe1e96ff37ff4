//! The call sites of the other rooms, in one file.
//!
//! Each function says what it must do; until its room exists it says so and ends with exit code 3.

#![expect(clippy::unused_async, reason = "the rooms behind these signatures wait on engines and clusters")]

use std::path::{Path, PathBuf};

use parallax_vocab::event::{Exit, Failure};
use parallax_vocab::{RunId, VariantId};
use tokio_util::sync::CancellationToken;

use super::args::Plan;
use super::{Cli, CliError, Ended, Run};
use crate::record::Sink;

/// A variant as `parallax list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Baseline or break.
    pub variant: VariantId,
    /// The scenario's or the break's summary.
    pub summary: String,
    /// The scenario's labels.
    pub labels: Vec<String>,
    /// The scenario file, relative to the project.
    pub file: String,
}

/// Before any thread or file exists: resolve the engine, and start this program again where its environment must change.
///
/// CALL SITE: `engine::{find, ensure_environment}`, and `engine::provision` where `--provision` is given.
pub fn before_anything(_cli: &Cli) -> Result<(), CliError> {
    Ok(())
}

/// A new run's id. CALL SITE: `engine::fresh_run_id`.
pub fn fresh_run_id() -> Result<RunId, CliError> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::Harness("the system gives no random bytes".to_owned()))?;
    Ok(RunId::new(format!("r{}", hex::encode(bytes))))
}

/// Every variant of the project: scenarios by path, each baseline before its breaks. CALL SITE: `scenario`.
pub fn list(project: &Path) -> Result<Vec<Listed>, CliError> {
    let mut files = Vec::new();
    collect(&project.join("scenarios"), 0, &mut files)?;
    files.sort();
    let mut listed = Vec::new();
    for file in files {
        listed.extend(listed_in(project, &file)?);
    }
    Ok(listed)
}

/// Runs `run.selected`, saying everything into `run.sink`. CALL SITE: `run`.
pub async fn e2e(_run: Run) -> Ended {
    let failure =
        Failure { what: "the runner is not wired into the command line".to_owned(), fix: None, evidence: vec![] };
    Ended { unproven: Vec::new(), failure: Some(failure) }
}

/// What a run that stops at once leaves, one line each with the command that removes it. CALL SITE: the engine's ledger.
pub fn remaining(_run: &RunId) -> Vec<String> {
    Vec::new()
}

/// Checks files; prints each mistake to standard error. CALL SITE: `scenario`, `fixture`.
pub fn lint(_project: &Path, _paths: &[PathBuf]) -> Result<Exit, CliError> {
    unwired("lint")
}

/// The plan as text or JSON. CALL SITE: `plan`.
pub fn plan(_project: &Path, _selected: &[VariantId], _args: &Plan) -> Result<String, CliError> {
    unwired("plan")
}

/// The table of images. CALL SITE: `images`.
pub async fn images_list(_project: &Path, _sink: Sink, _cancel: CancellationToken) -> Result<String, CliError> {
    unwired("images list")
}

/// Obtains images. CALL SITE: `images`.
pub async fn images_build(
    _project: PathBuf,
    _names: Vec<String>,
    _provision: bool,
    _sink: Sink,
    _cancel: CancellationToken,
) -> Result<Exit, CliError> {
    unwired("images build")
}

/// Removes what killed runs left. CALL SITE: `engine::gc`.
pub async fn gc(_sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    unwired("gc")
}

/// Says whether a run could work here. CALL SITE: `engine::{find, preflight, provision}`.
pub async fn doctor(_provision: bool, _sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    unwired("doctor")
}

/// Writes or checks the schemas. CALL SITE: `scenario`, `fixture`.
pub fn schema(_project: &Path, _check: bool) -> Result<Exit, CliError> {
    unwired("schema")
}

/// The reaper's life. CALL SITE: `engine::reaper`.
pub async fn reaper(_args: Vec<String>) -> Result<Exit, CliError> {
    unwired("reaper")
}

fn unwired<T>(command: &str) -> Result<T, CliError> {
    Err(CliError::Harness(format!("`{command}` is not wired into the command line")))
}

/// Folders are not followed deeper than this: a link that leads in a circle ends.
const DEPTH_LIMIT: usize = 6;

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::Harness(format!("failed to read {}: {error}", folder.display()));
    if depth > DEPTH_LIMIT {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect(&path, depth + 1, files)?;
        } else if path.file_name().is_some_and(|name| name == "scenario.yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn listed_in(project: &Path, file: &Path) -> Result<Vec<Listed>, CliError> {
    let shown = file.strip_prefix(project).unwrap_or(file).display().to_string();
    let text =
        std::fs::read_to_string(file).map_err(|error| CliError::Harness(format!("failed to read {shown}: {error}")))?;
    let document: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(|error| CliError::Usage(format!("{shown} is not YAML: {error}")))?;
    let folder = file.parent().and_then(|folder| folder.strip_prefix(project.join("scenarios")).ok());
    let name = folder.map(|folder| folder.display().to_string()).unwrap_or_default();
    let text_of = |value: &serde_json::Value| value["summary"].as_str().unwrap_or_default().to_owned();
    let labels: Vec<String> = document["labels"]
        .as_array()
        .map(|labels| labels.iter().filter_map(|label| label.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let row = |variant: String, summary| Listed {
        variant: VariantId::new(variant),
        summary,
        labels: labels.clone(),
        file: shown.clone(),
    };
    let mut rows = vec![row(name.clone(), text_of(&document))];
    for (break_name, body) in document["breaks"].as_object().into_iter().flatten() {
        rows.push(row(format!("{name}+{break_name}"), text_of(body)));
    }
    Ok(rows)
}
