//! Reads the data for the measurements from a run's record.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The lines of a run's `record.jsonl`.
#[derive(Debug)]
pub(crate) struct Record {
    lines: Vec<Value>,
}

/// A named period of time. The times are in milliseconds since the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) what: String,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

impl Span {
    pub(crate) fn length(&self) -> Duration {
        Duration::from_millis(self.to_ms.saturating_sub(self.from_ms))
    }
}

impl Record {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Self::of(&text)
    }

    pub(crate) fn of(text: &str) -> Result<Self> {
        let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        Ok(Self { lines: lines.context("a line of the record is not JSON")? })
    }

    /// Returns the events of one kind. Each event comes with its time in milliseconds since the start of the run.
    fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (u64, &'a Value)> {
        self.lines.iter().filter_map(move |line| Some((line["at_ms"].as_u64()?, line["event"].get(kind)?)))
    }

    pub(crate) fn run(&self) -> &str {
        self.events("run-started").find_map(|(_, it)| it["run"].as_str()).unwrap_or_default()
    }

    pub(crate) fn variants(&self) -> usize {
        self.events("variant-ended").count()
    }

    /// Returns the ids of the variants that did not pass.
    pub(crate) fn failed(&self) -> Vec<String> {
        let ended = self.events("variant-ended").filter(|(_, it)| it["outcome"] != "as-expected");
        ended.map(|(_, it)| text(it, "variant")).collect()
    }

    /// Returns the period of each variant, from its start to its verdict.
    pub(crate) fn of_variants(&self) -> Vec<Span> {
        let ended = self.events("variant-ended").map(|(at, it)| span(text(it, "variant"), at, it));
        ended.collect()
    }

    /// Returns the period of each set-up step whose id has this prefix.
    pub(crate) fn of_setup(&self, prefix: &str) -> Vec<Span> {
        let ended = self.events("setup-ended").map(|(at, it)| span(text(it, "id"), at, it));
        ended.filter(|it| it.what.starts_with(prefix)).collect()
    }

    /// Returns the period of each step.
    pub(crate) fn of_steps(&self) -> Vec<Span> {
        let name = |it: &Value| format!("{} {} ({})", text(it, "variant"), text(it, "step"), text(it, "kind"));
        self.events("step-ended").map(|(at, it)| span(name(it), at, it)).collect()
    }

    /// Returns the cluster and the namespace of each variant, by the id of the variant.
    pub(crate) fn places(&self) -> BTreeMap<String, (String, String)> {
        let started = self.events("variant-started");
        started.map(|(_, it)| (text(it, "variant"), (text(it, "cluster"), text(it, "namespace")))).collect()
    }

    /// Returns one duration for each step that observed a log line: the time from the log line to the verdict of the
    /// step. The time of the log line comes from the clock of the node. `started_unix_ms` is the start time of the run,
    /// in milliseconds since the Unix epoch.
    pub(crate) fn detections(&self, started_unix_ms: u64) -> Vec<Duration> {
        let steps = self.events("step-ended");
        let seen =
            steps.filter_map(|(at, it)| Some((at, it["course"]["moments"].as_array()?.first()?["unix_ms"].as_u64()?)));
        seen.map(|(at, moment)| Duration::from_millis((started_unix_ms + at).saturating_sub(moment))).collect()
    }

    /// Returns the start time of the run in RFC 3339, or `None` if the record does not contain the start.
    pub(crate) fn started(&self) -> Option<&str> {
        self.events("run-started").find_map(|(_, it)| it["started"].as_str())
    }
}

fn span(what: String, to_ms: u64, it: &Value) -> Span {
    Span { what, from_ms: to_ms.saturating_sub(it["took_ms"].as_u64().unwrap_or(0)), to_ms }
}

fn text(it: &Value, field: &str) -> String {
    it[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_periods_and_failures() {
        let record = Record::of(concat!(
            "{\"at_ms\":0,\"event\":{\"run-started\":{\"run\":\"r1\",\"started\":\"2026-01-01T00:00:00Z\"}}}\n",
            "{\"at_ms\":900,\"event\":{\"setup-ended\":{\"id\":\"cluster/c1\",\"took_ms\":800}}}\n",
            "{\"at_ms\":1000,\"event\":{\"variant-ended\":{\"variant\":\"a\",\"outcome\":\"as-expected\",\"took_ms\":50}}}\n",
            "{\"at_ms\":1100,\"event\":{\"variant-ended\":{\"variant\":\"b\",\"outcome\":{\"error\":{}},\"took_ms\":1}}}\n",
        ))
        .expect("a record");
        assert_eq!((record.run(), record.variants(), record.failed()), ("r1", 2, vec!["b".to_owned()]));
        assert_eq!(record.of_variants()[0], Span { what: "a".to_owned(), from_ms: 950, to_ms: 1000 });
        assert_eq!(record.of_setup("cluster/")[0].length(), Duration::from_millis(800));
    }
}
