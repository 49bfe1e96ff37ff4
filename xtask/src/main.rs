//! Development tasks of this repository. This program only builds, starts other programs, and checks the project's
//! own rules. It does not depend on the crate `parallax`, so that it compiles fast.

mod bare;
mod bench;
mod cargo;
mod catalogue;
mod ci;
mod comments;
mod dist;
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

/// Development tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build all binaries in one cargo call, then run `parallax e2e` with the given arguments.
    #[command(disable_help_flag = true)]
    E2e {
        /// The arguments of `parallax e2e`, which are passed on. `--help` shows them.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run all tests: the Rust tests, then the shipped scenarios. Fails if any part fails.
    Test {
        /// As root on Debian or Ubuntu, install and start missing software first: the container engine and the
        /// toolchains.
        #[arg(long)]
        provision: bool,
    },
    /// Check formatting, clippy, dependency rules, scenario files, the catalogue, schemas, and the project's own rules.
    Lint,
    /// Check only the project's own rules. This takes seconds and compiles nothing.
    Tidy,
    /// Run README's two commands in a minimal Debian with its own mounts, network and container engine. The Debian gets
    /// this machine's Rust and a fresh clone of HEAD. Both commands must exit 0. Needs root.
    Bare(bare::Bare),
    /// Measure the harness, and write tables and charts to docs/bench. Most results are ratios of two measurements of
    /// the same run.
    #[command(disable_help_flag = true)]
    Bench {
        /// The arguments of `parallax-bench`, which are passed on. `--help` shows them.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Cause each fault of docs/reliability.md while the harness runs, and write the results into the table of that
    /// page. Exit 1 if a result differs from its declaration. Needs root.
    #[command(disable_help_flag = true)]
    Faults {
        /// The arguments of `parallax-faults`, which are passed on: texts that select rows by their names, and options.
        /// `--list` shows the rows, `--help` the options.
        #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the scenarios repeatedly, each time in another random order. Exit 1 if a variant failed in any run, or had
    /// another verdict when it ran alone.
    Soak(soak::Arguments),
    /// Run some scenarios twice: in one run, and as the Job of `parallax shards` on a cluster with the harness's own
    /// node image. The merged verdicts of the Job must be equal to those of the one run. Takes some minutes, 8 GB of
    /// memory and 10 GB of disk.
    Shards(shards::Arguments),
    /// Write `parallax` as one static file to `target/dist`, with the programs of images inside, and its checksum. The
    /// file is tried in an empty folder. The release build takes many minutes.
    Dist(dist::Dist),
    /// Insert faults into the judge, one after another, and fail if no recorded answer detects a fault. Takes seconds
    /// and needs no engine.
    Mutate(mutate::Mutate),
    /// Mutate scenario files, records and agents' frames. No parser may panic or take more than a second for one input.
    Fuzz(fuzz::Fuzz),
    /// Draw comments at random from the Rust files. The comments are for a test: a reader who does not know the
    /// project must understand each comment.
    Comments(comments::Comments),
    /// Compare scenarios/catalogue.md with the existing scenarios and breaks, and add new entries to the file.
    Catalogue {
        /// Add nothing to the file. Exit 1 if the file differs from the existing scenarios and breaks.
        #[arg(long)]
        check: bool,
    },
    /// Run the same checks and tests as CI: `lint`, then `test`.
    Ci {
        /// As root on Debian or Ubuntu, install and start missing software before the tests: the container engine and
        /// the toolchains.
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
        Task::Dist(args) => dist::run(&args),
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
