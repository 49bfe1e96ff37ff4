//! Joins the records of all shards of a run into the record of one run.

use std::collections::{BTreeMap, BTreeSet};

use parallax_vocab::event::{Exit, Failure, Proof, RunEnded, RunStarted, ShardOf};
use parallax_vocab::{Event, EventKind, RunId, VariantId, Versions};

use super::Summary;

/// The largest number of names that an error message lists.
const NAMED: usize = 5;

/// The reason why records cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The record is of a whole run and not of a shard.
    #[error("{path} is not the record of a shard; `parallax e2e --shard K/N` makes one")]
    NoShard {
        /// The path of the record of the whole run.
        path: String,
    },
    /// Two records are not shards of the same run.
    #[error(
        "{first} and {second} are not shards of the same run: {difference}; run all shards with the same version, project and options"
    )]
    Apart {
        /// The path of the first of the two records.
        first: String,
        /// The path of the second of the two records.
        second: String,
        /// The difference between the two records, in words.
        difference: String,
    },
    /// Two of the records are of the same shard, and only one of them can be joined.
    #[error("{first} and {second} are both shard {number}; give one of them")]
    Twice {
        /// The path of the first of the two records of the same shard.
        first: String,
        /// The path of the second of the two records of the same shard.
        second: String,
        /// The number of the shard that both records are of, counted from 1.
        number: u16,
    },
}

/// The record of one shard. The fields are the parts of the record that the merge needs.
struct Part<'a> {
    path: &'a str,
    events: &'a [Event],
    started: &'a RunStarted,
    shard: &'a ShardOf,
    ended: Option<&'a RunEnded>,
}

impl<'a> Part<'a> {
    fn of((path, events): &'a (String, Vec<Event>)) -> Result<Self, MergeError> {
        let started = events.iter().find_map(|event| match &event.event {
            EventKind::RunStarted(started) => Some(started),
            _ => None,
        });
        let ended = events.iter().rev().find_map(|event| match &event.event {
            EventKind::RunEnded(ended) => Some(ended),
            _ => None,
        });
        match started.and_then(|started| Some((started, started.shard.as_deref()?))) {
            Some((started, shard)) => Ok(Self { path, events, started, shard, ended }),
            None => Err(MergeError::NoShard { path: path.clone() }),
        }
    }

    /// Compares two shards. Returns a difference which shows that the shards are not of the same run; `None` if there
    /// is none.
    fn difference(&self, other: &Self) -> Option<String> {
        let (one, two) = (self.shard, other.shard);
        if self.started.parallax != other.started.parallax {
            return Some(format!("parallax {} and {}", self.started.parallax, other.started.parallax));
        }
        if one.of != two.of {
            return Some(format!("one of {} and one of {} parts", one.of, two.of));
        }
        if self.started.versions != other.started.versions {
            let [one, two] = [self, other].map(|it| versions_of(it.started));
            return Some(format!("one ran at {one}, and one at {two}"));
        }
        let [first, second]: [BTreeSet<&VariantId>; 2] = [one, two].map(|it| it.whole.iter().collect());
        if first != second {
            let names = named(first.symmetric_difference(&second).map(|it| it.as_str()));
            return Some(format!("only one of them selects {names}"));
        }
        if one.digests != two.digests {
            let names: BTreeSet<&String> = one.digests.keys().chain(two.digests.keys()).collect();
            let names = names.into_iter().filter(|name| one.digests.get(*name) != two.digests.get(*name));
            return Some(format!("they ran different versions of {}", named(names.map(String::as_str))));
        }
        if self.started.demands != other.started.demands {
            return Some("--require-proof or --allow-skips".to_owned());
        }
        None
    }

    /// Returns the reason why the shard as a whole failed; `None` if it did not fail.
    fn failure(&self) -> Option<Failure> {
        let Some(ended) = self.ended else {
            let run = &self.started.run;
            return Some(Failure {
                what: format!(
                    "shard {} (run {run}) did not end in order: it was killed, or is still running",
                    self.shard.number
                ),
                fix: Some(format!("run it again: --shard {}/{}", self.shard.number, self.shard.of)),
                evidence: Vec::new(),
            });
        };
        let mut failure = ended.failure.clone()?;
        failure.what = format!("shard {}: {}", self.shard.number, failure.what);
        Some(failure)
    }
}

/// Formats the versions at which a shard ran, for a message.
fn versions_of(started: &RunStarted) -> String {
    started.versions.first().map_or_else(|| Versions::default().to_string(), ToString::to_string)
}

/// Formats a list of names for a message: the first [`NAMED`] names, and the number of the remaining names.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

/// Joins the records of shards into the record of one run. Each record is given with its path. The joint record has the
/// id `run` and the folder `directory`. The time of an event is relative to the start of its shard, as if all shards
/// had started together. So only the displayed start time depends on the machines' clocks.
pub fn merged(records: &[(String, Vec<Event>)], run: RunId, directory: String) -> Result<Vec<Event>, MergeError> {
    let mut parts = records.iter().map(Part::of).collect::<Result<Vec<_>, _>>()?;
    parts.sort_by_key(|part| part.shard.number);
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    for (part, next) in parts.iter().zip(&parts[1..]) {
        let paths = || (part.path.to_owned(), next.path.to_owned());
        if let Some(difference) = part.difference(next) {
            let (first, second) = paths();
            return Err(MergeError::Apart { first, second, difference });
        }
        if part.shard.number == next.shard.number {
            let (first, second) = paths();
            return Err(MergeError::Twice { first, second, number: part.shard.number });
        }
    }
    for (number, part) in parts.iter().enumerate() {
        for earlier in &parts[..number] {
            let both = part.started.variants.iter().filter(|it| earlier.started.variants.contains(it));
            let both = named(both.map(VariantId::as_str));
            if !both.is_empty() {
                let (first, second) = (earlier.path.to_owned(), part.path.to_owned());
                return Err(MergeError::Apart { first, second, difference: format!("both ran {both}") });
            }
        }
    }
    let runs = parts.iter().map(|part| format!("{} ({}/{})", part.started.run, part.shard.number, part.shard.of));
    let runs = format!("joined from the shards {}", runs.collect::<Vec<_>>().join(", "));
    let started = RunStarted {
        run,
        variants: first.shard.whole.clone(),
        directory,
        started: parts.iter().map(|part| part.started.started.as_str()).min().unwrap_or_default().to_owned(),
        seed: None,
        shard: None,
        ..first.started.clone()
    };
    let mut rest: Vec<Event> =
        parts.iter().flat_map(|part| part.events.iter().filter_map(|it| moved(it, part))).collect();
    // The sort is stable, so the events of one shard keep their order.
    rest.sort_by_key(|event| event.at_ms);
    let last_ms = parts.iter().filter_map(|part| part.events.last()).map(|event| event.at_ms).max().unwrap_or_default();
    let mut events = vec![
        Event { at_ms: 0, event: EventKind::RunStarted(started) },
        Event { at_ms: 0, event: EventKind::Note { text: runs } },
    ];
    events.append(&mut rest);
    events.push(Event { at_ms: last_ms, event: cleaned_up(&parts) });
    let ended = Summary::from_events(&events).ending(proof(&parts), failure(&parts), interrupted(&parts), last_ms);
    events.push(Event { at_ms: last_ms, event: EventKind::RunEnded(ended) });
    Ok(events)
}

/// Converts an event of a shard into an event of the joint record. Returns `None` for an event that the joint record
/// contains only once. Two machines give the same names to their clusters and images. So the shard's number is added to
/// these names.
fn moved(event: &Event, part: &Part<'_>) -> Option<Event> {
    let number = part.shard.number;
    let mut event = event.clone();
    match &mut event.event {
        EventKind::RunStarted(_) | EventKind::CleanedUp { .. } | EventKind::RunEnded(_) => return None,
        EventKind::Note { text } | EventKind::Warning { text } => *text = format!("shard {number}: {text}"),
        EventKind::SetupStarted { id, title } => {
            *id = numbered(id, number);
            *title = format!("shard {number}: {title}");
        }
        EventKind::SetupProgress { id, .. } | EventKind::SetupEnded { id, .. } => *id = numbered(id, number),
        EventKind::VariantStarted(started) => started.cluster = format!("{number}-{}", started.cluster),
        EventKind::StepStarted { .. } | EventKind::StepEnded(_) | EventKind::VariantEnded(_) => {}
    }
    Some(event)
}

/// Adds the shard's number to the id of a set-up step: `cluster/c1` becomes `cluster/2-c1`. The id of an environment
/// does not change. It contains the name of the scenario, and a scenario is in one shard only.
fn numbered(id: &str, number: u16) -> String {
    match id.split_once('/') {
        Some(("environment" | "variant", _)) => id.to_owned(),
        Some((kind, name)) => format!("{kind}/{number}-{name}"),
        None => format!("{id}/{number}"),
    }
}

fn cleaned_up(parts: &[Part<'_>]) -> EventKind {
    let (mut all, mut anywhere_else, mut left, mut longest_ms) = (0, false, Vec::new(), 0);
    for part in parts {
        for event in part.events {
            let EventKind::CleanedUp { removed, elsewhere, remaining, took_ms } = &event.event else { continue };
            all += removed;
            anywhere_else |= elsewhere;
            left.extend(remaining.iter().map(|it| format!("shard {}: {it}", part.shard.number)));
            longest_ms = longest_ms.max(*took_ms);
        }
    }
    EventKind::CleanedUp { removed: all, elsewhere: anywhere_else, remaining: left, took_ms: longest_ms }
}

/// Returns the proof of the whole run: the union of the shards' proofs. The union is correct, because all variants of a
/// scenario are in the same shard.
fn proof(parts: &[Part<'_>]) -> Proof {
    let all = |of: fn(&RunEnded) -> &Vec<String>| {
        let names: BTreeSet<&String> = parts.iter().filter_map(|part| part.ended).flat_map(of).collect();
        names.into_iter().cloned().collect()
    };
    Proof { none: all(|ended| &ended.unproven), by_altered: all(|ended| &ended.proven_by_altered) }
}

fn interrupted(parts: &[Part<'_>]) -> bool {
    parts.iter().filter_map(|part| part.ended).any(|ended| ended.exit == Exit::Interrupted)
}

/// Returns the reason why the whole run failed: a shard is missing, or variants are in no shard, or shards failed.
/// `None` if the run as a whole did not fail.
fn failure(parts: &[Part<'_>]) -> Option<Failure> {
    let shard = parts.first()?.shard;
    let there: BTreeMap<u16, &Part<'_>> = parts.iter().map(|part| (part.shard.number, part)).collect();
    let missing: Vec<String> =
        (1..=shard.of).filter(|number| !there.contains_key(number)).map(|it| it.to_string()).collect();
    let ran: BTreeSet<&VariantId> = parts.iter().flat_map(|part| &part.started.variants).collect();
    let without: Vec<&VariantId> = shard.whole.iter().filter(|id| !ran.contains(id)).collect();
    let mut failures = parts.iter().filter_map(Part::failure);
    let first = if missing.is_empty() && without.is_empty() {
        failures.next()?
    } else {
        let (shards, are) = if missing.len() == 1 { ("shard", "is") } else { ("shards", "are") };
        let what = if missing.is_empty() {
            "variants are in no shard".to_owned()
        } else {
            format!("{shards} {} of {} {are} missing", missing.join(", "), shard.of)
        };
        Failure {
            what: format!("{what}: {} variants have no verdict", without.len()),
            fix: Some(format!(
                "run what is missing (`--shard K/{}`), and give its record to `parallax merge`, too",
                shard.of
            )),
            evidence: without.iter().map(|id| format!("no verdict: {id}")).collect(),
        }
    };
    let mut evidence = first.evidence.clone();
    evidence.extend(failures.map(|failure| failure.what));
    Some(Failure { evidence, ..first })
}

#[cfg(test)]
mod tests {
    use parallax_vocab::System;
    use parallax_vocab::event::{Outcome, RECORD_FORMAT};
    use serde_json::json;

    use super::*;
    use crate::terminal::{Style, render};

    fn event(at_ms: u64, event: serde_json::Value) -> Event {
        Event { at_ms, event: serde_json::from_value(event).expect("an event") }
    }

    /// Makes a record for the tests. With a `number`, it is the record of this shard (of two shards). Without a number,
    /// it is the record of the whole run. `last` is the outcome of the last variant.
    fn record(number: Option<u16>, variants: &[&str], last: &Outcome) -> Vec<Event> {
        let whole = ["a/one", "a/one+broken", "b/two"];
        let mut started = json!({
            "format": RECORD_FORMAT, "run": format!("r{}", number.unwrap_or(0)), "parallax": "0.1.0",
            "started": "2026-11-22T15:00:00Z", "filters": [], "variants": variants, "directory": "x",
        });
        if let Some(number) = number {
            started["shard"] =
                json!({ "number": number, "of": 2, "whole": whole, "digests": { "a/one": "1", "b/two": "2" } });
        }
        let mut events = vec![
            event(0, json!({ "run-started": started })),
            event(5, json!({ "setup-started": { "id": "cluster/c1", "title": "cluster c1" } })),
            event(900, json!({ "setup-ended": { "id": "cluster/c1", "took_ms": 895, "detail": "ready" } })),
        ];
        for (index, variant) in variants.iter().enumerate() {
            let outcome = if index + 1 == variants.len() { last.clone() } else { Outcome::AsExpected };
            let ended = json!({ "variant-ended": { "variant": variant, "outcome": outcome, "took_ms": 50 } });
            events.push(event(1_000 + u64::try_from(index).expect("small"), ended));
        }
        events.push(event(1_500, json!({ "cleaned-up": { "removed": 3, "remaining": [], "took_ms": 100 } })));
        let ended = Summary::from_events(&events).ending(Proof::default(), None, false, 1_600);
        events.push(Event { at_ms: 1_600, event: EventKind::RunEnded(ended) });
        events
    }

    fn failed() -> Outcome {
        serde_json::from_value(json!({ "not-as-expected": { "problems": [
            { "step": "s", "place": "f:1", "sentence": "no", "expected": "1", "seen": "2" } ] } }))
        .expect("an outcome")
    }

    fn joined(records: &[(u16, Vec<Event>)]) -> Result<Summary, String> {
        let records: Vec<(String, Vec<Event>)> =
            records.iter().map(|(number, events)| (format!("record-{number}"), events.clone())).collect();
        let events = merged(&records, RunId::new("m1"), "whole".to_owned()).map_err(|error| error.to_string())?;
        Ok(Summary::from_events(&events))
    }

    fn verdicts(summary: &Summary) -> Vec<(String, Option<Outcome>)> {
        summary.variants().map(|it| (it.id.to_string(), it.outcome.clone())).collect()
    }

    #[test]
    fn shards_joined_are_as_one_run() {
        for last in [Outcome::AsExpected, failed()] {
            let whole = Summary::from_events(&record(None, &["a/one", "a/one+broken", "b/two"], &last));
            let one = record(Some(1), &["a/one", "a/one+broken"], &Outcome::AsExpected);
            let two = record(Some(2), &["b/two"], &last);
            // The records may be given in any order.
            let summary = joined(&[(2, two), (1, one)]).expect("they belong together");
            assert_eq!(verdicts(&summary), verdicts(&whole));
            assert_eq!((summary.exit(), summary.totals()), (whole.exit(), whole.totals()));
            assert_eq!(summary.clean_up.as_ref().map(|it| it.removed), Some(6));
            assert_eq!(summary.phases.total_ms, 1_600, "they ran side by side");
            let ids: Vec<&str> = summary.setups.iter().map(|it| it.id.as_str()).collect();
            assert_eq!(ids, ["cluster/1-c1", "cluster/2-c1"]);
        }
    }

    #[test]
    fn a_missing_shard_is_said_and_is_not_green() {
        let one = record(Some(1), &["a/one", "a/one+broken"], &Outcome::AsExpected);
        let summary = joined(&[(1, one)]).expect("one is enough to say what is missing");
        assert_eq!(summary.exit(), Exit::Harness);
        assert_eq!(summary.totals().failed, 1);
        let text = render(&summary, &Style::default());
        for part in ["NOT RUN", "shard 2 of 2 is missing: 1 variants have no verdict", "no verdict: b/two", "(exit 3,"]
        {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_shard_that_was_killed_or_interrupted_is_not_green() {
        let one = record(Some(1), &["a/one", "a/one+broken"], &Outcome::AsExpected);
        let mut two = record(Some(2), &["b/two"], &Outcome::AsExpected);
        two.pop();
        let summary = joined(&[(1, one.clone()), (2, two.clone())]).expect("joined");
        assert_eq!(summary.exit(), Exit::Harness);
        assert!(render(&summary, &Style::default()).contains("shard 2 (run r2) did not end in order"));
        let ended = Summary::from_events(&two).ending(Proof::default(), None, true, 1_600);
        two.push(Event { at_ms: 1_600, event: EventKind::RunEnded(ended) });
        assert_eq!(joined(&[(1, one), (2, two)]).expect("joined").exit(), Exit::Interrupted);
    }

    #[test]
    fn records_of_different_runs_are_refused() {
        let one = record(Some(1), &["a/one", "a/one+broken"], &Outcome::AsExpected);
        let two = record(Some(2), &["b/two"], &Outcome::AsExpected);
        let changed = |change: &dyn Fn(&mut RunStarted, &mut ShardOf)| {
            let mut two = two.clone();
            if let EventKind::RunStarted(started) = &mut two[0].event {
                let mut shard = started.shard.take().expect("a shard");
                change(started, &mut shard);
                started.shard = Some(shard);
            }
            joined(&[(1, one.clone()), (2, two)]).expect_err("refused")
        };
        let version = changed(&|started, _| started.parallax = "0.2.0".to_owned());
        assert!(version.contains("record-1 and record-2") && version.contains("0.1.0 and 0.2.0"), "{version}");
        let k8s = Versions::default().with(System::K8s, "1.33.13");
        let versions = changed(&|started, _| started.versions = vec![k8s.clone()]);
        assert!(versions.contains("one ran at the defaults, and one at k8s 1.33.13"), "{versions}");
        let digest = changed(&|_, shard| drop(shard.digests.insert("b/two".to_owned(), "other".to_owned())));
        assert!(digest.contains("they ran different versions of b/two"), "{digest}");
        let selection = changed(&|_, shard| shard.whole.push("c/three".into()));
        assert!(selection.contains("only one of them selects c/three"), "{selection}");
        let overlap = changed(&|started, _| started.variants.push("a/one+broken".into()));
        assert!(overlap.contains("both ran a/one+broken"), "{overlap}");
        assert!(changed(&|_, shard| shard.of = 3).contains("one of 2 and one of 3 parts"));
        assert!(changed(&|started, _| started.demands.proof = true).contains("--require-proof"));
        let twice = joined(&[(1, one.clone()), (2, one)]).expect_err("refused");
        assert_eq!(twice, "record-1 and record-2 are both shard 1; give one of them");
        let none = record(None, &["b/two"], &Outcome::AsExpected);
        assert!(joined(&[(2, none)]).expect_err("refused").contains("is not the record of a shard"));
    }
}
