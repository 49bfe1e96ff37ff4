//! The arguments of `check`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use parallax_language::scenario::Span;

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The store to check: a host, with or without a port, or a URL without a path, for example `minio.example.com`.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// The path of the kubeconfig [default: the kubeconfig that kubectl uses].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: the current context].
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace in which the pod is created [default: the namespace of the context].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Ask only from this machine, and create no pod.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "namespace", "service_account", "image", "attach"])]
    pub outside_only: bool,
    /// The image of the pod that the check creates. It must contain `parallax-agent`, and the cluster's nodes must be
    /// able to pull it.
    ///
    /// With `--attach`, it is the image of an ephemeral container, which is created only if the application's container
    /// has no shell or no folder for the agent.
    #[arg(long, value_name = "IMAGE", required_unless_present_any = ["outside_only", "attach"])]
    pub image: Option<String>,
    /// Ask from a container of this application, as `deploy/NAME`, `statefulset/NAME`, `daemonset/NAME` or `pod/NAME`,
    /// and not from a pod of the check's own.
    ///
    /// The agent is written into the container through exec, and removed at the end. This option includes `--app`,
    /// and checks how the application's own programs resolve the store's name and which certificates they trust. With
    /// `--service-account`, the check requests the token from the apiserver, because the pod may have none.
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "app")]
    pub attach: Option<String>,
    /// The container of the application's pod, if the pod has several.
    #[arg(long, value_name = "NAME", requires = "attach")]
    pub container: Option<String>,
    /// A bucket of the store.
    ///
    /// If `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (and, if needed, `AWS_SESSION_TOKEN`) are set, presigned URLs
    /// are checked, too. The check then writes objects below `parallax-check/` and removes them.
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// The size in MiB of a large object that this machine and the pod each write, to find a proxy that limits the
    /// size of bodies. At most 64; with 0, no large object is written.
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=64))]
    pub large_body: u64,
    /// Read the store's access keys from this Secret of the namespace, in the form `secret/NAME`, and not from the
    /// environment variables.
    #[arg(long, value_name = "secret/NAME", conflicts_with = "outside_only")]
    pub credentials_from: Option<String>,
    /// The region for which requests are signed [default: `AWS_REGION`, else `us-east-1`].
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// A PEM file of certificates to trust, in place of the certificates that this machine trusts. Can be repeated.
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// The address of a name server to ask from this machine, in place of the machine's own name servers. Can be
    /// repeated.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub name_server: Vec<SocketAddr>,
    /// Check the web identity of this `ServiceAccount`. The pod gets a token of the `ServiceAccount`.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The audience of the ServiceAccount's token.
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com", requires = "service_account")]
    pub audience: String,
    /// The ARN of the role to assume with the token. Give an empty text for a store that derives the rights from the
    /// token's claims. Without this option, the token is not exchanged for credentials.
    #[arg(long, value_name = "ARN", requires = "service_account")]
    pub role: Option<String>,
    /// The time for which an application's presigned URLs must be valid, for example `7d`. If the application signs
    /// them with the credentials that it gets for its token, they end with these credentials. The row `link` is red
    /// if the credentials end too early.
    #[arg(long, value_name = "DURATION", requires = "role", value_parser = span)]
    pub links_for: Option<Span>,
    /// An application that uses the store, as `deploy/NAME`, `statefulset/NAME`, `daemonset/NAME` or `pod/NAME`. The
    /// check compares the application's settings with its own, and its pod resolves names as the application's pod
    /// does.
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "outside_only")]
    pub app: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Also write the result as JUnit XML to this file: one test case for each row and each side (this machine, the
    /// cluster).
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Also write the check's questions as a scenario with breaks: `scenarios/NAME/scenario.yaml`. If the file
    /// already exists, it is not changed, and the command fails.
    #[arg(long, value_name = "NAME")]
    pub save: Option<String>,
}

fn span(text: &str) -> Result<Span, String> {
    text.parse()
}
