//! Programs that run at a vantage: a user's script, or another client that does the same as one of the harness's
//! probes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::question::{HttpQuestion, PresignQuestion, S3Question};
use crate::secret::Secret;

/// The environment variable with the path of a program's certificate bundle. The bundle is a file with the view's
/// trusted certificates.
pub const CA_BUNDLE_ENV: &str = "PARALLAX_CA_BUNDLE";
/// The placeholder for that path in arguments and in values of variables. It has the form in which a shell would expand
/// it.
pub const CA_BUNDLE: &str = "${PARALLAX_CA_BUNDLE}";
/// The largest part of each output stream that an answer contains, in bytes.
pub const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;

/// Run one program until it ends.
///
/// It runs in a new folder, which is its `HOME` and `TMPDIR` and is removed afterwards. When the program ends, or the
/// deadline passes, its whole process group is killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuestion {
    /// The program and its arguments. The list is never empty.
    pub argv: Vec<String>,
    /// The environment of the program. Only `PATH` is inherited.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// The standard input of the program; empty if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Secret>,
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReply {
    /// The exit code of the program; 128 plus the signal's number if a signal ended it, as shells report it.
    pub exit: i32,
    /// The signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Standard output, cut after [`OUTPUT_LIMIT_BYTES`]. Bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Full length of standard output in bytes.
    pub stdout_bytes: u64,
    /// Standard error, with the same limit.
    pub stderr: String,
    /// Full length of standard error in bytes.
    pub stderr_bytes: u64,
    /// Standard output as JSON, if it is one complete document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

/// Let another client do what a probe would do. The task goes in as JSON and the outcome comes out as JSON
/// (`images/clients/programs/clients/contract.py`). The reply has the same type as the probe's: a signed URL, an HTTP
/// answer, an S3 answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientQuestion {
    /// The client's name, for messages.
    pub client: String,
    /// The path of the client's program at the vantage.
    pub program: String,
    /// The variable from which this client reads the path of its certificate bundle.
    pub trust_in: String,
    /// Additional environment variables of the program.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Whether the client gets endpoint, region and credentials from its own default chain. The task then contains none
    /// of them.
    #[serde(default)]
    pub chain: bool,
    /// The origin of the page that sends the request, for a browser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The task of the client.
    pub task: ClientTask,
}

/// What a client is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTask {
    /// The task to sign a URL.
    Presign(PresignQuestion),
    /// The task to execute one S3 operation.
    S3(S3Question),
    /// The task to send one HTTP request.
    Http(HttpQuestion),
}
