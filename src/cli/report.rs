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

/// Prints the summary of a record, and writes the HTML page and the JUnit report of the record. With `--tables`,
/// prints only the tables in the record.
pub(super) fn again(project: Option<&Path>, args: &Report) -> Result<Exit, CliError> {
    let record = args.record.clone().unwrap_or_else(|| latest(project));
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
