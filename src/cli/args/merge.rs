//! The arguments of `merge`.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  parallax e2e --shard 1/2 --out one; parallax e2e --shard 2/2 --out two
  parallax merge one/latest two/latest --out whole
  parallax merge shards/*/r* --out whole            in CI: the artifacts of all jobs
  parallax merge s3://runs/nightly-7 --out whole    in CI: what `e2e --upload s3://runs/nightly-7` put there
";

/// Arguments of `merge`.
#[derive(Clone, Debug, Args)]
pub struct Merge {
    /// The records of the shards, or the folders of the shards' runs. `s3://BUCKET/FOLDER` means all records below this
    /// folder of a bucket. `AWS_ENDPOINT_URL_S3` and the other variables of the AWS CLI set the store and the
    /// credentials.
    #[arg(value_name = "RECORD", required = true)]
    pub records: Vec<PathBuf>,
    /// The folder into which the joint record and its reports are written. The command creates it.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}
