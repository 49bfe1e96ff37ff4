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
    /// The form of the output. `job` is a Kubernetes Indexed Job, and a `ConfigMap` with the project's files (a Secret
    /// if they contain objects of charts).
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub form: Form,
    /// The number of shards. Each shard is one pod. All variants of a scenario are in one shard.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub shards: u16,
    /// The number of shards that run at the same time [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallelism: Option<u16>,
    /// The image of the pods: the image `runner` of images.lock, with the registry to which you pushed it.
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// The name of the Job, and of its folder in the bucket [default: `parallax-` followed by a new id].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The namespace of the Job [default: the namespace of the kubectl context].
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The folder of a bucket, `s3://BUCKET/FOLDER`, to which the shards upload their records. The shards create a
    /// folder with the name of the Job there.
    #[arg(long, value_name = "s3://BUCKET/FOLDER")]
    pub upload: Place,
    /// The URL of the store that has the bucket, as the pods reach it [default: AWS].
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The region of the bucket [default: us-east-1].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The Secret that contains `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` for the bucket.
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// The `ServiceAccount` of the pods, if they authenticate to the store with its token.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The `ConfigMap` whose key `ca.crt` contains the authorities that issued the store's certificate.
    #[arg(long, value_name = "NAME")]
    pub ca: Option<String>,
    /// The CPU request of each pod, as a Kubernetes quantity.
    #[arg(long, value_name = "QUANTITY", default_value = "2")]
    pub cpu: String,
    /// The memory request of each pod, as a Kubernetes quantity.
    #[arg(long, value_name = "QUANTITY", default_value = "8Gi")]
    pub memory: String,
    /// A folder on the cluster's nodes in which the image cache is kept between Jobs. Kubernetes creates it.
    #[arg(long, value_name = "DIR")]
    pub node_cache: Option<PathBuf>,
    /// The folder of the project in the image. Without this option, a `ConfigMap` contains the project's `scenarios`,
    /// `fixtures` and `images`.
    #[arg(long, value_name = "DIR")]
    pub project_in_image: Option<PathBuf>,
    /// Filters and options for `parallax e2e`, after `--`.
    #[arg(value_name = "E2E-ARG", last = true)]
    pub e2e: Vec<String>,
}

/// The form of the manifest that `shards` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A Kubernetes Indexed Job.
    Job,
}
