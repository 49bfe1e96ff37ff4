//! `background`: a prober, started.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DnsStep, Effect, HttpStep, Kinded, Nature, OneOf, Rules, TlsStep, Wrong, written_as};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::duration::Span;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::{Leaves, Parts, See, below, parts};
use crate::scenario::template::Words;

/// Start a prober: exactly one of `dns`, `tls` and `http`, asked at a fixed rate from the vantage itself, each time over
/// a fresh connection. A slow answer never delays the next question. The step's `expect` says which answers are
/// successes; without one, a resolved name or a finished handshake is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "BackgroundStep")]
struct BackgroundFile {
    /// Resolve a name.
    #[serde(default)]
    dns: Option<DnsStep>,
    /// Do a TLS handshake.
    #[serde(default)]
    tls: Option<TlsStep>,
    /// Send one HTTP request. Of its answers the first 4 KiB of the body are compared.
    #[serde(default)]
    http: Option<HttpStep>,
    /// Probes in a second.
    #[schemars(range(min = 1, max = 200))]
    rate: u32,
    /// The longest that one probe may take.
    #[serde(default = "probe_within")]
    within: Span,
}

fn probe_within() -> Span {
    Span::seconds(5)
}

/// Start a prober.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BackgroundFile")]
pub struct BackgroundStep {
    /// What it asks again and again.
    pub probe: Probing,
    /// Probes in a second.
    pub rate: u32,
    /// The longest that one probe may take.
    pub within: Span,
}

/// What a prober asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probing {
    /// The addresses of a name.
    Dns(DnsStep),
    /// A handshake.
    Tls(TlsStep),
    /// A request.
    Http(Box<HttpStep>),
}

written_as!(BackgroundStep, BackgroundFile);
parts!(BackgroundStep { probe as "", rate, within });

impl Probing {
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
        Ok(Self { probe: probe.ok_or("`background` asks nothing")?, rate, within })
    }
}

impl Kinded for BackgroundStep {
    // A prober's failures are counted, and the count is judged by another step.
    const NATURE: Nature = Nature { effect: Effect::Starts, ..Nature::probe(&[]) };
    const ONE_OF: Option<OneOf> = Some(OneOf {
        of: "BackgroundStep",
        what: "probe",
        keys: &["dns", "tls", "http"],
        none: |_, all| Wrong::key("", "`background` asks nothing".to_owned(), format!("give it one of {all}")),
        two: |_, first, second| {
            let message = format!("`background` asks two things: `{first}` and `{second}`");
            Wrong::key(&format!("/{second}"), message, "make it two probers")
        },
    });
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
            let error = judge.error("/background/within", format!("no probe can be done in {}", self.within));
            errors.push(error.fix("write the longest that one probe may take, for example `5s`"));
        }
        for (key, given) in [("eventually", step.eventually.is_some()), ("consistently", step.consistently.is_some())] {
            if given {
                let message = format!("a prober is started once, whatever its probes see: `{key}` says nothing here");
                let error = judge.key_error(&format!("/{key}"), message);
                errors.push(error.fix(format!("move it to the `prober` step that counts `{}`", step.id)));
            }
        }
    }
}
