//! `parallax merge` makes one report from the records of all shards of a run.

use std::path::Path;

use parallax_vocab::event::Exit;

use super::args::Merge;
use super::report::named;
use super::{CliError, session, wiring};
use crate::bucket::Place;
use parallax_report::{Summary, merge};

/// Joins the records of the shards, writes the joint record and its reports, and prints the summary. The exit code is
/// the one that a single run of all variants would have.
pub(super) async fn merge(project: Option<&Path>, args: &Merge) -> Result<Exit, CliError> {
    if args.out.join(parallax_record::RECORD_FILE).exists() {
        let out = args.out.display();
        return Err(CliError::Usage(format!("{out} holds a record already; --out names a new folder")));
    }
    let mut records = Vec::new();
    for path in &args.records {
        match path.to_str().filter(|text| Place::is_meant(text)) {
            Some(text) => {
                let place = text.parse().map_err(|error| CliError::Usage(format!("{text}: {error}")))?;
                records.extend(wiring::records(place).await?);
            }
            None => records.push((path.display().to_string(), parallax_record::read(&named(project, path))?)),
        }
    }
    let events = merge::merged(&records, wiring::fresh_run_id(), session::shown(&args.out));
    let events = events.map_err(|error| CliError::Usage(error.to_string()))?;
    parallax_record::write(&args.out, &events)?;
    let summary = Summary::from_events(&events);
    let (exit, written) = session::publish(summary, None, &args.out.join("junit.xml"), &args.out.join("report.html"));
    written.map(|()| exit)
}
