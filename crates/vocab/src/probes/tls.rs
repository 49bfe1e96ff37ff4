//! The probe `tls`: makes a TLS handshake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Makes a TLS handshake with `host:port`. The certificate is verified with the certificates that the vantage trusts
/// (`trust` in the question's view).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsQuestion {
    /// The name or address of the server to which the probe connects.
    pub host: String,
    /// The TCP port to which the probe connects.
    pub port: u16,
    /// The server name that the probe sends (SNI) and verifies in the certificate. `None` means the value of `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl Asked for TlsQuestion {
    fn in_words(&self) -> String {
        let Self { host, port, server_name } = self;
        let server_name = server_name.as_ref().map(|it| format!(" as {it}")).unwrap_or_default();
        format!("a handshake with {host}:{port}{server_name}")
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Host(&self.host),
            names: Names::Question,
            http: None,
            signed: None,
            token: None,
            signs: None,
            exchange: None,
            is_program: false,
            may_write: false,
        }
    }
}

/// A completed TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsReply {
    /// The name for which the certificate was verified.
    pub server_name: String,
}

impl Replied for TlsReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: None,
            s3_error: None,
            sts: None,
            addresses: None,
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: None,
            run: None,
            request_id: None,
            is_refusal_to_show: false,
            is_of_a_store: false,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: None, json: None }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
