//! A full disk. Each row fills one disk: that of the record, of the reports, of the ledger, or of the image cache.

use anyhow::Result;

use crate::bench::Bench;
use crate::project::{Project, Run};
use crate::row::{Row, Seen};

use super::SMALLEST;

/// The sizes of the small file systems in memory that hold the record, the ledgers and the image cache. A file takes
/// whole pages of 4 KiB, so a file system of 4 KiB has space for one page of one file.
const RECORD: &str = "4k";
const STATE: &str = "4k";
const CACHE: &str = "4m";

pub(super) fn rows() -> [Row; 4] {
    [
        Row {
            name: "disk-record",
            fault: "The disk of the record is full",
            code: Some(3),
            says: &["record.jsonl", "No space left on device", "--out", "(exit 3,", "1 passed, 1 failed, 0 skipped"],
            run: |bench, _| {
                // The flow has enough steps for a record of more than 4 KiB.
                let step =
                    |number: usize| SMALLEST.lines().last().map(|it| it.replace("seen", &format!("seen-{number}")));
                let steps: Vec<String> = (0..20).filter_map(step).collect();
                let project = Project::of("smallest", &format!("{SMALLEST}{}\n", steps.join("\n")))?;
                let command = project.e2e_on_small(bench, &project.path("target/e2e"), RECORD, "")?;
                Ok(vec![Run::start(command, &project)?.end("a few lines into the record")?])
            },
        },
        Row {
            name: "disk-reports",
            fault: "The disk of the reports is full",
            code: Some(3),
            says: &[
                "junit.xml",
                "No space left on device",
                "choose another place",
                "(exit 3,",
                "1 passed, 1 failed, 0 skipped",
            ],
            run: |bench, _| {
                let project = Project::of("smallest", SMALLEST)?;
                let command = project.e2e_on_small(bench, &project.path("target/e2e"), RECORD, "")?;
                Ok(vec![Run::start(command, &project)?.end("after the record")?])
            },
        },
        Row {
            name: "disk-state",
            fault: "The disk of the ledger is full",
            code: Some(3),
            says: &["No space left on device", "ledger.jsonl", "(exit 3,"],
            run: |bench, _| {
                let project = Project::of("smallest", SMALLEST)?;
                let command = project.e2e_on_small(bench, &project.state(), STATE, "")?;
                let run = Run::start(command, &project)?;
                Ok(vec![run.end("at the first entry of the ledger")?])
            },
        },
        Row {
            name: "disk-cache",
            fault: "The disk of the image cache is full",
            code: Some(3),
            says: &["No space left on device", "PARALLAX_CACHE", "(exit 3,"],
            run: |bench, _| cache(bench),
        },
    ]
}

/// Runs a scenario for which an image must be built, while the disk for unfinished files of the image cache is too
/// small. The run has its own cache with the same content as the user's cache. The harness refuses symbolic links in
/// the cache. Therefore the files are hard links or, if the user's cache is on another file system, copies.
fn cache(bench: &Bench) -> Result<Vec<Seen>> {
    let project = Project::of("smallest", SMALLEST)?;
    project.own_images()?;
    let recipe = project.path("images/agent/recipe.yaml");
    let text = std::fs::read_to_string(&recipe)?;
    anyhow::ensure!(text.matches("workdir: /tmp").count() == 1, "the agent's recipe has no `workdir: /tmp` to change");
    std::fs::write(&recipe, text.replace("workdir: /tmp", "workdir: /"))?;
    let own = project.path("cache");
    let link = "{ cp --recursive --link \"$CACHE/layers\" \"$CACHE/images\" \"$AT/..\" \
                || cp --recursive \"$CACHE/layers\" \"$CACHE/images\" \"$AT/..\"; } && ";
    let mut command = project.e2e_on_small(bench, &own.join("tmp"), CACHE, link)?;
    command.args(["--lock", "project"]).env("PARALLAX_CACHE", &own).env("CACHE", &bench.cache);
    Ok(vec![Run::start(command, &project)?.end("while an image is written into it")?])
}
