//! Programs that run at a vantage: a script of the user, or another client (such as curl) that does the work of one of
//! the harness's probes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::question::{HttpQuestion, PresignQuestion, S3Question};
use crate::secret::Secret;

/// The name of the environment variable that tells a program where its certificate bundle is. The bundle is a PEM file
/// with the certificates that the vantage trusts.
pub const CA_BUNDLE_ENV: &str = "PARALLAX_CA_BUNDLE";
/// A placeholder for the path of the certificate bundle. It may occur in the arguments of a program and in the values
/// of its environment variables. A shell replaces the same text by the value of the variable [`CA_BUNDLE_ENV`], which
/// is the same path.
pub const CA_BUNDLE: &str = "${PARALLAX_CA_BUNDLE}";
/// The largest part of stdout, and of stderr, that a reply contains, in bytes.
pub const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;

/// Returns the message which says that a vantage does not have the program.
pub fn missing(program: &str) -> String {
    format!("{NO_PROGRAM}{program}` here")
}

/// Whether [`missing`] made this message.
pub fn is_missing(message: &str) -> bool {
    message.starts_with(NO_PROGRAM)
}

/// The text with which the message about a missing program begins.
const NO_PROGRAM: &str = "there is no program `";

/// Runs one program until it ends.
///
/// The program runs in a new folder, which is its `HOME` and `TMPDIR` and is removed afterwards. When the program ends
/// or the time limit passes, all processes of the program are killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuestion {
    /// The program and its arguments. The list is never empty.
    pub argv: Vec<String>,
    /// The environment variables of the program. The program inherits only `PATH` from the environment of the vantage.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// The standard input of the program; `None` for an empty input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Secret>,
}

/// How a program ended, and its output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReply {
    /// The exit code of the program; 128 plus the signal's number if a signal ended it, as shells report it.
    pub exit: i32,
    /// The number of the signal that ended the program; `None` if it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The standard output, as UTF-8 text. It is cut after [`OUTPUT_LIMIT_BYTES`], and bytes that are not UTF-8 are
    /// replaced.
    pub stdout: String,
    /// The full length of the standard output in bytes.
    pub stdout_bytes: u64,
    /// The standard error, as UTF-8 text, cut after [`OUTPUT_LIMIT_BYTES`].
    pub stderr: String,
    /// The full length of the standard error in bytes.
    pub stderr_bytes: u64,
    /// The standard output as a JSON value; `None` if it is not exactly one JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

/// Lets another client (an SDK, curl, a browser) do the task of one of the harness's probes. The client reads the task
/// as JSON and prints the outcome as JSON (`images/clients/programs/clients/contract.py`). The reply is of the same
/// type as the probe's reply: a signed URL, an HTTP reply or an S3 reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientQuestion {
    /// The name of the client, for messages.
    pub client: String,
    /// The path of the client's program file at the vantage.
    pub program: String,
    /// The name of the environment variable from which this client reads the path of its certificate bundle.
    pub trust_in: String,
    /// Additional environment variables of the program.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Whether the client must find endpoint, region and credentials itself, by its default credential chain. The task
    /// then contains none of these three.
    #[serde(default)]
    pub chain: bool,
    /// For a browser: the origin of the web page that sends the request, for example `https://app.example.com`. `None`
    /// for other clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What the client must do.
    pub task: ClientTask,
}

/// What another client must do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTask {
    /// Sign a URL.
    Presign(PresignQuestion),
    /// Do one S3 operation.
    S3(S3Question),
    /// Send one HTTP request.
    Http(HttpQuestion),
}
