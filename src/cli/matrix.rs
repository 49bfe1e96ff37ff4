//! Runs the selected variants at each combination of the versions that the user named: one run after the other, each
//! with clusters of its own. The records are joined into the record of one run.

use std::time::{Duration, Instant};

use parallax_vocab::event::{Exit, Failure, RunStarted};
use parallax_vocab::{RunId, VariantId, Versions};

use super::args::{E2e, Versions as Named};
use super::choose::{self, Chosen};
use super::session::{self, Ran, Role};
use super::watcher::Watcher;
use super::wiring::{self, Project};
use super::{CliError, printer};
use parallax_images::Recipes;
use parallax_language::scenario::Span;
use parallax_record::Log;
use parallax_report::Summary;
use parallax_report::versions::{Part, Stopped, joined};

/// Runs the selected variants at the versions that the options name, or else at the defaults.
pub(super) async fn run(project: &Project, recipes: Recipes, mut options: E2e, log: &Log) -> Result<Exit, CliError> {
    let out = session::out_folder(&project.root, &options);
    let names_none = options.common.versions == Named::default() && options.theirs.kubeconfig.is_none();
    if options.selection.failed && names_none {
        let last = choose::versions_of_last(&out)?;
        if !last.are_defaults() {
            printer::word(&format!("--failed: the last run was at {last}, and so is this one"));
            options.common.versions = Named::from(&last);
        }
    }
    let all = combinations(&recipes, &options)?;
    let first = recipes.clone().at(all.first().cloned().unwrap_or_default());
    // All versions run the same variants, so these are chosen once. A later run would change what `--failed` selects.
    let chosen = choose::choose(project, &options.selection, (options.common.k3s, &first), &out).await?;
    wiring::check_host_programs(project, &chosen.selected, options.common.allow_host_programs)?;
    if all.len() > 1 {
        return Box::pin(at_each(project, (recipes, &all), &chosen, options, log)).await;
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
            "{option} with several versions: give each version a run of its own, with one value of each option"
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
    options: E2e,
    log: &Log,
) -> Result<Exit, CliError> {
    let began = Instant::now();
    let watcher = Watcher::start()?;
    let run = wiring::fresh_run_id();
    let directory = session::out_folder(&project.root, &options).join(run.as_str());
    let options = ordered(options, &run);
    let started = started(&run, (&chosen.selected, all), &options, session::shown(&directory));
    let mut parts: Vec<Part> = Vec::new();
    let mut failed = 0;
    let mut stopped = None;
    for (number, versions) in all.iter().enumerate() {
        let limits = (options.max_fail, options.timeout);
        let rest = rest(watcher.token().is_cancelled(), limits, failed, began.elapsed());
        let Ok((max_fail, timeout)) = rest.map_err(|by| stopped = Some(by)) else { break };
        printer::word(&format!("run {} of {}: {versions}", number + 1, all.len()));
        let options = E2e { max_fail, timeout, ..named(options.clone(), versions) };
        let chosen = Chosen { prints: None, ..chosen.clone() };
        let recipes = recipes.clone().at(versions.clone());
        let ran = session::run(project, chosen, recipes, options, log, Role::AtVersions(watcher.clone())).await;
        let place = match &ran {
            // The command line or the project is wrong, and nothing was started.
            Err(error) if parts.is_empty() && error.exit() == Exit::Usage => return ran.map(|ran| ran.exit),
            Err(error) => {
                printer::error(&format!("at {versions}: {error}"));
                String::new()
            }
            Ok(ran) => format!(" ({})", session::shown(&ran.directory)),
        };
        let part = part(versions, ran);
        let totals = Summary::from_events(&part.events).totals();
        printer::word(&format!(
            "{versions}: {} passed, {} failed, {} skipped{place}",
            totals.passed, totals.failed, totals.skipped
        ));
        failed = u32::try_from(totals.failed).unwrap_or(u32::MAX).saturating_add(failed);
        parts.push(part);
    }
    if watcher.token().is_cancelled() {
        stopped = Some(Stopped::Interrupted);
    }
    let events = joined(started, &parts, stopped.as_ref());
    let unwritten = parallax_record::write(&directory, &events).err().map(|error| error.to_string());
    match &unwritten {
        None => parallax_record::point_latest(&directory),
        Some(error) => printer::error(error),
    }
    let files = [directory.join("junit.xml"), directory.join("report.html")];
    let (exit, written) = session::publish(Summary::from_events(&events), unwritten, &files[0], &files[1]);
    session::worse(exit, written)
}

/// Returns the options with one seed for all versions, if the order is random. So all versions have the same order.
fn ordered(mut options: E2e, run: &RunId) -> E2e {
    options.shuffle = options.shuffle.map(|given| given.or_else(|| Some(session::seed_of(run))));
    options
}

/// Returns the first event of the joint record. Its command that runs a variant again names no versions, because the id
/// of a variant names them there.
fn started(run: &RunId, (selected, all): (&[VariantId], &[Versions]), options: &E2e, directory: String) -> RunStarted {
    let defaults = Versions::default();
    let started = session::started(run, (selected, None), &named(options.clone(), &defaults), &defaults);
    RunStarted { directory, versions: all.to_vec(), seed: options.shuffle.flatten(), ..started }
}

/// Returns what a run at these versions adds to the joint record. An error of the run is a failure of its part, so that
/// the verdicts of the other parts stay.
fn part(versions: &Versions, ran: Result<Ran, CliError>) -> Part {
    let (events, what) = match ran {
        Ok(ran) => {
            let is_told = Summary::from_events(&ran.events).exit() == ran.exit;
            (ran.events, (!is_told).then(|| "its record or its reports could not be written".to_owned()))
        }
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let failure = what.map(|what| Failure { what, fix: None, evidence: Vec::new() });
    Part { versions: versions.clone(), events, failure }
}

/// Returns what the limits of the whole run (`--max-fail` and `--timeout`) leave for the next run, after `failed` variants
/// failed. The error is the reason why no further run begins.
fn rest(
    is_interrupted: bool,
    (max_fail, timeout): (Option<u32>, Option<Span>),
    failed: u32,
    elapsed: Duration,
) -> Result<(Option<u32>, Option<Span>), Stopped> {
    if is_interrupted {
        return Err(Stopped::Interrupted);
    }
    let max_fail = match max_fail {
        Some(limit) if failed >= limit => {
            let reason = format!("not begun, because enough variants had failed (--max-fail {limit})");
            return Err(Stopped::Enough(reason));
        }
        limit => limit.map(|limit| limit - failed),
    };
    // A run that has no time left stops at once, and says why its variants have no verdict.
    let left = |limit: Span| limit.to_duration().saturating_sub(elapsed).max(Duration::from_millis(1));
    Ok((max_fail, timeout.map(|limit| Span::milliseconds(parallax_vocab::millis(left(limit))))))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use parallax_vocab::System;
    use serde_json::json;

    use super::super::args::{Cli, Command};
    use super::*;

    #[test]
    fn the_limits_of_the_whole_run_hold_for_all_its_versions() {
        let span = |text: &str| text.parse::<Span>().expect("a span");
        let at = Duration::from_secs;
        assert_eq!(rest(false, (None, None), 7, at(9)), Ok((None, None)));
        assert_eq!(rest(false, (Some(3), Some(span("30s"))), 2, at(20)), Ok((Some(1), Some(span("10s")))));
        let reason = "not begun, because enough variants had failed (--max-fail 3)".to_owned();
        assert_eq!(rest(false, (Some(3), None), 3, at(0)), Err(Stopped::Enough(reason)));
        assert_eq!(rest(false, (None, Some(span("30s"))), 0, at(31)), Ok((None, Some(span("1ms")))));
        assert_eq!(rest(true, (Some(3), None), 0, at(0)), Err(Stopped::Interrupted), "after Ctrl-C");
    }

    #[test]
    fn the_joint_record_has_the_seed_of_all_its_parts_and_names_no_version_in_its_command() {
        for (given, expected) in [("--jobs=2", None), ("--shuffle=3", Some(3)), ("--shuffle", Some(0xa5))] {
            let line = ["parallax", "e2e", "--k8s", "1.33,1.34", "--seed", "7", given];
            let Command::E2e(options) = Cli::try_parse_from(line).expect("a command line").command else {
                unreachable!("the line is of e2e")
            };
            let run = RunId::new("ra5");
            let options = ordered(options, &run);
            assert_eq!(options.shuffle.flatten(), expected, "{given}");
            let all = ["1.33.13", "1.34.4"].map(|it| Versions::default().with(System::K8s, it));
            let started = started(&run, (&["a".into()], &all), &options, "d".to_owned());
            assert_eq!((started.seed, started.again.join(" ").as_str()), (expected, "--seed 7"), "{given}");
            assert_eq!((started.versions.len(), started.variants.len()), (2, 1));
        }
    }

    #[test]
    fn an_error_of_a_run_is_a_failure_of_its_part() {
        let what = |ran| part(&Versions::default(), ran).failure.map(|failure| failure.what);
        assert_eq!(what(Err(CliError::Harness("no disk".to_owned()))).as_deref(), Some("no disk"));
        let ended = json!({ "at_ms": 1, "event": { "run-ended": {
            "exit": "as-expected", "passed": 1, "failed": 0, "skipped": 0, "unproven": [], "took_ms": 1 } } });
        let events = vec![serde_json::from_value(ended).expect("an event")];
        let ran = |exit| Ran { exit, directory: "d".into(), events: events.clone() };
        assert_eq!(what(Ok(ran(Exit::AsExpected))), None);
        assert!(what(Ok(ran(Exit::Harness))).is_some_and(|what| what.contains("could not be written")));
    }
}
