//! Development tasks. Thin: it builds, starts programs, and checks rules of the house; it knows nothing of the library.

mod bare;
mod bench;
mod cargo;
mod catalogue;
mod ci;
mod e2e;
mod fuzz;
mod lint;
mod mutate;
mod parts;
mod soak;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build everything in one cargo call and run `parallax e2e` with the arguments given.
    #[command(disable_help_flag = true)]
    E2e {
        /// Handed to `parallax e2e` as they are; `--help` shows them.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Every test: the workspace's own, then the shipped scenarios for real. Fails if any part failed.
    Test {
        /// Install and start what is missing (engine, toolchains) on Debian or Ubuntu, as root.
        #[arg(long)]
        provision: bool,
    },
    /// Formatting, clippy, dependency rules, scenario files, the catalogue, schemas, rules of the house.
    Lint,
    /// Only the rules of the house: seconds, no compilation.
    Tidy,
    /// README's two commands in a bare root file system of its own: a minimal Debian, this machine's Rust, a fresh clone of
    /// HEAD, and an engine inside. Both must exit 0. As root.
    Bare(bare::Bare),
    /// Measure, each as a ratio in one run, and write tables and pictures into docs/bench.
    #[command(disable_help_flag = true)]
    Bench {
        /// What to measure, and how; `--help` shows it.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// The scenarios again and again, shuffled by a seed of each run; exit 1 where a variant was red, or another by itself.
    Soak(soak::Arguments),
    /// Make each fault in the judge in turn, and fail where no recorded answer of the catalogue notices it: seconds, no engine.
    Mutate(mutate::Mutate),
    /// Mutate scenario files, records and agents' frames: no reader may panic, or take a second.
    Fuzz(fuzz::Fuzz),
    /// Compare scenarios/catalogue.md with the scenarios and breaks that there are, adding what is new.
    Catalogue {
        /// Add nothing; fail where they differ.
        #[arg(long)]
        check: bool,
    },
    /// `lint`, then `test`.
    Ci {
        /// As for `test`.
        #[arg(long)]
        provision: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::E2e { args } => e2e::run(&args),
        Task::Test { provision } => test::run(provision),
        Task::Lint => Ok(lint::run()),
        Task::Tidy => tidy::run(),
        Task::Bare(args) => bare::run(&args),
        Task::Bench { args } => bench::run(&args),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Mutate(args) => mutate::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Catalogue { check } => cargo::build().and_then(|parallax| catalogue::run(&parallax, check)),
        Task::Ci { provision } => ci::run(provision),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            parts::say(&format!("error: {error:#}"));
            ExitCode::from(3)
        }
    }
}
