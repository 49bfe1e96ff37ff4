//! `cargo xtask soak` runs the scenarios repeatedly, each time in another order, and then each variant in an
//! environment of its own. A verdict must not depend on the order or on other variants.

mod figures;
mod load;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::figures::{Run, Soak};
use self::load::Load;
use crate::parts::say;
use crate::{cargo, e2e};

/// The upper limit of seeds. Seeds below this limit are short enough to type.
const SEEDS: u128 = 1_000_000;

/// The exit code of `parallax` when it is interrupted.
const INTERRUPTED: i32 = 130;

/// The command-line arguments of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The number of runs. Each run has a random order that follows from its own seed.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// After the runs, run each variant once alone in its environment (`parallax e2e --unshared`). The variant must
    /// have the same verdict as in the runs.
    #[arg(long)]
    alone: bool,
    /// Keep half of the processors busy during the runs, as on a slow machine.
    #[arg(long)]
    half_speed: bool,
    /// The seed of the first run. Each further run has the next number as its seed. By default the first seed is random
    /// and is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The file to which the results are written as JSON.
    #[arg(long, default_value = "target/soak.json")]
    json: PathBuf,
    /// Filters that select variants, in the syntax of `parallax e2e`.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs the scenarios as often as requested, and then each variant alone if requested. Returns whether every variant
/// passed each time, and had the same verdict alone.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let parallax = cargo::build()?;
    let first = arguments.seed.map_or_else(fresh_seed, Ok)?;
    let _load = if arguments.half_speed { Some(Load::begin()?) } else { None };
    let mut soak = Soak::default();
    let whole = all(arguments, &parallax, first, &mut soak)?;
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    std::fs::write(&arguments.json, format!("{:#}\n", soak.as_json()))
        .with_context(|| format!("failed to write {}", arguments.json.display()))?;
    say(&soak.summary());
    say(&format!("results are in {}", arguments.json.display()));
    if !whole {
        bail!("the last run was interrupted; the results are those of the runs before it");
    }
    Ok(soak.passed())
}

/// Runs the scenarios as often as requested, and then each variant alone if requested. Stops after a run that was
/// interrupted. The verdicts of the interrupted run are left out, because they say nothing about the variants. Returns
/// whether no run was interrupted.
fn all(arguments: &Arguments, parallax: &Path, first: u64, soak: &mut Soak) -> Result<bool> {
    for number in 0..arguments.runs {
        let seed = first + u64::from(number);
        say(&format!("== soak {} of {}: --shuffle={seed}", number + 1, arguments.runs));
        let Some(run) = shuffled(parallax, seed, &[], &arguments.filters)? else { return Ok(false) };
        soak.runs.push(run);
    }
    if arguments.alone {
        let seed = first + u64::from(arguments.runs);
        say(&format!("== alone: --unshared --shuffle={seed}"));
        let Some(run) = shuffled(parallax, seed, &["--unshared"], &arguments.filters)? else { return Ok(false) };
        soak.alone = run.verdicts;
    }
    Ok(true)
}

/// Returns a seed that differs from run to run. The caller prints the seed, so that a user can repeat the run.
pub(crate) fn fresh_seed() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(since.as_nanos() / 1000 % SEEDS)?)
}

fn shuffled(parallax: &Path, seed: u64, options: &[&str], filters: &[String]) -> Result<Option<Run>> {
    let mut args = vec![format!("--shuffle={seed}"), "--breaks".to_owned(), "all".to_owned()];
    args.extend(options.iter().map(|&option| option.to_owned()));
    args.extend(filters.iter().cloned());
    execute(parallax, &args, seed)
}

/// Runs the harness once, and returns the verdicts from the record of this run. `None` if the run was interrupted. A
/// run with failed variants also has a failed exit code. So a failed exit code is an error only if the record has no
/// verdicts.
fn execute(parallax: &Path, args: &[String], seed: u64) -> Result<Option<Run>> {
    let record = Path::new("target/e2e/latest/record.jsonl");
    let before = record.canonicalize().ok();
    let status = e2e::command(parallax).args(args).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("failed to start {}", parallax.display()))?;
    if was_interrupted(status) {
        return Ok(None);
    }
    if record.canonicalize().ok() == before {
        bail!("the run ended with {status} before it had a record");
    }
    let text = std::fs::read_to_string(record).with_context(|| format!("failed to read {}", record.display()))?;
    let run = Run::of_record(&text, seed)?;
    if run.verdicts.is_empty() && !status.success() {
        bail!("the run ended with {status} and has no verdict");
    }
    Ok(Some(run))
}

/// Whether a signal ended the harness: a signal that the harness handles, such as that of Ctrl-C, or SIGKILL.
fn was_interrupted(status: ExitStatus) -> bool {
    status.code().is_none_or(|code| code == INTERRUPTED)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_run_that_somebody_ended_is_not_judged() {
        let (exited, killed) = (|code: i32| ExitStatus::from_raw(code << 8), ExitStatus::from_raw);
        for (status, is_interrupted) in
            [(exited(0), false), (exited(1), false), (exited(3), false), (exited(130), true), (killed(9), true)]
        {
            assert_eq!(was_interrupted(status), is_interrupted, "{status}");
        }
    }
}
