//! `cargo xtask fuzz` gives many mutated scenario files, records and frames to their parsers. The parsers must not
//! panic or be slow.

use anyhow::Result;

use crate::cargo;

/// The command-line arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fuzz {
    /// The number of mutated inputs for all parsers together, such as 1000000.
    #[arg(value_name = "INPUTS")]
    inputs: usize,
    /// Test only this parser: `scenario`, `record`, `frame`, or `saw` (the log that `parallax explain --saw` reads).
    /// All inputs are then for this parser.
    #[arg(long)]
    reader: Option<String>,
    /// The seed of the first mutation. With another seed, a run tests other inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the test `fuzz` of the integration tests with the given number of inputs. An input on which a parser fails is
/// saved in `target/TARGET/tmp/fuzz`, where `TARGET` is the platform, such as `x86_64-unknown-linux-gnu`. After the
/// parser is corrected, add this input to `tests/fuzz`.
pub(crate) fn run(args: &Fuzz) -> Result<bool> {
    let mut command = cargo::cargo();
    command.args(["test", "--workspace", "--test", "it", "--", "--nocapture", "fuzz::"]);
    command.env("PARALLAX_FUZZ", args.inputs.to_string()).env("PARALLAX_FUZZ_SEED", args.seed.to_string());
    if let Some(reader) = &args.reader {
        command.env("PARALLAX_FUZZ_READER", reader);
    }
    cargo::succeeds(&mut command)
}
