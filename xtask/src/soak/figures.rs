//! The results of a soak, which runs the scenarios repeatedly.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The result of a variant in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The outcome: `as-expected`, `not-as-expected`, `error`, `skipped` or `interrupted`.
    pub(super) outcome: String,
    /// The duration of the variant in milliseconds.
    pub(super) took_ms: u64,
}

/// The results of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// The seed of the random order in which the run starts the variants.
    pub(super) seed: u64,
    /// The verdicts of the run, by variant.
    pub(super) verdicts: BTreeMap<String, Verdict>,
}

/// The results of all runs.
#[derive(Debug, Default)]
pub(super) struct Soak {
    /// The runs in which all selected variants ran together.
    pub(super) runs: Vec<Run>,
    /// The verdict of each variant that ran alone in its environment.
    pub(super) alone: BTreeMap<String, Verdict>,
}

impl Run {
    /// Reads the verdicts from a record. A planned variant without a verdict counts as failed.
    pub(super) fn of_record(text: &str, seed: u64) -> Result<Self> {
        let mut run = Self { seed, verdicts: BTreeMap::new() };
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).context("a line of the record is not an event")?;
            let event = &event["event"];
            for variant in event["run-started"]["variants"].as_array().into_iter().flatten() {
                let none = Verdict { outcome: "none".to_owned(), took_ms: 0 };
                run.verdicts.insert(variant.as_str().unwrap_or_default().to_owned(), none);
            }
            let ended = &event["variant-ended"];
            let Some(variant) = ended["variant"].as_str() else { continue };
            let outcome = &ended["outcome"];
            let word = outcome.as_str().or_else(|| outcome.as_object()?.keys().next().map(String::as_str));
            let outcome = word.context("an outcome without a name")?.to_owned();
            let took_ms = ended["took_ms"].as_u64().context("a variant without a time")?;
            run.verdicts.insert(variant.to_owned(), Verdict { outcome, took_ms });
        }
        Ok(run)
    }
}

impl Verdict {
    fn is_green(&self) -> bool {
        matches!(self.outcome.as_str(), "as-expected" | "skipped")
    }
}

/// The results of one variant over all runs.
struct Row<'a> {
    variant: &'a str,
    passed: usize,
    failed: usize,
    /// The shortest, the median and the longest time of the runs in which the variant passed, in milliseconds. `None`
    /// if the variant passed in no run.
    times_ms: Option<(u64, u64, u64)>,
    /// The seeds of the runs in which the variant did not pass.
    red: Vec<u64>,
    /// How the variant ended when it ran alone, such as `error`. `None` if it ended in the same way in the other runs,
    /// or did not run alone.
    differs: Option<&'a str>,
}

impl Soak {
    /// Returns the ids of all variants of all runs.
    pub(super) fn variants(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.runs.iter().flat_map(|run| run.verdicts.keys()).map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn rows(&self) -> Vec<Row<'_>> {
        self.variants().into_iter().map(|variant| self.row(variant)).collect()
    }

    fn row<'a>(&'a self, variant: &'a str) -> Row<'a> {
        let ran = self.runs.iter().filter_map(|run| Some((run.seed, run.verdicts.get(variant)?)));
        let (green, red): (Vec<_>, Vec<_>) = ran.partition(|(_, it)| it.is_green());
        let mut times: Vec<u64> = green.iter().map(|(_, it)| it.took_ms).collect();
        times.sort_unstable();
        let times_ms = times.first().zip(times.last()).map(|(least, most)| (*least, times[times.len() / 2], *most));
        // A variant may fail only in some runs. The list of seeds already reports these failures. So the outcome of the
        // variant when it ran alone is compared with a run in which the variant passed, if there is one.
        let shared = green.first().or(red.first()).map(|(_, it)| it.outcome.as_str());
        let alone = self.alone.get(variant).map(|it| it.outcome.as_str());
        Row {
            variant,
            passed: green.len(),
            failed: red.len(),
            times_ms,
            red: red.iter().map(|(seed, _)| *seed).collect(),
            differs: alone.filter(|alone| Some(*alone) != shared),
        }
    }

    /// Whether no variant failed, and no variant had another verdict when it ran alone.
    pub(super) fn passed(&self) -> bool {
        let rows = self.rows();
        !rows.is_empty() && rows.iter().all(|row| row.failed == 0 && row.differs.is_none())
    }

    /// Returns the results of the soak as JSON.
    pub(super) fn as_json(&self) -> Value {
        let rows = self.rows().into_iter().map(|row| {
            json!({
                "variant": row.variant, "passed": row.passed, "failed": row.failed,
                "least-ms": row.times_ms.map(|it| it.0), "median-ms": row.times_ms.map(|it| it.1),
                "most-ms": row.times_ms.map(|it| it.2), "red-in-seeds": row.red,
                "alone": self.alone.get(row.variant).map(|it| &it.outcome), "differs": row.differs.is_some(),
            })
        });
        let seeds: Vec<u64> = self.runs.iter().map(|run| run.seed).collect();
        json!({ "seeds": seeds, "green": self.passed(), "variants": rows.collect::<Vec<_>>() })
    }

    /// Returns the results as text, with the failed variants at the end.
    pub(super) fn summary(&self) -> String {
        let mut rows = self.rows();
        rows.sort_by_key(|row| (row.failed > 0 || row.differs.is_some(), row.variant));
        let width = rows.iter().map(|row| row.variant.len()).max().unwrap_or(0);
        let mut out = String::new();
        for row in &rows {
            let times = row.times_ms.map_or_else(String::new, |(least, middle, most)| {
                format!("  {:.1} to {:.1} s, median {:.1} s", seconds(least), seconds(most), seconds(middle))
            });
            let _ = write!(out, "{:<width$}  {} passed, {} failed{times}", row.variant, row.passed, row.failed);
            if !row.red.is_empty() {
                let seeds: Vec<String> = row.red.iter().map(u64::to_string).collect();
                let _ = write!(out, "  RED with seed {}", seeds.join(", "));
            }
            if let Some(alone) = row.differs {
                let _ = write!(out, "  DIFFERS: alone it is {alone}");
            }
            out.push('\n');
        }
        let red = rows.iter().filter(|row| row.failed > 0).count();
        let differ = rows.iter().filter(|row| row.differs.is_some()).count();
        let (runs, alone) = (self.runs.len(), self.alone.len());
        let _ = write!(
            out,
            "{} variants in {runs} runs, {red} of them failed at least once; {alone} run alone, {differ} of them with another verdict",
            rows.len()
        );
        out
    }
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdicts: &[(&str, Value)]) -> String {
        let names: Vec<&str> = verdicts.iter().map(|(name, _)| *name).chain(["c"]).collect();
        let mut lines = vec![json!({"at_ms": 0, "event": {"run-started": {"variants": names}}}).to_string()];
        lines.extend(verdicts.iter().map(|(name, outcome)| {
            json!({"at_ms": 1, "event": {"variant-ended": {"variant": name, "outcome": outcome, "took_ms": 1500}}})
                .to_string()
        }));
        lines.join("\n")
    }

    #[test]
    fn a_variant_that_failed_once_or_differs_alone_is_a_failure() {
        let green = || json!("as-expected");
        let red = json!({"not-as-expected": {"problems": []}});
        let of = |verdicts: &[(&str, Value)], seed| Run::of_record(&record(verdicts), seed).expect("a record");
        let mut soak = Soak { runs: vec![of(&[("a", green()), ("b", green()), ("c", green())], 7)], ..Soak::default() };
        assert!(soak.passed());
        soak.alone = soak.runs[0].verdicts.clone();
        assert!(soak.passed());
        // If a run has planned a variant and has no verdict for it, the variant counts as failed.
        soak.runs.push(of(&[("a", green()), ("b", red)], 8));
        soak.alone.insert("a".to_owned(), Verdict { outcome: "error".to_owned(), took_ms: 1 });
        assert!(!soak.passed());
        let words = soak.summary();
        for line in [
            "a  2 passed, 0 failed  1.5 to 1.5 s, median 1.5 s  DIFFERS: alone it is error\n",
            "b  1 passed, 1 failed  1.5 to 1.5 s, median 1.5 s  RED with seed 8\n",
            "c  1 passed, 1 failed  1.5 to 1.5 s, median 1.5 s  RED with seed 8\n",
            "3 variants in 2 runs, 2 of them failed at least once; 3 run alone, 1 of them with another verdict",
        ] {
            assert!(words.contains(line), "{line:?} is not in\n{words}");
        }
        let data = soak.as_json();
        assert_eq!(data["seeds"], json!([7, 8]));
        assert_eq!(data["variants"][1]["red-in-seeds"], json!([8]));
        assert!(!Soak::default().passed(), "a soak without runs is a failure");
    }
}
