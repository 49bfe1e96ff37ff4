//! `parallax explain`: explains why steps failed, from a record alone, or what a presigned URL contains.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::CliError;
use super::args::Explain;
use super::report::latest;
use parallax_explain as room;
use parallax_language::scenario::diagnostic::nearest;
use parallax_report::{Summary, explanation};

/// The explanation as text.
pub(super) fn explain(project: Option<&Path>, args: &Explain) -> Result<String, CliError> {
    match &args.what {
        Some(what) if what.contains("://") || what.contains("X-Amz-") => url(what),
        what => of_record(&what.as_ref().map_or_else(|| latest(project), PathBuf::from), args.only.as_deref()),
    }
}

fn of_record(path: &Path, only: Option<&str>) -> Result<String, CliError> {
    let summary = Summary::from_events(&parallax_record::read(path)?);
    explanation::explanation(&summary, only).ok_or_else(|| {
        let only = only.unwrap_or_default();
        let names = explanation::names(&summary);
        let hint = nearest(only, names.iter().map(String::as_str)).map(|it| format!("; did you mean `{it}`?"));
        let hint = hint.unwrap_or_default();
        CliError::Usage(format!("the record holds no scenario, variant or step `{only}`{hint}"))
    })
}

fn url(url: &str) -> Result<String, CliError> {
    let lines = room::dissect(url, time::OffsetDateTime::now_utc()).map_err(CliError::Usage)?;
    Ok(lines.iter().fold(String::new(), |mut text, (label, what)| {
        let _ = writeln!(text, "{label:<10} {what}");
        text
    }))
}
