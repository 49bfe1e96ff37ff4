//! `cargo xtask soak`: the scenarios again and again, in another order each time, and each variant by itself: a verdict must
//! depend on neither.

mod figures;
mod load;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::figures::{Run, Soak};
use self::load::Load;
use crate::parts::say;
use crate::{cargo, e2e};

/// What a seed is taken modulo of: short enough to be typed.
const SEEDS: u128 = 1_000_000;

/// How `parallax` exits when it is interrupted.
const INTERRUPTED: i32 = 130;

/// Arguments of `soak`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many runs, each shuffled by a seed of its own.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Then each variant once by itself; its verdict must be that of the runs.
    #[arg(long)]
    alone: bool,
    /// Keep half of the processors busy meanwhile.
    #[arg(long)]
    half_speed: bool,
    /// The first seed; the others follow it. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/soak.json")]
    json: PathBuf,
    /// As `parallax e2e` takes them.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs all of it; whether every variant was green each time, and the same alone.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let parallax = cargo::build()?;
    let first = arguments.seed.map_or_else(fresh_seed, Ok)?;
    let _load = if arguments.half_speed { Some(Load::begin()?) } else { None };
    let mut soak = Soak::default();
    for number in 0..arguments.runs {
        let seed = first + u64::from(number);
        say(&format!("== soak {} of {}: --shuffle={seed}", number + 1, arguments.runs));
        soak.runs.push(shuffled(&parallax, seed, &arguments.filters)?);
    }
    if arguments.alone {
        let variants: Vec<String> = soak.variants().into_iter().map(str::to_owned).collect();
        for (number, variant) in variants.iter().enumerate() {
            say(&format!("== alone {} of {}: {variant}", number + 1, variants.len()));
            let ran = ran(&parallax, &["--breaks".into(), "all".into(), variant.clone()], None)?;
            soak.alone.extend(ran.verdicts);
        }
    }
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    }
    std::fs::write(&arguments.json, format!("{:#}\n", soak.as_json()))
        .with_context(|| format!("failed to write {}", arguments.json.display()))?;
    say(&soak.in_words());
    say(&format!("figures in {}", arguments.json.display()));
    Ok(soak.is_green())
}

fn fresh_seed() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(since.as_nanos() / 1000 % SEEDS)?)
}

fn shuffled(parallax: &Path, seed: u64, filters: &[String]) -> Result<Run> {
    let mut args = vec![format!("--shuffle={seed}"), "--breaks".to_owned(), "all".to_owned()];
    args.extend(filters.iter().cloned());
    ran(parallax, &args, Some(seed))
}

/// One run, and what its record says. Its exit code is in the verdicts, but where there are none.
fn ran(parallax: &Path, args: &[String], seed: Option<u64>) -> Result<Run> {
    let output = e2e::command(parallax).args(args).stdout(std::process::Stdio::null()).status();
    let status = output.with_context(|| format!("failed to start {}", parallax.display()))?;
    if status.code() == Some(INTERRUPTED) {
        bail!("interrupted");
    }
    let record = Path::new("target/e2e/latest/record.jsonl");
    let text = std::fs::read_to_string(record).with_context(|| format!("failed to read {}", record.display()))?;
    let run = Run::of_record(&text, seed)?;
    if run.verdicts.is_empty() && !status.success() {
        bail!("the run ended with {status} and without a verdict");
    }
    Ok(run)
}
