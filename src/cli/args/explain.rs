//! The arguments of `explain`.

use clap::Args;

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The record, or the run's folder [default: target/e2e/latest in the project]; or a presigned URL, in quotes.
    #[arg(value_name = "RECORD|URL")]
    pub what: Option<String>,
    /// Only this scenario, variant or step.
    #[arg(value_name = "VARIANT|STEP")]
    pub only: Option<String>,
    /// Explain the steps that failed as declared, too.
    #[arg(long)]
    pub all: bool,
    /// What somebody's log shows of the request, to be compared with the URL; `@FILE` reads a file, `-` standard input.
    ///
    /// It may be `METHOD URL`, the head of a request (as `curl -v` prints it) or its headers, a line of the log of nginx,
    /// Apache, Traefik, Envoy, Istio or `HAProxy`, a line in JSON, or the request's lines of `mc admin trace -v`. What the
    /// text does not show counts as unchanged. Given several times, in the order of the request's way, it also tells
    /// between which two logs something changed.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub saw: Vec<String>,
    /// The environment variable with the secret key that signed. With it the comparison becomes a proof.
    #[arg(long, value_name = "VAR", requires = "saw")]
    pub secret_env: Option<String>,
    /// The method that the URL was signed for, if the URL does not say it.
    #[arg(long, value_name = "METHOD", requires = "saw")]
    pub method: Option<String>,
    /// Print what is found about a URL as JSON.
    #[arg(long)]
    pub json: bool,
}
