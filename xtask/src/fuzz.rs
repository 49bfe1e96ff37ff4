//! `cargo xtask fuzz`: many mutated scenario files, records and frames, which no reader may panic at or take long for.

use anyhow::Result;

use crate::cargo;

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fuzz {
    /// How many inputs, shared by the readers.
    #[arg(value_name = "INPUTS")]
    inputs: usize,
    /// Where the numbers begin; another one tries other inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the test `fuzz` of the integration binary with so many inputs. What was too much for a reader is kept in
/// `target/TARGET/tmp/fuzz`: once mended, it belongs into `tests/fuzz`.
pub(crate) fn run(args: &Fuzz) -> Result<bool> {
    let mut command = cargo::cargo();
    command.args(["test", "--workspace", "--test", "it", "--", "--nocapture", "fuzz::"]);
    command.env("PARALLAX_FUZZ", args.inputs.to_string()).env("PARALLAX_FUZZ_SEED", args.seed.to_string());
    cargo::succeeds(&mut command)
}
