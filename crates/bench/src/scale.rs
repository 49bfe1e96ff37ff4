//! Measures what each additional variant on a cluster costs, in time and memory.

use anyhow::Result;

use crate::harness::{Harness, Project, one_pod, seconds};
use crate::overhead::after_start;
use crate::table::Table;

/// The numbers of variants on one cluster for which the costs are measured. Each variant has a namespace of its own.
const SIZES: [u32; 4] = [25, 50, 100, 200];

pub(crate) fn run(harness: &Harness) -> Result<Table> {
    let mut table = Table::new("scale", "Variants on one cluster, a pod and a namespace each.", "s per variant");
    let mut first = None;
    for size in SIZES {
        // The kubelet's default limit is 110 pods on a node, so the scenario sets a higher limit.
        let text = |name: &str| one_pod(name).replacen("flow:", "cluster: { kubelet-args: [max-pods=500] }\nflow:", 1);
        let project = Project::scenarios(size, text)?;
        let run = harness.passing_e2e(project.path(), &[])?;
        let took = after_start(&run)?;
        let each = (took / size).as_secs_f64();
        let first = *first.get_or_insert(each);
        table
            .row(format!("{size} variants, after the cluster's start"), seconds(took), "")
            .row(format!("… each, against each of {}", SIZES[0]), format!("{each:.3} s, {:.2}", each / first), "")
            .row("… peak memory of the harness", format!("{} MiB", run.seen.peak_kib / 1024), "")
            .bar(format!("{size} variants"), each);
    }
    Ok(table)
}
