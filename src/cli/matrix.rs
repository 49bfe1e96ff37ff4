//! Runs the selected variants at each combination of the versions that the user named: one run after the other, each
//! with clusters of its own. The records are joined into the record of one run.

use std::time::{Duration, Instant};

use parallax_vocab::Versions;
use parallax_vocab::event::Exit;

use super::args::{E2e, Versions as Named};
use super::choose::{self, Chosen};
use super::session::{self, Role};
use super::wiring::{self, Project};
use super::{CliError, printer};
use parallax_images::Recipes;
use parallax_language::scenario::Span;
use parallax_record::Log;
use parallax_report::Summary;
use parallax_report::versions::{Part, joined};

/// Runs the selected variants at the versions that the options name, or else at the defaults.
pub(super) async fn run(project: &Project, recipes: Recipes, options: E2e, log: &Log) -> Result<Exit, CliError> {
    let all = combinations(&recipes, &options)?;
    let first = recipes.clone().at(all.first().cloned().unwrap_or_default());
    let out = session::out_folder(&project.root, &options);
    // All versions run the same variants, so these are chosen once. A later run would change what `--failed` selects.
    let chosen = choose::choose(project, &options.selection, (options.common.k3s, &first), &out).await?;
    wiring::check_host_programs(project, &chosen.selected, options.common.allow_host_programs)?;
    if all.len() > 1 {
        return at_each(project, (recipes, &all), &chosen, &options, log).await;
    }
    let options = named(options, first.versions());
    Ok(session::run(project, chosen, first, options, log, Role::Whole).await?.exit)
}

/// Returns the combinations of versions, each with the whole names of its versions. Fails if there is no such version.
fn combinations(recipes: &Recipes, options: &E2e) -> Result<Vec<Versions>, CliError> {
    let mut all: Vec<Versions> = Vec::new();
    for wanted in options.common.versions.combinations() {
        let versions = wiring::at(recipes.clone(), &wanted)?.versions().clone();
        if all.contains(&versions) {
            return Err(CliError::Usage(format!("{versions} is named twice; each version runs once")));
        }
        all.push(versions);
    }
    let alone = [("--shard", options.selection.shard.is_some()), ("--upload", options.upload.is_some())];
    if let Some((option, _)) = alone.into_iter().find(|(_, given)| *given && all.len() > 1) {
        return Err(CliError::Usage(format!(
            "{option} with several versions: give each version a run of its own, with one value of --k8s and --minio"
        )));
    }
    Ok(all)
}

/// Returns the options with whole names of versions, so that the report names exactly what ran.
fn named(mut options: E2e, versions: &Versions) -> E2e {
    options.common.versions = Named::from(versions);
    options
}

/// Runs the chosen variants at each combination of versions, and reports them as one run.
async fn at_each(
    project: &Project,
    (recipes, all): (Recipes, &[Versions]),
    chosen: &Chosen,
    options: &E2e,
    log: &Log,
) -> Result<Exit, CliError> {
    let began = Instant::now();
    let mut parts: Vec<Part> = Vec::new();
    let mut failed = 0;
    let mut enough = None;
    for (number, versions) in all.iter().enumerate() {
        let rest = rest(options.max_fail, options.timeout, failed, began.elapsed());
        let Ok((max_fail, timeout)) = rest.map_err(|reason| enough = Some(reason)) else { break };
        printer::word(&format!("run {} of {}: {versions}", number + 1, all.len()));
        let options = E2e { max_fail, timeout, ..named(options.clone(), versions) };
        let chosen = Chosen { prints: None, ..chosen.clone() };
        let recipes = recipes.clone().at(versions.clone());
        let ran = session::run(project, chosen, recipes, options, log, Role::AtVersions).await?;
        let events = parallax_record::read(&ran.directory)?;
        let totals = Summary::from_events(&events).totals();
        printer::word(&format!(
            "{versions}: {} passed, {} failed, {} skipped ({})",
            totals.passed,
            totals.failed,
            totals.skipped,
            session::shown(&ran.directory)
        ));
        failed = u32::try_from(totals.failed).unwrap_or(u32::MAX).saturating_add(failed);
        parts.push(Part { versions: versions.clone(), events });
        if ran.exit == Exit::Interrupted {
            break;
        }
    }
    let run = wiring::fresh_run_id();
    let directory = session::out_folder(&project.root, options).join(run.as_str());
    let events = joined(&parts, all, (run, session::shown(&directory)), enough.as_deref());
    parallax_record::write(&directory, &events)?;
    parallax_record::point_latest(&directory);
    let files = [directory.join("junit.xml"), directory.join("report.html")];
    let (exit, written) = session::publish(Summary::from_events(&events), None, &files[0], &files[1]);
    session::worse(exit, written)
}

/// Returns what the limits of the whole run (`--max-fail` and `--timeout`) leave for the next run, after `failed` variants
/// failed. The error is the reason why no further run begins.
fn rest(
    max_fail: Option<u32>,
    timeout: Option<Span>,
    failed: u32,
    elapsed: Duration,
) -> Result<(Option<u32>, Option<Span>), String> {
    let max_fail = match max_fail {
        Some(limit) if failed >= limit => {
            return Err(format!("not begun, because enough variants had failed (--max-fail {limit})"));
        }
        limit => limit.map(|limit| limit - failed),
    };
    // A run that has no time left stops at once, and says why its variants have no verdict.
    let left = |limit: Span| limit.to_duration().saturating_sub(elapsed).max(Duration::from_millis(1));
    Ok((max_fail, timeout.map(|limit| Span::milliseconds(parallax_vocab::millis(left(limit))))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_whole_run_hold_for_all_its_versions() {
        let span = |text: &str| text.parse::<Span>().expect("a span");
        let at = Duration::from_secs;
        assert_eq!(rest(None, None, 7, at(9)), Ok((None, None)));
        assert_eq!(rest(Some(3), Some(span("30s")), 2, at(20)), Ok((Some(1), Some(span("10s")))));
        let none = rest(Some(3), None, 3, at(0)).expect_err("enough failed");
        assert_eq!(none, "not begun, because enough variants had failed (--max-fail 3)");
        assert_eq!(rest(None, Some(span("30s")), 0, at(31)), Ok((None, Some(span("1ms")))));
    }
}
