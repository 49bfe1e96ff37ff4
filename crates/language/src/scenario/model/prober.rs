//! Probers: started by one step, counted by others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DnsStep, HttpStep, Step, StepRef, TlsStep};
use crate::scenario::duration::Span;

/// Start a prober: exactly one of `dns`, `tls` and `http`, asked at a fixed rate from the vantage itself, each time over
/// a fresh connection. A slow answer never delays the next question. The step's `expect` says which answers are
/// successes; without one, a resolved name or a finished handshake is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BackgroundStep {
    /// Resolve a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsStep>,
    /// Do a TLS handshake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStep>,
    /// Send one HTTP request. Of its answers the first 4 KiB of the body are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpStep>,
    /// Probes in a second.
    #[schemars(range(min = 1, max = 200))]
    pub rate: u32,
    /// The longest that one probe may take.
    #[serde(default = "probe_within")]
    pub within: Span,
}

fn probe_within() -> Span {
    Span::seconds(5)
}

impl BackgroundStep {
    /// The step that asks once what the prober asks again and again.
    pub fn probe(&self) -> Step {
        Step { dns: self.dns.clone(), tls: self.tls.clone(), http: self.http.clone(), ..Step::default() }
    }
}

/// Count what a prober has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProberStep {
    /// Id of the `background` step.
    pub of: StepRef,
    /// Stop the prober, wait for the answers in flight, and count those too. With `eventually` it is stopped when the
    /// expectation holds. What no step stops ends with the flow.
    #[serde(default)]
    pub stop: bool,
}
