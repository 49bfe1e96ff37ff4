//! What must hold of a step.

use indexmap::IndexMap;
use parallax_vocab::DnsFault;
use parallax_vocab::answer::Signature;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{NumberBound, StepRef};
use crate::scenario::duration::Span;

/// What must hold: every key that is given. Which keys a step takes depends on what it does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// HTTP status code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599))]
    pub status: Option<u16>,
    /// S3 error code (`http`, `s3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<String>,
    /// Error code of the security token service (`sts`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts: Option<String>,
    /// A part of the token's claims, as `object` has it (`jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
    /// Whether the published keys vouch for the token (`jwt`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The whole body (`http`, `s3 get`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Headers of the answer (`http`), names in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<IndexMap<String, String>>,
    /// The name must not resolve, and the resolver must say this (`dns`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsFault>,
    /// The client must tell no answer, and these words must be among its own (`client`): what it is known to be unable to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The only address that the name has (`dns`), or that was connected to (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The chain that the server sends is the one that this earlier `tls` or `http` step saw: same leaf, same issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_chain_as: Option<StepRef>,
    /// A name in the server's leaf certificate (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_name: Option<String>,
    /// Serial number of the server's leaf certificate (`tls`, `http`), lower-case hexadecimal, as a `rotate` step yields it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// How many certificates the server sends (`tls`, `http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_length: Option<usize>,
    /// Keys that a listing holds, exactly (`s3 list`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<String>>,
    /// The exit code (`script`); 128 and the signal's number where a signal ended it. 0 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub exit: Option<i32>,
    /// Words that standard output holds (`script`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Words that standard error holds (`script`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// A part of the JSON that standard output is (`script`), compared as `object` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// A part of the object: every field given must be there and equal (`resource`). Entries of a list that have a
    /// `type` or `name` are found by it, wherever they stand; other lists are compared whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Value>,
    /// `true`: there must be no such object (`resource`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// Some line holds this text (`log`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// No line holds this text (`log`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_line: Option<String>,
    /// The server's message holds this text (`sts`), or some event's does (`event`). Where `reason` is given too, it is the same event's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Some event has this reason (`event`): `FailedMount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many probes failed so far, exactly (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u64>,
    /// The longest time between two successful probes: the outage that a client sees (`prober`). The prober's beginning
    /// and its end bound it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<SpanBound>,
    /// How many different leaf certificates the probes met, exactly (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serials: Option<usize>,
    /// Probes that have an outcome, at the least (`prober`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// How many numbers there are, exactly (`figures`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The median (`figures`); of an even count, the lower of the two in the middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<NumberBound>,
    /// How many rows the database holds (`sqlite`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<NumberBound>,
    /// What `PRAGMA integrity_check` says (`sqlite`): `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// How many objects the replica has (`replica`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<NumberBound>,
    /// How long ago the newest object of the replica was written (`replica`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<SpanBound>,
    /// The number that is measured (`measure`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<NumberBound>,
    /// The greatest (`figures`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<NumberBound>,
}

/// A bound of a span: one of the two, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SpanBound {
    /// It must be shorter than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Span>,
    /// It must be as long as this or longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Span>,
}
