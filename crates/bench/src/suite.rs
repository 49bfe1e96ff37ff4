//! Measures a run of the whole catalogue: the use of the processors, and the steps that took longest.

use std::cmp::Reverse;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::harness::{Harness, seconds};
use crate::record::{Record, Span};
use crate::table::Table;

/// The number of steps that the table lists, the longest first.
const NAMED: usize = 10;

pub(crate) fn run(harness: &Harness, filter: &[String]) -> Result<Table> {
    let run = harness.e2e(Path::new("."), filter)?;
    let failed = run.record.failed();
    let mut table = Table::new("suite", "The catalogue: what processors do, and what the run waits for.", "s");
    let work: f64 = run.record.of_variants().iter().map(|it| it.length().as_secs_f64()).sum();
    table
        .row("the run", seconds(run.took), "≤ 300 s on two processors")
        .row("variants, and those not as declared", format!("{}, {}", run.record.variants(), failed.len()), "")
        .row("all variants one after the other, against the run", format!("{:.1}", work / run.took.as_secs_f64()), "")
        .row("idle share of the processors", percent(run.seen.idle_share()), "≤ 8 %")
        .row("our own programs' share of what they did", percent(run.seen.own_share()), "≤ 4 %")
        .row("peak memory of the harness", format!("{} MiB", run.seen.peak_kib / 1024), "");
    for span in critical_path(&run.record)? {
        table.row(format!("critical path: {}", span.what), seconds(span.length()), "");
    }
    let mut steps = run.record.of_steps();
    steps.sort_by_key(|it| Reverse(it.length()));
    for span in steps.into_iter().take(NAMED) {
        table.row(format!("long wait: {}", span.what), seconds(span.length()), "");
        table.bar(span.what.clone(), span.length().as_secs_f64());
    }
    if !failed.is_empty() {
        table.note(format!("Not as declared: {}.", failed.join(", ")));
    }
    Ok(table)
}

/// Returns the periods that decide when the last verdict of the run comes. They belong to the variant with this
/// verdict: the start of its cluster, the set-up of its environment, and all variants in the same environment.
fn critical_path(record: &Record) -> Result<Vec<Span>> {
    let variants = record.of_variants();
    let last = variants.iter().max_by_key(|it| it.to_ms).context("no variant ended")?;
    let places = record.places();
    let Some((cluster, namespace)) = places.get(&last.what) else { return Ok(vec![last.clone()]) };
    let mut path: Vec<Span> = record.of_setup(&format!("cluster/{cluster}"));
    path.retain(|it| it.what == format!("cluster/{cluster}"));
    let environment = format!("environment/{namespace}");
    path.extend(record.of_setup(&environment).into_iter().filter(|it| it.what == environment));
    path.extend(variants.iter().filter(|it| places.get(&it.what).is_some_and(|(_, of)| of == namespace)).cloned());
    path.sort_by_key(|it| it.from_ms);
    Ok(path)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_critical_path_is_what_the_last_verdict_waited_for() {
        let line = |at: u64, event: &str| format!("{{\"at_ms\":{at},\"event\":{event}}}\n");
        let variant = |name: &str, at| {
            line(
                at,
                &format!("{{\"variant-ended\":{{\"variant\":\"{name}\",\"outcome\":\"as-expected\",\"took_ms\":10}}}}"),
            )
        };
        let started = |name: &str, namespace: &str| {
            line(
                1,
                &format!(
                    "{{\"variant-started\":{{\"variant\":\"{name}\",\"cluster\":\"c1\",\"namespace\":\"{namespace}\"}}}}"
                ),
            )
        };
        let setup = |id: &str, at| line(at, &format!("{{\"setup-ended\":{{\"id\":\"{id}\",\"took_ms\":5}}}}"));
        let text = [
            setup("cluster/c1", 100),
            setup("cluster/c10", 100),
            setup("environment/a", 200),
            setup("environment/b", 300),
            started("a", "a"),
            started("b", "b"),
            variant("a", 250),
            variant("b", 400),
        ];
        let path = critical_path(&Record::of(&text.concat()).expect("a record")).expect("a path");
        let names: Vec<&str> = path.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(names, ["cluster/c1", "environment/b", "b"]);
    }
}
