//! Development tasks. This program only builds, starts other programs, and checks the project's own rules. It does not
//! use the library.

mod bare;
mod bench;
mod cargo;
mod catalogue;
mod ci;
mod comments;
mod e2e;
mod faults;
mod folders;
mod fuzz;
mod lint;
mod mutate;
mod parts;
mod shards;
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
    /// Build everything in one cargo call, then run `parallax e2e` with these arguments.
    #[command(disable_help_flag = true)]
    E2e {
        /// Passed on to `parallax e2e`; `--help` shows them.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run all tests: the Rust tests, then the shipped scenarios. Fails if any part fails.
    Test {
        /// Install and start what is missing (engine, toolchains) on Debian or Ubuntu, as root.
        #[arg(long)]
        provision: bool,
    },
    /// Check formatting, clippy, dependency rules, scenario files, the catalogue, schemas, and the project's own rules.
    Lint,
    /// Check only the project's own rules: takes seconds, compiles nothing.
    Tidy,
    /// Run README's two commands in a minimal Debian of their own, with this machine's Rust, a fresh clone of HEAD, and
    /// an engine inside. Both must exit 0. Needs root.
    Bare(bare::Bare),
    /// Measure the harness, each time as a ratio within one run, and write tables and charts to docs/bench.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on to `parallax-bench`; `--help` shows them.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Bring about each fault of docs/reliability.md for real, as root, and write its table; exit 1 where a row is otherwise.
    #[command(disable_help_flag = true)]
    Faults {
        /// Parts of rows' names; `--list` shows them, `--help` the rest.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the scenarios repeatedly, each time in another random order. Exits 1 if a variant failed in any run, or had
    /// another verdict when it ran alone.
    Soak(soak::Arguments),
    /// Run some scenarios in one run, and as the Job of `parallax shards` on a cluster of our own node; the merged verdicts
    /// must be equal. Takes some minutes, 8 GB of memory and 10 GB of disk.
    Shards(shards::Arguments),
    /// Insert each fault into the judge in turn, and fail if no recorded answer detects it: takes seconds, needs no
    /// engine.
    Mutate(mutate::Mutate),
    /// Mutate scenario files, records and agents' frames: no parser may panic or take a second.
    Fuzz(fuzz::Fuzz),
    /// Draw comments at random from the Rust files, for a test whether a reader who does not know the project
    /// understands them.
    Comments(comments::Comments),
    /// Compare scenarios/catalogue.md with the existing scenarios and breaks, and add new ones.
    Catalogue {
        /// Add nothing; fail if they differ.
        #[arg(long)]
        check: bool,
    },
    /// Run `lint`, then `test`.
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
        Task::Faults { args } => faults::run(&args),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Shards(arguments) => shards::run(&arguments),
        Task::Mutate(args) => mutate::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Comments(args) => comments::run(&args),
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
