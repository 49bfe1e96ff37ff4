//! Builds the sentence that explains the cause of a failed step and its fix.

use parallax_vocab::course::Round;
use parallax_vocab::event::{READINESS, StepEnded, Verdict};
use parallax_vocab::probes::{Addressed, Names};
use parallax_vocab::question::{Probe, Question};
use parallax_vocab::signature::SignatureFinding;
use parallax_vocab::{Answer, Cause, Certificate, ConnectFault, DnsFault, TlsFault, VantageId};
use url::Url;

use super::refusal;
use super::style::{self, Virtual};
use super::unready::unready;

/// The step that the sentence is about, with its question and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The id of the step.
    pub step: &'a str,
    /// The id of the vantage, the place from which the question was asked. `None` if the step uses no vantage.
    pub from: Option<&'a str>,
    /// Whether the vantage is a pod.
    pub inside: bool,
    /// The question that was asked at the vantage. `None` if the step uses no vantage.
    pub question: Option<&'a Question>,
    /// The answer to the question. `None` if there is none.
    pub answer: Option<&'a Answer>,
    /// The run's finding about a signature that the store refused. `None` if the run did not examine a signature.
    pub signature: Option<&'a SignatureFinding>,
    /// Whether the question comes from a scenario. Only then may a sentence advise the user to change which
    /// certificates a vantage of the scenario trusts.
    pub in_scenario: bool,
}

impl<'a> Subject<'a> {
    /// Returns the subject for a recorded step. The record contains everything that a sentence needs.
    pub fn of(step: &'a StepEnded) -> Self {
        Self {
            step: step.step.as_str(),
            from: step.from.as_ref().map(VantageId::as_str),
            inside: step.inside,
            question: step.question.as_ref(),
            answer: step.answer.as_ref(),
            signature: step.signature.as_deref(),
            in_scenario: true,
        }
    }
}

/// Returns one sentence that says what is wrong and how to fix it.
pub fn sentence(subject: &Subject<'_>, cause: &Cause) -> String {
    let step = subject.step;
    let from = subject.from.map(|it| format!(" from {it}")).unwrap_or_default();
    let host = subject.question.map(|it| host(&it.probe)).unwrap_or_default();
    match cause {
        Cause::Dns { detail, .. } if subject.question.is_some_and(|it| it.probe.facts().names == Names::Issuer) => {
            format!(
                "`{step}`{from}: the token's issuer, or the keys that its discovery document leads to, cannot be found from here ({detail}); `jwks_uri` is what the apiserver was told: `--kube-apiserver-arg=service-account-jwks-uri=https://kubernetes.default.svc.cluster.local/openid/v1/jwks`, or a name that is known where tokens are checked"
            )
        }
        Cause::Dns { fault: DnsFault::NoSuchName, .. }
            if let Some(style) = subject.question.and_then(Virtual::of).filter(|it| it.is_host(&host)) =>
        {
            format!("`{step}`{from}: {}", style.no_such_name(&host, subject.inside))
        }
        Cause::Dns { fault, detail } => format!("`{step}`{from}: {}", dns(*fault, &host, subject.inside, detail)),
        Cause::Connect { fault, detail } => format!("`{step}`{from}: {}", connect(*fault, &host, detail)),
        Cause::Tls { fault, detail } => {
            let leaf = subject.answer.and_then(|it| it.evidence.chain.first());
            let last = subject.answer.and_then(|it| it.evidence.chain.last());
            // An application's own pod trusts the certificates in its container. The scenario does not choose these
            // certificates, so the sentence must not advise a change of the scenario.
            let is_own = subject.question.is_some_and(|it| it.view.own_resolver.is_some());
            let trusts_nothing = !is_own && subject.question.is_some_and(|it| it.view.trust.is_empty());
            let vantage = subject.from.filter(|_| subject.in_scenario && !is_own);
            format!("`{step}`{from}: {}", tls(*fault, &host, detail, (leaf, last), trusts_nothing, vantage))
        }
        Cause::Status { status: status @ (401 | 403), s3: None, detail }
            if subject.question.is_some_and(|it| it.probe.facts().names == Names::Issuer) =>
        {
            format!(
                "`{step}`{from}: the issuer answers {status} to an anonymous request ({detail}); a store reads the issuer's documents without signing in: let the apiserver take anonymous requests for them (401), and bind the ClusterRole system:service-account-issuer-discovery to system:anonymous (403), or publish the documents elsewhere"
            )
        }
        Cause::Status { status, s3, detail } => {
            let code = s3.as_deref().unwrap_or_default();
            format!("`{step}`{from}: {}", refusal::sentence(*status, code, detail, subject))
        }
        Cause::Sts { status, code, detail } => {
            let code = code.as_deref().unwrap_or("no error code");
            format!("`{step}`{from}: the token service answers {status} {code}: {detail}")
        }
        Cause::Mismatch { matcher, expected, seen } => {
            format!("`{step}`{from}: {matcher} is {seen}, and {expected} was expected")
        }
        Cause::Resource { resource, detail } => format!("`{step}`: {resource}: {detail}"),
        Cause::Exit { exit, detail } => format!("`{step}`{from}: the program ended with {exit}: {detail}"),
        Cause::Client { detail } if subject.question.is_some_and(|it| it.probe.facts().is_program) => {
            format!("`{step}`{from}: {detail}")
        }
        Cause::Client { detail } => format!("`{step}`{from}: the client did not send: {detail}"),
        Cause::Deadline { waited_ms, detail } => {
            format!("`{step}`{from}: nothing decisive was seen in {} s: {detail}", waited_ms / 1000)
        }
    }
}

/// Returns one sentence that says why a recorded step did not pass.
pub fn of_step(step: &StepEnded) -> String {
    let sentence = match (&step.cause, step.verdict) {
        (Some(cause), _) if step.kind == READINESS => unready(step.step.as_str(), cause),
        (Some(cause), _) => sentence(&Subject::of(step), cause),
        (None, Verdict::Blocked) => blocked(step),
        (None, _) => format!("`{}` failed without a cause: look at its evidence", step.step),
    };
    let sentence = match &step.course.link {
        Some(link) => format!("{sentence}; {link}"),
        None => sentence,
    };
    let sentence = match &step.course.closed {
        Some(advisory) => closed(&sentence, advisory),
        None => sentence,
    };
    let sentence = match step.course.held.as_ref().and_then(|held| Some((held, held.broke?))) {
        Some((held, broke)) => {
            format!("{sentence}; it broke at try {broke}, after it had held for {} ms", held.held_ms)
        }
        None => sentence,
    };
    match &step.course.round {
        Some(Round { of, number, times, seed, .. }) => {
            format!("{sentence}; in round {number} of {times} of `{of}`, seed {seed}")
        }
        None => sentence,
    }
}

/// Extends the sentence about a step whose attack failed. The step was to demonstrate a known vulnerability
/// (`vulnerable`), and `advisory` is the id of this vulnerability.
fn closed(sentence: &str, advisory: &str) -> String {
    format!(
        "{sentence}; so this build does not let the attack of {advisory} through, or the step no longer shows it: where the build is fixed, take `vulnerable` away and expect the refusal"
    )
}

/// Returns one sentence that says why a blocked step did not run.
fn blocked(step: &StepEnded) -> String {
    let needed: Vec<String> = step.blocked_by.iter().map(|it| format!("`{it}`")).collect();
    match needed.as_slice() {
        [] => format!("`{}` was not reached: a step that it needs did not pass", step.step),
        needed => format!("`{}` was not reached: it needs {}, which did not pass", step.step, needed.join(" and ")),
    }
}

fn dns(fault: DnsFault, host: &str, inside: bool, detail: &str) -> String {
    match (fault, inside) {
        (DnsFault::NoSuchName, true) => format!(
            "{host} does not exist for pods; CoreDNS needs a rule that leads it to the store's Service (ConfigMap coredns-custom in kube-system, a key that ends in .override: `rewrite name {host} SERVICE.NAMESPACE.svc.cluster.local`), in place before CoreDNS starts or followed by its restart"
        ),
        (DnsFault::NoSuchName, false) => {
            format!(
                "{host} does not exist outside the cluster; publish the name there: a DNS record that leads to the ingress or load balancer (in a scenario, an edge of a fixture)"
            )
        }
        (DnsFault::NoAddress, _) => format!("{host} exists and has no address ({detail})"),
        (DnsFault::ServerFailure, true) => format!(
            "CoreDNS failed on {host} (SERVFAIL); a rewrite in a `.server` key has no kubernetes plugin behind it: write it in a key that ends in .override"
        ),
        (DnsFault::ServerFailure, false) => format!("the name server failed on {host} ({detail})"),
        (DnsFault::Refused, _) => format!("the name server refused to answer for {host} ({detail})"),
        (DnsFault::Timeout, _) => format!("no name server answered for {host} ({detail})"),
    }
}

fn connect(fault: ConnectFault, host: &str, detail: &str) -> String {
    match fault {
        ConnectFault::Refused => format!(
            "nothing listens at {host} ({detail}); check the Service's port and targetPort, and that its pods are ready"
        ),
        ConnectFault::Timeout => format!("{host} does not answer ({detail})"),
        ConnectFault::Unreachable => format!("{host} cannot be reached ({detail})"),
        ConnectFault::Reset => format!("{host} closed the connection before it answered ({detail})"),
    }
}

fn tls(
    fault: TlsFault,
    host: &str,
    detail: &str,
    (leaf, last): (Option<&Certificate>, Option<&Certificate>),
    trusts_nothing: bool,
    vantage: Option<&str>,
) -> String {
    match fault {
        TlsFault::UnknownAuthority => {
            let bundle = "a mounted bundle, SSL_CERT_FILE, AWS_CA_BUNDLE: whatever it reads";
            let fix = match vantage {
                Some(vantage) => format!(
                    "give the vantage `{vantage}` the authority's fixture in the scenario (`trust: [ca]`), and an application the CA ({bundle})"
                ),
                None => format!("give it that CA ({bundle})"),
            };
            let trust =
                if trusts_nothing { "this client trusts no authority at all" } else { "this client does not trust it" };
            match (leaf, last) {
                (Some(leaf), Some(last)) if leaf == last && leaf.subject == leaf.issuer => {
                    format!("the certificate of {host} is signed by itself ({}), and {trust}; {fix}", leaf.subject)
                }
                (_, last) => {
                    let issuer = last.map_or("an unknown issuer", |it| it.issuer.as_str());
                    format!("the chain of {host} was signed by {issuer}, and {trust}; {fix}")
                }
            }
        }
        TlsFault::Expired => {
            let end = leaf.map_or(detail.to_owned(), |it| it.not_after.clone());
            format!("the certificate of {host} ended on {end}; renew the Secret it comes from")
        }
        TlsFault::NotYetValid => {
            let begin = leaf.map_or(detail.to_owned(), |it| it.not_before.clone());
            format!("the certificate of {host} begins on {begin}; check the clocks, or issue it earlier")
        }
        TlsFault::NameMismatch => {
            let names = leaf.map_or("other names".to_owned(), |it| it.names.join(", "));
            let fix = leaf
                .and_then(|it| style::name_mismatch(host, &it.names))
                .unwrap_or_else(|| "add the name that clients use to it, or ask by one that it has".to_owned());
            format!("the certificate at {host} is for {names}; {fix}")
        }
        TlsFault::NotTls => {
            format!("what listens at {host} does not speak TLS; the store has no certificate, or the port is another")
        }
        TlsFault::Handshake => format!("the handshake with {host} broke off ({detail})"),
        TlsFault::BadCertificate => format!("the certificate of {host} cannot be used ({detail})"),
    }
}

/// Returns the host to which a question is directed.
fn host(probe: &Probe) -> String {
    match probe.facts().address {
        Addressed::Host(host) => host.to_owned(),
        Addressed::Url(url) => {
            Url::parse(&url).ok().and_then(|it| it.host_str().map(str::to_owned)).unwrap_or_else(|| url.into_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parallax_vocab::question::{OwnResolver, TlsQuestion, View};

    use super::*;

    #[test]
    fn an_application_that_trusts_its_own_certificates_gets_no_advice_for_a_vantage() {
        let own = OwnResolver { hosts: BTreeMap::new(), asks_dns: true };
        for (own_resolver, says) in [
            (None, "and this client trusts no authority at all; give the vantage `app` the authority's fixture"),
            (Some(own), "and this client does not trust it; give it that CA (a mounted bundle"),
        ] {
            let tls = TlsQuestion { host: "s3.example.com".to_owned(), port: 443, server_name: None };
            let question =
                Question { view: View { own_resolver, ..View::default() }, deadline_ms: 1, probe: Probe::Tls(tls) };
            let subject = Subject {
                step: "chain",
                from: Some("app"),
                inside: true,
                question: Some(&question),
                answer: None,
                signature: None,
                in_scenario: true,
            };
            let cause = Cause::Tls { fault: TlsFault::UnknownAuthority, detail: "x".to_owned() };
            let said = sentence(&subject, &cause);
            assert!(said.contains(says), "{said}");
        }
    }
}
