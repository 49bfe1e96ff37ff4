//! `tls`: makes a TLS handshake.

use std::num::NonZeroU16;

use parallax_vocab::Probe;
use parallax_vocab::question::TlsQuestion;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::nature::AT_ONCE_MS;
use super::{Asks, Kinded, Nature, Rules, Special};
use crate::scenario::model::Source;
use crate::scenario::number::Number;
use crate::scenario::parts::{Leaves, Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// Make a TLS handshake, and read the certificate chain of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlsStep {
    /// The host name to resolve, to connect to and to verify in the certificate.
    pub host: Template,
    /// The TCP port. A reference can yield it: `"{{ service.node-port }}"`.
    #[serde(default = "https")]
    pub port: Number<NonZeroU16, Template>,
    /// The server name to send (SNI) and to verify instead of `host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<Template>,
}

/// The default port of a `tls` step, which is the port of HTTPS.
fn https() -> Number<NonZeroU16, Template> {
    Number::Known(const { NonZeroU16::new(443).expect("not zero") })
}

parts!(TlsStep { host, port, server_name });

impl Kinded for TlsStep {
    const NATURE: Nature = Nature::probe(&["dns", "connect", "tls", "mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Asks for TlsStep {
    fn question(&self, words: &Words<'_>, _: &dyn Asking) -> Result<Probe, String> {
        let Self { host, port, server_name } = self.filled(words)?;
        let (port, server_name) = (port.number()?.get(), server_name.as_ref().map(ToString::to_string));
        Ok(Probe::Tls(TlsQuestion { host: host.to_string(), port, server_name }))
    }

    fn special(&self) -> Special<'_> {
        Special { store: None, token: None, token_of: None, presents: None, signs: None, program: None, runs: None }
    }
}

impl Rules for TlsStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Connection]
    }

    fn leaves(&self) -> &'static [Leaves] {
        &[Leaves::Chain]
    }
}
