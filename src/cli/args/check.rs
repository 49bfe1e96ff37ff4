//! The arguments of `check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The store: a host, or a URL without a path.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// The kubeconfig [default: as for kubectl].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace for the pod [default: that of the context].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Make no pod, and ask from this machine only.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "namespace", "service_account", "image"])]
    pub outside_only: bool,
    /// The image with the agent. The cluster's nodes must be able to get it.
    #[arg(long, value_name = "IMAGE", required_unless_present = "outside_only")]
    pub image: Option<String>,
    /// A bucket of the store.
    ///
    /// With keys in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (and `AWS_SESSION_TOKEN`), presigned URLs are checked,
    /// too. Two objects are then written below `parallax-check/` and removed.
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// Take the keys from this Secret of the namespace, `secret/NAME`, and not from the environment.
    #[arg(long, value_name = "secret/NAME", conflicts_with = "outside_only")]
    pub credentials_from: Option<String>,
    /// The region to sign for [default: `AWS_REGION`, else `us-east-1`].
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// A certificate to trust, PEM, instead of those of this machine. Can be repeated.
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// Ask this name server outside, and not those of this machine. Can be repeated.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub name_server: Vec<SocketAddr>,
    /// Check the web identity of this `ServiceAccount`: the pod gets its token.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The audience of the token.
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com", requires = "service_account")]
    pub audience: String,
    /// The role to assume with the token; empty for a provider that maps claims to policies. Without it, nothing signs in.
    #[arg(long, value_name = "ARN", requires = "service_account")]
    pub role: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also write the result as JUnit XML into this file: one case for each row and side.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}
