//! Joins the records of the same variants at several versions into the record of one run, and makes the table of verdicts
//! by version from it.

use std::collections::BTreeSet;

use parallax_vocab::event::{Exit, Failure, Outcome, Proof, RunEnded, RunStarted, VariantEnded};
use parallax_vocab::{Event, EventKind, VariantId, Versions};

use super::summary::{Summary, Variant};
use super::terminal::{Paint, verdict_of};

/// The table of verdicts: a row for each variant, a column for each combination of versions.
#[derive(Clone, Debug)]
pub struct ByVersion<'a> {
    /// The combinations of versions, in the order of the run.
    pub columns: &'a [Versions],
    /// The id of each variant without versions, and the variant at each combination. `None` if the run does not have it
    /// there.
    pub rows: Vec<(VariantId, Vec<Option<&'a Variant>>)>,
}

impl Summary {
    /// Returns the table of verdicts by version; `None` if the run has its variants at one version only.
    pub fn by_version(&self) -> Option<ByVersion<'_>> {
        let columns = self.run.as_ref().map(|run| run.versions.as_slice()).filter(|it| it.len() > 1)?;
        let mut rows: Vec<(VariantId, Vec<Option<&Variant>>)> = Vec::new();
        for variant in self.variants() {
            let versions = variant.id.versions();
            let at = versions.and_then(|versions| columns.iter().position(|column| *column == versions));
            let Some(at) = at else { continue };
            let id = variant.id.without_versions();
            let row = rows.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
                rows.push((id, vec![None; columns.len()]));
                rows.len() - 1
            });
            rows[row].1[at] = Some(variant);
        }
        Some(ByVersion { columns, rows })
    }
}

/// Returns the verdict on a variant for the table of verdicts by version. `None` is a variant that the run does not have.
pub(super) fn verdict_at(variant: Option<&Variant>, interrupted: bool) -> (&'static str, Paint) {
    variant.map_or(("not run", Paint::Odd), |variant| verdict_of(variant, interrupted))
}

/// The record of one combination of versions.
#[derive(Clone, Debug)]
pub struct Part {
    /// The versions at which the variants ran.
    pub versions: Versions,
    /// The events of the run. The list is empty if the run could not begin.
    pub events: Vec<Event>,
    /// The reason why the run failed, where its events do not say so. For example, it could not begin, or its reports
    /// could not be written.
    pub failure: Option<Failure>,
}

/// The reason why combinations of versions have no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The user interrupted the run.
    Interrupted,
    /// No further variant was to begin. The text is the reason.
    Enough(String),
}

impl Part {
    fn started(&self) -> Option<&RunStarted> {
        self.events.iter().find_map(|event| match &event.event {
            EventKind::RunStarted(started) => Some(started),
            _ => None,
        })
    }

    fn ended(&self) -> Option<&RunEnded> {
        self.events.iter().rev().find_map(|event| match &event.event {
            EventKind::RunEnded(ended) => Some(ended),
            _ => None,
        })
    }

    fn last_ms(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at_ms)
    }

    /// Converts an event of the part into an event of the joint record: later by `offset_ms`, and with the versions in
    /// each name that other parts have, too. Returns `None` for an event that the joint record contains only once.
    fn moved(&self, event: &Event, offset_ms: u64) -> Option<Event> {
        let mut event = event.clone();
        event.at_ms = event.at_ms.saturating_add(offset_ms);
        let versions = &self.versions;
        match &mut event.event {
            EventKind::RunStarted(_) | EventKind::CleanedUp { .. } | EventKind::RunEnded(_) => return None,
            EventKind::Note { text } | EventKind::Warning { text } => *text = format!("{versions}: {text}"),
            EventKind::SetupStarted { id, title } => {
                *id = named(id, versions);
                *title = format!("{title} at {versions}");
            }
            EventKind::SetupProgress { id, .. } | EventKind::SetupEnded { id, .. } => *id = named(id, versions),
            EventKind::VariantStarted(started) => {
                started.variant = started.variant.at(versions);
                started.cluster = format!("{}:{}", versions.id(), started.cluster);
            }
            EventKind::StepStarted { variant, .. } => *variant = variant.at(versions),
            EventKind::StepEnded(step) => step.variant = step.variant.at(versions),
            EventKind::VariantEnded(ended) => ended.variant = ended.variant.at(versions),
        }
        Some(event)
    }

    /// The matchers of the part as the joint record names them: each begins with the id of its scenario.
    fn matchers<'a>(&'a self, of: impl Fn(&'a RunEnded) -> &'a Vec<String>) -> impl Iterator<Item = String> + 'a {
        let all = self.ended().map(of).into_iter().flatten();
        all.map(|matcher| match matcher.split_once(": ") {
            Some((scenario, rest)) => format!("{}: {rest}", VariantId::from(scenario).at(&self.versions)),
            None => matcher.clone(),
        })
    }

    /// The reason why the part as a whole failed; `None` if it did not fail. A part that only skips failed: at its
    /// versions, nothing was tested.
    fn failure(&self) -> Option<Failure> {
        let of_record = match self.ended() {
            None => Some(plain("the run did not end in order")),
            Some(ended) if ended.failure.is_some() => ended.failure.clone(),
            Some(_) => Summary::from_events(&self.events).only_skips().then(|| Failure {
                fix: Some("read why, or accept it with `--allow-skips`".to_owned()),
                ..plain("every variant was skipped, so nothing was tested")
            }),
        };
        let failure = self.failure.clone().or(of_record)?;
        Some(Failure { what: format!("at {}: {}", self.versions, failure.what), ..failure })
    }
}

fn plain(what: &str) -> Failure {
    Failure { what: what.to_owned(), fix: None, evidence: Vec::new() }
}

/// The reason why the run as a whole failed: the failure of the first part that failed. Its evidence names the failures
/// of further parts.
fn failure(parts: &[Part]) -> Option<Failure> {
    let mut failures = parts.iter().filter_map(Part::failure);
    let mut first = failures.next()?;
    first.evidence.extend(failures.map(|failure| failure.what));
    Some(first)
}

/// Adds the versions to the id of a set-up step: `cluster/c1` becomes `cluster/k8s-1.33.13:c1`.
fn named(id: &str, versions: &Versions) -> String {
    let versions = versions.id();
    match id.split_once('/') {
        Some((kind, name)) => format!("{kind}/{versions}:{name}"),
        None => format!("{id}/{versions}"),
    }
}

/// Joins the records of the same variants at several versions into the record of one run. The parts ran one after the
/// other. `started` is the first event of the joint record. It has the ids of the variants without versions, and all
/// combinations that the user asked for. If a combination has no part, its variants have no verdict; `stopped` is the
/// reason.
pub fn joined(started: RunStarted, parts: &[Part], stopped: Option<&Stopped>) -> Vec<Event> {
    let at = |versions: &Versions| started.variants.iter().map(|it| it.at(versions)).collect::<Vec<_>>();
    let variants = started.versions.iter().flat_map(at).collect();
    let without = started.versions.iter().filter(|versions| parts.iter().all(|part| part.versions != **versions));
    let without: Vec<VariantId> = without.flat_map(at).collect();
    let started = RunStarted { variants, ..started };
    let runs: Vec<String> =
        parts.iter().filter_map(|part| Some(format!("{} ({})", part.started()?.run, part.versions))).collect();
    let note = EventKind::Note { text: format!("joined from the runs {}", runs.join(", ")) };
    let mut events = vec![Event { at_ms: 0, event: EventKind::RunStarted(started) }, Event { at_ms: 0, event: note }];
    let mut offset_ms: u64 = 0;
    for part in parts {
        events.extend(part.events.iter().filter_map(|event| part.moved(event, offset_ms)));
        offset_ms = offset_ms.saturating_add(part.last_ms());
    }
    if let Some(Stopped::Enough(reason)) = stopped {
        events.extend(without.iter().cloned().map(|variant| {
            let outcome = Outcome::NotBegun { reason: reason.clone() };
            let ended = VariantEnded { variant, outcome, took_ms: 0 };
            Event { at_ms: offset_ms, event: EventKind::VariantEnded(ended) }
        }));
    }
    events.push(Event { at_ms: offset_ms, event: cleaned_up(parts) });
    let matchers = |of: fn(&RunEnded) -> &Vec<String>| -> Vec<String> {
        let all: BTreeSet<String> = parts.iter().flat_map(|part| part.matchers(of)).collect();
        all.into_iter().collect()
    };
    let proof =
        Proof { none: matchers(|ended| &ended.unproven), by_altered: matchers(|ended| &ended.proven_by_altered) };
    let interrupted = stopped == Some(&Stopped::Interrupted)
        || parts.iter().filter_map(Part::ended).any(|ended| ended.exit == Exit::Interrupted);
    let summary = Summary::from_events(&events);
    let ending = |failure| summary.ending(proof.clone(), failure, interrupted, offset_ms);
    let mut ended = ending(failure(parts));
    if let Some(Stopped::Enough(reason)) = stopped
        && ended.exit == Exit::AsExpected
        && !without.is_empty()
    {
        // The variants that have a verdict are as declared, but others have none.
        ended = ending(Some(plain(reason)));
    }
    events.push(Event { at_ms: offset_ms, event: EventKind::RunEnded(ended) });
    events
}

fn cleaned_up(parts: &[Part]) -> EventKind {
    let (mut all, mut anywhere_else, mut left, mut total_ms) = (0, false, Vec::new(), 0u64);
    for part in parts {
        for event in &part.events {
            let EventKind::CleanedUp { removed, elsewhere, remaining, took_ms } = &event.event else { continue };
            all += removed;
            anywhere_else |= elsewhere;
            left.extend(remaining.iter().map(|it| format!("{}: {it}", part.versions)));
            total_ms = total_ms.saturating_add(*took_ms);
        }
    }
    EventKind::CleanedUp { removed: all, elsewhere: anywhere_else, remaining: left, took_ms: total_ms }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::event::RECORD_FORMAT;
    use parallax_vocab::{RunId, System};
    use serde_json::json;

    use super::*;
    use crate::terminal::{Style, render};
    use crate::{github, junit, page};

    fn event(at_ms: u64, event: serde_json::Value) -> Event {
        Event { at_ms, event: serde_json::from_value(event).expect("an event") }
    }

    fn k8s(version: &str) -> Versions {
        Versions::default().with(System::K8s, version)
    }

    /// Makes the record of a run of two variants at one version. `last` is the outcome of the second variant.
    fn part(version: &str, last: &Outcome) -> Part {
        let versions = k8s(version);
        let variants = ["a/one", "a/one+broken"];
        let started = json!({
            "format": RECORD_FORMAT, "run": format!("r{version}"), "parallax": "0.1.0", "started": "2026-11-22T15:00:00Z",
            "filters": [], "variants": variants, "directory": "x",
            "again": ["--k3s", "built", "--k8s", version, "--seed", "7"], "versions": [{ "k8s": version }],
        });
        let mut events = vec![
            event(0, json!({ "run-started": started })),
            event(5, json!({ "setup-started": { "id": "cluster/c1", "title": "cluster c1" } })),
            event(900, json!({ "setup-ended": { "id": "cluster/c1", "took_ms": 895, "detail": "ready" } })),
        ];
        for (variant, outcome) in variants.iter().zip([&Outcome::AsExpected, last]) {
            let started = json!({ "variant-started": { "variant": variant, "summary": "s", "cluster": "c1",
                "namespace": "n", "hosts": {}, "file": "scenarios/a/one/scenario.yaml" } });
            events.push(event(950, started));
            let ended = json!({ "variant-ended": { "variant": variant, "outcome": outcome, "took_ms": 50 } });
            events.push(event(1_000, ended));
        }
        events.push(event(1_500, json!({ "cleaned-up": { "removed": 3, "remaining": [], "took_ms": 100 } })));
        let proof = Proof { none: vec!["a/one: put.status".to_owned()], by_altered: Vec::new() };
        let ended = Summary::from_events(&events).ending(proof, None, *last == Outcome::Interrupted, 1_600);
        events.push(Event { at_ms: 1_600, event: EventKind::RunEnded(ended) });
        Part { versions, events, failure: None }
    }

    /// Makes the first event of the joint record.
    fn whole(all: &[Versions]) -> RunStarted {
        let part = part("1.33.13", &Outcome::AsExpected);
        let started = part.started().expect("it began").clone();
        let again = ["--k3s", "built", "--seed", "7"].map(str::to_owned).to_vec();
        RunStarted { run: RunId::new("m1"), directory: "whole".to_owned(), again, versions: all.to_vec(), ..started }
    }

    fn failed() -> Outcome {
        serde_json::from_value(json!({ "not-as-expected": { "problems": [
            { "step": "s", "place": "f:1", "sentence": "no", "expected": "1", "seen": "2" } ] } }))
        .expect("an outcome")
    }

    fn summary(parts: &[Part], all: &[Versions]) -> Summary {
        Summary::from_events(&joined(whole(all), parts, None))
    }

    #[test]
    fn each_variant_is_there_at_each_version_and_its_failure_names_the_version() {
        let parts = [part("1.33.13", &Outcome::AsExpected), part("1.35.4", &failed())];
        let summary = summary(&parts, &[k8s("1.33.13"), k8s("1.35.4")]);
        assert_eq!((summary.totals().passed, summary.totals().failed), (3, 1));
        assert_eq!(summary.exit(), Exit::NotAsExpected);
        assert_eq!(summary.phases.total_ms, 3_200, "they ran one after the other");
        assert_eq!(summary.clean_up.as_ref().map(|it| it.removed), Some(6));
        let ids: Vec<&str> = summary.setups.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["cluster/k8s-1.33.13:c1", "cluster/k8s-1.35.4:c1"]);
        assert_eq!(summary.unproven(), ["a/one@k8s-1.33.13: put.status", "a/one@k8s-1.35.4: put.status"]);
        let text = render(&summary, &Style::default());
        for part in [
            "FAILED  a/one@k8s-1.35.4+broken",
            "again      parallax e2e a/one --break broken --k3s built --seed 7 --k8s 1.35.4",
            "look in    parallax up a/one+broken --k8s 1.35.4",
            "versions k8s 1.33.13; k8s 1.35.4",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let rows = "\
verdicts by version
                k8s 1.33.13  k8s 1.35.4
  a/one         ok           ok
  a/one+broken  ok           FAILED
";
        assert!(text.contains(rows), "{text}");
        let rows = "\
### Verdicts by version

| variant | k8s 1.33.13 | k8s 1.35.4 |
|---|---|---|
| `a/one` | ok | ok |
| `a/one+broken` | ok | FAILED |
";
        let markdown = github::markdown(&summary, "parallax e2e");
        assert!(markdown.contains(rows), "{markdown}");
        let junit = junit::render(&summary).expect("a document");
        assert!(junit.contains("a/one@k8s-1.35.4") && junit.contains("k8s 1.33.13; k8s 1.35.4"), "{junit}");
        let page = page::render(&summary, "parallax").expect("a page");
        assert!(page.contains("px-versions") && page.contains("<th>k8s 1.35.4</th>"), "{page}");
    }

    #[test]
    fn a_version_that_did_not_run_is_not_green() {
        let parts = [part("1.33.13", &Outcome::AsExpected)];
        let all = [k8s("1.33.13"), k8s("1.35.4")];
        let missing = summary(&parts, &all);
        assert_eq!((missing.exit(), missing.totals().failed), (Exit::Harness, 2));
        let stopped = |parts: &[Part], by: &Stopped| Summary::from_events(&joined(whole(&all), parts, Some(by)));
        let enough = Stopped::Enough("not begun, because".to_owned());
        let missing = stopped(&parts, &enough);
        assert_eq!((missing.exit(), missing.totals().skipped), (Exit::Harness, 2));
        let red = stopped(&[part("1.33.13", &failed())], &enough);
        assert_eq!((red.exit(), red.totals().skipped), (Exit::NotAsExpected, 2));
        for parts in [&parts[..], &[]] {
            assert_eq!(stopped(parts, &Stopped::Interrupted).exit(), Exit::Interrupted);
        }
        let interrupted = summary(&[part("1.33.13", &Outcome::Interrupted)], &all);
        assert_eq!(interrupted.exit(), Exit::Interrupted);
        let mut killed = parts;
        killed[0].events.pop();
        assert_eq!(summary(&killed, &all[..1]).exit(), Exit::Harness);
    }

    #[test]
    fn a_version_at_which_everything_was_skipped_is_not_green() {
        let skipped = || {
            let mut part = part("1.33.13", &Outcome::AsExpected);
            for event in &mut part.events {
                if let EventKind::VariantEnded(ended) = &mut event.event {
                    ended.outcome = Outcome::Skipped { reason: "no image".to_owned() };
                }
            }
            part
        };
        let all = [k8s("1.33.13"), k8s("1.35.4")];
        let mut second = part("1.35.4", &Outcome::AsExpected);
        let joint = summary(&[skipped(), second.clone()], &all);
        assert_eq!((joint.exit(), joint.totals().failed, joint.totals().skipped), (Exit::Harness, 1, 2));
        let text = render(&joint, &Style::default());
        assert!(text.contains("at k8s 1.33.13: every variant was skipped"), "{text}");
        let mut accepted = skipped();
        for part in [&mut accepted, &mut second] {
            if let EventKind::RunStarted(started) = &mut part.events[0].event {
                started.demands.allow_skips = true;
            }
        }
        assert_eq!(summary(&[accepted, second], &all).exit(), Exit::AsExpected);
    }

    #[test]
    fn a_part_that_could_not_begin_is_a_failure_and_the_rest_stays() {
        let all = [k8s("1.33.13"), k8s("1.35.4")];
        for (number, red) in [(0, "1.35.4"), (1, "1.33.13")] {
            let failure = Some(plain("helm ended with 1"));
            let broken = Part { versions: all[number].clone(), events: Vec::new(), failure };
            let mut parts = vec![part(red, &failed())];
            parts.insert(number, broken);
            let joint = summary(&parts, &all);
            assert_eq!((joint.exit(), joint.totals().passed, joint.totals().failed), (Exit::Harness, 1, 3));
            let text = render(&joint, &Style::default());
            let what = format!("at {}: helm ended with 1", all[number]);
            assert!(text.contains(&what) && text.contains("FAILED  a/one@k8s-"), "{text}");
        }
    }

    #[test]
    fn a_run_at_one_version_has_no_table() {
        assert!(Summary::from_events(&part("1.33.13", &failed()).events).by_version().is_none());
    }
}
