//! `tls`: makes a TLS handshake.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::model::Source;
use crate::scenario::parts::{Leaves, parts};
use crate::scenario::template::Template;

/// Make a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsStep {
    /// The host name to resolve, to connect to and to verify.
    pub host: Template,
    /// The TCP port.
    #[serde(default = "https_port")]
    pub port: u16,
    /// The server name to send (SNI) and to verify instead of `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Template>,
}

fn https_port() -> u16 {
    443
}

parts!(TlsStep { host, port, server_name });

impl Kinded for TlsStep {
    const NATURE: Nature = Nature::probe(&["dns", "connect", "tls", "mismatch"]);
}

impl Rules for TlsStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Connection]
    }

    fn leaves(&self) -> &'static [Leaves] {
        &[Leaves::Chain]
    }
}
