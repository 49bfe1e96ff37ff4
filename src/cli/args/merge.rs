//! The arguments of `merge`.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  parallax e2e --shard 1/2 --out one; parallax e2e --shard 2/2 --out two
  parallax merge one/latest two/latest --out whole
  parallax merge shards/*/r* --out whole        in CI: the artifacts of all jobs
";

/// Arguments of `merge`.
#[derive(Clone, Debug, Args)]
pub struct Merge {
    /// The records of the shards, or their runs' folders.
    #[arg(value_name = "RECORD", required = true)]
    pub records: Vec<PathBuf>,
    /// The folder for the joint record and its reports; it is created.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}
