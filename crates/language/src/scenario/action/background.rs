//! `background`: starts a prober.

use schemars::JsonSchema;
use serde::Deserialize;

use super::nature::AT_ONCE_MS;
use super::{Asks, Directs, DnsStep, Effect, HttpStep, Kinded, Nature, OneOf, Rules, TlsStep, Wrong, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::{ProberOf, Source};
use crate::scenario::parts::{Leaves, Parts, See, below, parts};
use crate::scenario::template::Words;

/// Start a prober. It asks exactly one of `dns`, `tls` and `http` at a fixed rate from the vantage, over a new
/// connection each time. A slow answer does not delay the next question. The step's `expect` says which answers count
/// as successes. Without `expect`, a resolved name or a completed handshake is a success.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BackgroundStep")]
struct BackgroundFile {
    /// Resolve a host name in each probe.
    #[serde(default)]
    dns: Option<DnsStep>,
    /// Make a TLS handshake in each probe.
    #[serde(default)]
    tls: Option<TlsStep>,
    /// Send one HTTP request in each probe. Only the first 4 KiB of the response body are compared.
    #[serde(default)]
    http: Option<HttpStep>,
    /// The number of probes per second.
    #[schemars(range(min = 1, max = 200))]
    rate: u32,
    /// The time limit of one probe, at most 15 s. A step that stops the prober waits for the outstanding answers, but
    /// not longer than 15 s. The default is 5s.
    #[serde(default = "probe_within")]
    within: Span,
}

/// The longest permitted time limit of one probe, in seconds. A step that stops a prober waits until the outstanding
/// probes have ended. The default time limit of that step is 15 s too, so no probe may take longer.
const LONGEST_S: i64 = 15;

fn probe_within() -> Span {
    Span::seconds(5)
}

/// Starts a prober, which repeats one question at a fixed rate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BackgroundFile")]
pub struct BackgroundStep {
    /// The question that the prober repeats.
    pub probe: Probing,
    /// The number of probes per second.
    pub rate: u32,
    /// The time limit of one probe.
    pub within: Span,
}

/// The question that a prober repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probing {
    /// The prober resolves a host name in each probe.
    Dns(DnsStep),
    /// The prober makes a TLS handshake in each probe.
    Tls(TlsStep),
    /// The prober sends an HTTP request in each probe.
    Http(Box<HttpStep>),
}

written_as!(BackgroundStep, BackgroundFile);
parts!(BackgroundStep { probe as "", rate, within });

impl Probing {
    /// Returns the step that asks the prober's question once.
    pub fn asks(&self) -> &dyn Asks {
        match self {
            Self::Dns(it) => it,
            Self::Tls(it) => it,
            Self::Http(it) => &**it,
        }
    }

    fn rules(&self) -> &dyn Rules {
        match self {
            Self::Dns(it) => it,
            Self::Tls(it) => it,
            Self::Http(it) => &**it,
        }
    }
}

impl Parts for Probing {
    fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
        match self {
            Self::Dns(it) => below(at, "dns", |at| it.see(at, to)),
            Self::Tls(it) => below(at, "tls", |at| it.see(at, to)),
            Self::Http(it) => below(at, "http", |at| it.see(at, to)),
        }
    }

    fn filled(&self, words: &Words<'_>) -> Result<Self, String> {
        Ok(match self {
            Self::Dns(it) => Self::Dns(it.filled(words)?),
            Self::Tls(it) => Self::Tls(it.filled(words)?),
            Self::Http(it) => Self::Http(Box::new(it.as_ref().filled(words)?)),
        })
    }
}

impl TryFrom<BackgroundFile> for BackgroundStep {
    type Error = String;

    fn try_from(file: BackgroundFile) -> Result<Self, String> {
        let BackgroundFile { dns, tls, http, rate, within } = file;
        let probe = dns.map(Probing::Dns).or(tls.map(Probing::Tls)).or(http.map(Box::new).map(Probing::Http));
        Ok(Self { probe: probe.ok_or("`background` has no probe")?, rate, within })
    }
}

impl Kinded for BackgroundStep {
    // A failed probe does not fail this step. The failures are counted, and a `prober` step judges their number.
    const NATURE: Nature = Nature { effect: Effect::Starts, ..Nature::probe(&[]) };
    const TYPICAL_MS: u64 = AT_ONCE_MS;
    const ONE_OF: &'static [OneOf] = &[OneOf {
        of: "BackgroundStep",
        what: "probe",
        keys: &["dns", "tls", "http"],
        none: |_, all| Wrong::key("", "`background` has no probe".to_owned(), format!("add one of {all}")),
        two: |_, first, second| {
            let message = format!("`background` has two probes: `{first}` and `{second}`");
            Wrong::key(&format!("/{second}"), message, "start two probers")
        },
    }];
}

impl Directs for BackgroundStep {
    fn starts(&self) -> Option<&dyn Asks> {
        Some(self.probe.asks())
    }

    fn counts(&self) -> Option<&ProberOf> {
        None
    }
}

impl Rules for BackgroundStep {
    fn brings(&self) -> Vec<Source> {
        self.probe.rules().brings()
    }

    fn needs_expect(&self) -> bool {
        false
    }

    fn leaves(&self) -> &'static [Leaves] {
        &[Leaves::Prober]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.probe.rules().check(&judge.below("background"), errors);
        let step = judge.step;
        if matches!(self.probe, Probing::Http(_)) && step.expect.is_none() {
            let message =
                format!("prober `{}` does not say which answers are successes, so it asserts nothing", step.id);
            errors.push(judge.error("/id", message).fix("add `expect:`, for example `expect: { status: 200 }`"));
        }
        if self.within.as_millis() <= 0 {
            let error = judge.error("/background/within", format!("a probe cannot finish within {}", self.within));
            errors.push(error.fix("write the time limit of one probe, for example `5s`"));
        }
        if self.within > Span::seconds(LONGEST_S) {
            let message =
                format!("one probe may take {LONGEST_S} s, because a step that stops the prober waits no longer");
            errors.push(judge.error("/background/within", message).fix(format!("write {LONGEST_S}s or less")));
        }
        for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
            if given {
                let message = format!("a prober is started once, so `{key}` has no effect here");
                let error = judge.key_error(&format!("/{key}"), message);
                errors.push(error.fix(format!("move it to the `prober` step that counts `{}`", step.id)));
            }
        }
    }
}
