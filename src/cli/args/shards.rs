//! The arguments of `shards`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::bucket::Place;

pub(super) const EXAMPLES: &str = "\
Examples:
  parallax shards --as job --shards 4 --image registry.example.com/parallax-runner:1 --upload s3://runs --secret runs-writer > job.yaml
  parallax shards --as job --shards 4 --image runner:1 --upload s3://runs/nightly --service-account shards | kubectl create -f -
  parallax shards --as job --shards 2 --image runner:1 --upload s3://runs --endpoint https://minio.example.com --ca store-ca --secret runs-writer -- presign --breaks none > job.yaml

`docs/ci.md` says how to make the image, and what the cluster and the bucket must allow.
";

/// Arguments of `shards`.
#[derive(Clone, Debug, Args)]
pub struct Shards {
    /// What to print: `job` is a Kubernetes Indexed Job, and a `ConfigMap` with the project's files.
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub form: Form,
    /// How many shards, one pod each. A scenario is not divided.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub shards: u16,
    /// How many of them run at the same time [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallelism: Option<u16>,
    /// The image of the pods: `runner` of images.lock, from the registry to which you pushed it.
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// The name of the Job and of its folder in the bucket [default: parallax- and a new id].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The namespace [default: that of the kubectl context].
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Where the shards put their records: into a folder below this one with the name of the Job.
    #[arg(long, value_name = "s3://BUCKET/FOLDER")]
    pub upload: Place,
    /// The store's URL, as the pods reach it [default: AWS].
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The region of the bucket [default: us-east-1].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` for the bucket.
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// The `ServiceAccount` of the pods, if they sign in to the store with its token.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The `ConfigMap` whose `ca.crt` has the authorities of the store's certificate.
    #[arg(long, value_name = "NAME")]
    pub ca: Option<String>,
    /// The processors that each pod requests.
    #[arg(long, value_name = "QUANTITY", default_value = "2")]
    pub cpu: String,
    /// The memory that each pod requests.
    #[arg(long, value_name = "QUANTITY", default_value = "8Gi")]
    pub memory: String,
    /// A folder on the cluster's nodes that keeps the cache of images between Jobs; it is created.
    #[arg(long, value_name = "DIR")]
    pub node_cache: Option<PathBuf>,
    /// The folder of the project in the image. Without it, the project's `scenarios`, `fixtures` and `images` travel in a
    /// `ConfigMap`.
    #[arg(long, value_name = "DIR")]
    pub project_in_image: Option<PathBuf>,
    /// Arguments of `parallax e2e`, after `--`: filters and options.
    #[arg(value_name = "E2E-ARG", last = true)]
    pub e2e: Vec<String>,
}

/// What `shards` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A Kubernetes Indexed Job.
    Job,
}
