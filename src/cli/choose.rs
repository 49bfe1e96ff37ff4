//! Chooses the variants of a run from the options. Some options need the record of earlier runs.

use std::collections::BTreeSet;
use std::path::Path;

use parallax_vocab::event::Outcome;
use parallax_vocab::{VariantId, Versions};

use super::CliError;
use super::args::{Breaks, K3s, Selection, Shard};
use super::filter::{Query, Without};
use super::wiring::{self, Past, Prints, Project};
use parallax_images::Recipes;
use parallax_report::Summary;

/// The variants that were chosen for a run.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The chosen variants, in the order in which `parallax list` prints them.
    pub(super) selected: Vec<VariantId>,
    /// A sentence about the breaks that were left out because there is evidence that nothing has changed for them.
    /// `None` without `--breaks changed`.
    pub(super) left_out: Option<String>,
    /// The digests of the scenarios and of what they use. `None` without `--breaks changed`, because only this option
    /// needs the digests.
    pub(super) prints: Option<Prints>,
    /// The shard that this run executes, and the variants of all shards together. `None` without `--shard`.
    pub(super) part_of: Option<(Shard, Vec<VariantId>)>,
}

/// Chooses the variants that the options select. `out` is the folder that contains the folders of runs. The record of
/// the last run is read from there if an option needs it.
pub(super) async fn choose(
    project: &Project,
    selection: &Selection,
    (k3s, recipes): (K3s, &Recipes),
    out: &Path,
) -> Result<Chosen, CliError> {
    let mut query = Query {
        filters: selection.filters.clone(),
        labels: selection.labels.clone(),
        stores: selection.stores.clone(),
        only_breaks: selection.only_breaks.clone(),
        without: Without::Nothing,
        red: if selection.failed { Some(red(out)?) } else { None },
    };
    let mut left_out = None;
    let mut prints = None;
    match selection.breaks {
        Breaks::All => {}
        Breaks::None => query.without = Without::AllBreaks,
        // The evidence is about the defaults: neither an earlier run nor git tells how a break behaves at other versions.
        Breaks::Changed if !recipes.versions().are_defaults() => {
            left_out = Some(
                "--breaks changed: every break is run, because what is known is about the default versions".to_owned(),
            );
        }
        Breaks::Changed => {
            // A break counts as left out by `--breaks changed` only if the other options select it.
            let asked: BTreeSet<VariantId> = project.select(&query)?.into_iter().collect();
            let known = wiring::prints(project, recipes, k3s).await?;
            let mut unchanged = wiring::unchanged(project, &known, &Past::of(&project.root));
            unchanged.since_run.retain(|variant, _| asked.contains(variant));
            unchanged.since_main.retain(|variant| asked.contains(variant));
            left_out = Some(unchanged.words());
            query.without = Without::These(unchanged.all());
            prints = Some(known);
        }
    }
    let all = project.select(&query)?;
    let Some(shard) = selection.shard else {
        return Ok(Chosen { selected: all, left_out, prints, part_of: None });
    };
    if selection.breaks == Breaks::Changed {
        return Err(CliError::Usage(
            "--shard with --breaks changed: each machine knows other earlier runs, so they would not divide alike"
                .to_owned(),
        ));
    }
    let part = wiring::part(project, &all, shard)?;
    let selected = all.iter().filter(|id| part.contains(*id)).cloned().collect();
    Ok(Chosen { selected, left_out, prints, part_of: Some((shard, all)) })
}

/// Returns the versions of the last run, so that `--failed` runs at these again. Fails if that run was at several
/// combinations of versions.
pub(super) fn versions_of_last(out: &Path) -> Result<Versions, CliError> {
    versions_of(&Summary::from_events(&parallax_record::read(&out.join("latest"))?))
}

fn versions_of(summary: &Summary) -> Result<Versions, CliError> {
    match summary.run.as_ref().map_or(&[][..], |run| run.versions.as_slice()) {
        [] => Ok(Versions::default()),
        [one] => Ok(one.clone()),
        [first, ..] => Err(CliError::Usage(format!(
            "--failed: the last run was at several versions; name those of this run, for example `{}`",
            first.arguments().join(" ")
        ))),
    }
}

/// Returns the variants that were red in the last run: they failed, ended with an error, or did not run.
fn red(out: &Path) -> Result<BTreeSet<VariantId>, CliError> {
    Ok(red_of(&Summary::from_events(&parallax_record::read(&out.join("latest"))?)))
}

/// Returns the variants of a run that were red. Skipped variants count as red if the run failed because variants were
/// skipped.
fn red_of(summary: &Summary) -> BTreeSet<VariantId> {
    let skips_are_red = summary.only_skips();
    let green = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::AsExpected) => true,
        Some(Outcome::Skipped { .. }) => !skips_are_red,
        _ => false,
    };
    let red = summary.variants().filter(|variant| !green(&variant.outcome));
    red.map(|variant| variant.id.without_versions()).collect()
}

#[cfg(test)]
mod tests {
    use parallax_vocab::System;

    use super::*;

    /// Creates a project with one scenario, in a git repository whose branch differs from main in nothing.
    fn as_on_main() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("scenarios/a");
        std::fs::create_dir_all(&folder).expect("made");
        let text = "name: a\nsummary: A namespace is there\nflow:\n  - { id: there, resource: { api-version: v1, kind: Namespace, \
            name: default }, expect: { object: { kind: Namespace } } }\nbreaks:\n  another:\n    change: { flow: { there: { \
            resource: { name: another } } } }\n    fails: { there: { resource: it does not exist } }\n";
        std::fs::write(folder.join("scenario.yaml"), text).expect("written");
        for line in ["init -q -b main", "add .", "commit -q -m one", "checkout -q -b work"] {
            let names = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
            let mut git = std::process::Command::new("git");
            assert!(git.arg("-C").arg(dir.path()).args(names).args(line.split(' ')).status().expect("git").success());
        }
        dir
    }

    #[tokio::test]
    async fn at_other_versions_than_the_defaults_no_break_is_left_out() {
        let dir = as_on_main();
        let project = Project::load(dir.path()).expect("in order");
        let selection = Selection { breaks: Breaks::Changed, ..Selection::default() };
        let recipes = Recipes::shipped().at(Versions::default().with(System::K8s, "1.33.13"));
        let chosen = choose(&project, &selection, (K3s::Auto, &recipes), dir.path()).await.expect("chosen");
        let seen: Vec<&str> = chosen.selected.iter().map(VariantId::as_str).collect();
        assert_eq!(seen, ["a", "a+another"]);
        assert!(chosen.left_out.is_some_and(|it| it.contains("every break is run")));
    }

    #[test]
    fn what_failed_runs_again_at_the_versions_of_the_last_run() {
        let last = |versions: serde_json::Value| {
            let started = serde_json::json!({ "at_ms": 0, "event": { "run-started": { "format": 1, "run": "r1",
                "parallax": "0.1.0", "started": "2026-11-22T15:00:00Z", "filters": [], "variants": [], "directory": "x",
                "versions": versions } } });
            versions_of(&Summary::from_events(&[serde_json::from_value(started).expect("an event")]))
        };
        let k8s = serde_json::json!({ "k8s": "1.33.13" });
        assert!(last(serde_json::json!([])).is_ok_and(|it| it.are_defaults()));
        assert_eq!(last(serde_json::json!([k8s])).expect("one").to_string(), "k8s 1.33.13");
        let several = last(serde_json::json!([k8s, { "k8s": "1.34.4" }])).expect_err("several");
        assert_eq!(several.exit(), parallax_vocab::event::Exit::Usage);
        assert!(several.to_string().contains("for example `--k8s 1.33.13`"), "{several}");
    }

    #[test]
    fn a_variant_that_was_red_at_one_of_several_versions_is_red() {
        let event = |json: serde_json::Value| serde_json::from_value(json).expect("an event");
        let failed = serde_json::json!({ "not-as-expected": { "problems": [] } });
        let ended = |variant: &str| {
            event(serde_json::json!({ "at_ms": 1, "event": { "variant-ended": {
                "variant": variant, "outcome": failed, "took_ms": 1 } } }))
        };
        let red = red_of(&Summary::from_events(&[ended("a@k8s-1.33.13+b"), ended("a@k8s-1.35.4+b")]));
        assert_eq!(red.iter().map(VariantId::as_str).collect::<Vec<_>>(), ["a+b"]);
    }

    #[test]
    fn skips_are_red_where_the_run_failed_because_of_them() {
        let event = |json: serde_json::Value| serde_json::from_value(json).expect("an event");
        let ended = |variant: &str, outcome: serde_json::Value| {
            event(serde_json::json!({ "at_ms": 1, "event": { "variant-ended": {
                "variant": variant, "outcome": outcome, "took_ms": 1 } } }))
        };
        let skipped = || ended("a", serde_json::json!({ "skipped": { "reason": "no image" } }));
        let red = |events: &[parallax_vocab::Event]| {
            let red = red_of(&Summary::from_events(events));
            red.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(red(&[skipped()]), ["a"]);
        assert_eq!(red(&[skipped(), ended("b", "as-expected".into())]), Vec::<String>::new());
        let failed = serde_json::json!({ "not-as-expected": { "problems": [] } });
        assert_eq!(red(&[skipped(), ended("b", failed)]), ["b"]);
    }
}
