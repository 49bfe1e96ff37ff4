//! Programs at a vantage: a script of the user's, or a foreign client that does what a probe of ours would do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::question::{HttpQuestion, PresignQuestion, S3Question};
use crate::secret::Secret;

/// The variable that every program finds the path of its certificate bundle in: a file made from the view's trust.
pub const CA_BUNDLE_ENV: &str = "PARALLAX_CA_BUNDLE";
/// Stands for that path in arguments and in the values of variables; a shell would replace it by the same.
pub const CA_BUNDLE: &str = "${PARALLAX_CA_BUNDLE}";
/// How much of each output stream an answer carries.
pub const OUTPUT_LIMIT_BYTES: usize = 64 * 1024;

/// Run one program to its end.
///
/// It runs in a fresh folder, which is its `HOME` and `TMPDIR` and is removed afterwards. When it ends, or the deadline
/// passes, every process of its group is killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunQuestion {
    /// Program and arguments; at least the program.
    pub argv: Vec<String>,
    /// Its environment. Nothing is inherited but `PATH`.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// What it reads on standard input; nothing where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Secret>,
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunReply {
    /// Its exit code; 128 and the signal's number where a signal ended it, as shells tell it.
    pub exit: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Standard output, at most [`OUTPUT_LIMIT_BYTES`]; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Whole length of standard output in bytes.
    pub stdout_bytes: u64,
    /// Standard error, likewise.
    pub stderr: String,
    /// Whole length of standard error in bytes.
    pub stderr_bytes: u64,
    /// Standard output as JSON, where it is one whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
}

/// Let a foreign client do what a probe would do: JSON in and JSON out (`images/clients/programs/clients/contract.py`).
/// The reply is the probe's own: a signed URL, an HTTP answer, an S3 answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientQuestion {
    /// The client's name, for messages.
    pub client: String,
    /// Its program at the place.
    pub program: String,
    /// The variable in which this client reads the path of its certificate bundle.
    pub trust_in: String,
    /// Further environment.
    #[serde(default)]
    pub env: BTreeMap<String, Secret>,
    /// Whether it finds endpoint, region and credentials by its own default chain, and is told none of them.
    #[serde(default)]
    pub chain: bool,
    /// The origin of the page that a browser asks from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What to do.
    pub task: ClientTask,
}

/// What a client is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTask {
    /// Sign a URL.
    Presign(PresignQuestion),
    /// One S3 operation.
    S3(S3Question),
    /// Send one HTTP request.
    Http(HttpQuestion),
}
