//! Programs that run at a vantage: a user's script, or another client that does what one of our probes does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::question::{HttpQuestion, PresignQuestion, S3Question};
use crate::secret::Secret;

/// The variable that holds the path of a program's certificate bundle: a file made from the view's trusted
/// certificates.
pub const CA_BUNDLE_ENV: &str = "PARALLAX_CA_BUNDLE";
/// The placeholder for that path in arguments and in values of variables; it has the form in which a shell would expand
/// it.
pub const CA_BUNDLE: &str = "${PARALLAX_CA_BUNDLE}";
/// An answer carries at most this much of each output stream.
pub const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;

/// Run one program until it ends.
///
/// It runs in a new folder, which is its `HOME` and `TMPDIR` and is removed afterwards. When the program ends, or the
/// deadline passes, its whole process group is killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunQuestion {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Its environment. Only `PATH` is inherited.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Its standard input; empty if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Secret>,
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunReply {
    /// Its exit code; 128 plus the signal's number if a signal ended it, as shells report it.
    pub exit: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Standard output, at most [`OUTPUT_LIMIT_BYTES`]; bytes that are not UTF-8 are replaced.
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
    /// Path of its program at the vantage.
    pub program: String,
    /// The variable from which this client reads the path of its certificate bundle.
    pub trust_in: String,
    /// Further environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Whether the client gets endpoint, region and credentials from its own default chain; the task then has none of
    /// them.
    #[serde(default)]
    pub chain: bool,
    /// For a browser: the origin of the page that sends the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What to do.
    pub task: ClientTask,
}

/// What a client is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTask {
    /// Sign a URL.
    Presign(PresignQuestion),
    /// One S3 operation.
    S3(S3Question),
    /// Send one HTTP request.
    Http(HttpQuestion),
}
