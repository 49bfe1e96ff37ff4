//! The arguments of `explain`.

use clap::Args;

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// What to explain: a record, or the folder of a run [default: target/e2e/latest in the project]; or a presigned
    /// URL, in quotes.
    #[arg(value_name = "RECORD|URL")]
    pub what: Option<String>,
    /// Explain only this scenario, variant or step.
    #[arg(value_name = "VARIANT|STEP")]
    pub only: Option<String>,
    /// Also explain the steps that failed because a break made them fail, as the scenario declares.
    #[arg(long)]
    pub all: bool,
    /// The request as the log of a proxy or of the store shows it, to be compared with the URL. `@FILE` reads a file,
    /// and `-` reads standard input.
    ///
    /// The text may be `METHOD URL`, the head of a request (as `curl -v` prints it), or only its headers. It may also
    /// be a line in JSON, or a line of the log of nginx, Apache, Traefik, Envoy, Istio or `HAProxy`. It may also be
    /// the lines of one request from `mc admin trace -v`. A part of the request that the text does not contain counts
    /// as unchanged. The option can be repeated, in the order in which the request passed the programs that wrote the
    /// logs. The command then also says between which two logs something changed.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub saw: Vec<String>,
    /// The environment variable that contains the secret key with which the URL was signed. With the key, the command
    /// can prove that it names all parts of the request that were changed.
    #[arg(long, value_name = "VAR", requires = "saw")]
    pub secret_env: Option<String>,
    /// The HTTP method for which the URL was signed, if the URL does not contain the method.
    #[arg(long, value_name = "METHOD", requires = "saw")]
    pub method: Option<String>,
    /// Print the findings about a URL as JSON.
    #[arg(long)]
    pub json: bool,
}
