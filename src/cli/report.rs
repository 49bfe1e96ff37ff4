//! `parallax report` writes the reports of a recorded run again.

use std::path::{Path, PathBuf};

use parallax_vocab::event::Exit;
use parallax_vocab::inert;

use super::args::Report;
use super::{CliError, printer, session};
use parallax_report::{Summary, Table};

/// Returns the folder of the last run: the link `target/e2e/latest` in the project.
pub(super) fn latest(project: Option<&Path>) -> PathBuf {
    project.unwrap_or(Path::new(".")).join("target").join("e2e").join("latest")
}

/// Returns the path of a record that a user named: a path, or the id of a run of the project (`r1a2b3c4d`).
pub(super) fn named(project: Option<&Path>, given: &Path) -> PathBuf {
    let of_run = latest(project).with_file_name(given);
    if !given.exists() && given.components().count() == 1 && of_run.is_dir() { of_run } else { given.to_owned() }
}

/// Prints the summary of a record, and writes the HTML page and the JUnit report of the record. With `--tables`,
/// prints only the tables in the record.
pub(super) fn again(project: Option<&Path>, args: &Report) -> Result<Exit, CliError> {
    let record = args.record.as_deref().map_or_else(|| latest(project), |given| named(project, given));
    let events = parallax_record::read(&record)?;
    if args.tables {
        let summary = Summary::from_events(&events);
        let tables = summary.tables().iter().map(Table::markdown).collect::<Vec<_>>().join("\n");
        printer::data(&inert(&tables));
        return Ok(Exit::AsExpected);
    }
    let folder = if record.is_dir() { record.as_path() } else { record.parent().unwrap_or(Path::new(".")) };
    let junit = args.junit.clone().unwrap_or_else(|| folder.join("junit.xml"));
    let (_, written) = session::publish(Summary::from_events(&events), None, &junit, &folder.join("report.html"));
    written.map(|()| Exit::AsExpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_path_or_by_the_id_of_its_run() {
        let project = tempfile::tempdir().expect("a folder");
        let run = project.path().join("target/e2e/r1a2b3c4d");
        std::fs::create_dir_all(&run).expect("a run");
        let named = |given: &str| named(Some(project.path()), Path::new(given));
        assert_eq!(named("r1a2b3c4d"), run);
        assert_eq!(named("r0000000"), Path::new("r0000000"));
        assert_eq!(named("elsewhere/r1a2b3c4d"), Path::new("elsewhere/r1a2b3c4d"));
        assert_eq!(named(run.to_str().expect("text")), run);
    }
}
