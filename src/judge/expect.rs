//! One answer against one `expect`.

use std::collections::BTreeMap;

use parallax_vocab::answer::{Answer, Reply, S3Error, StsError};
use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate, DnsFault};

use super::program;
use parallax_language::scenario::model::Expect;

/// What was seen of one step: each matcher, and the cause where one did not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Each matcher of `expect`, in the order in which they are judged.
    pub matchers: Vec<Matched>,
    /// The first layer that failed; none where everything held.
    pub cause: Option<Cause>,
}

impl Judgement {
    /// Of matchers that each are a cause of their own: the first that did not hold is the one.
    pub(super) fn of(matchers: Vec<Matched>) -> Self {
        let cause = matchers.iter().find(|it| !it.held).map(|it| Cause::Mismatch {
            matcher: it.matcher.clone(),
            expected: it.expected.clone(),
            seen: it.seen.clone(),
        });
        Self { matchers, cause }
    }

    /// The first matcher that did not hold although something came back for it.
    pub fn missed(&self) -> Option<&Matched> {
        self.matchers.iter().find(|it| !it.held && it.seen != NO_ANSWER)
    }
}

/// What a matcher saw where nothing came back.
const NO_ANSWER: &str = "no answer";

/// What earlier steps saw, for matchers that compare.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Certificate chains by step id, leaf first.
    pub chains: BTreeMap<String, Vec<Certificate>>,
}

/// The statuses of success, as messages say it.
const SUCCESS: &str = "2xx";
/// How much of a text a message quotes.
const QUOTE_LIMIT: usize = 200;
/// So many characters stand before what was found in a text that is cut.
const BEFORE_FOUND: usize = 40;

/// What a step expects: what it says, or of a step that says nothing that it comes through.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// The step's own `expect`.
    Declared(Box<Expect>),
    /// An S3 operation succeeds: any 2xx. A program succeeds: exit code 0.
    Success,
    /// An answer comes, whatever it is.
    Answer,
}

/// Judges an answer.
pub fn judge(expected: &Expected, answer: &Answer, seen: &Seen) -> Judgement {
    let nothing = Expect::default();
    let expect = if let Expected::Declared(expect) = expected { expect } else { &nothing };
    if let Some(fault) = expect.dns {
        return judge_absence_of_name(fault, answer);
    }
    if let Some(words) = &expect.client {
        return judge_inability(words, answer);
    }
    let mut wanted = wanted(expect);
    if *expected == Expected::Success {
        wanted.push(("status".to_owned(), SUCCESS.to_owned()));
    }
    let Some(reply) = &answer.reply else {
        let cause =
            answer.cause.clone().unwrap_or_else(|| Cause::Client { detail: "the probe gave no answer".to_owned() });
        let matchers = wanted.into_iter().map(|(matcher, expected)| Matched {
            matcher,
            held: false,
            expected,
            seen: NO_ANSWER.to_owned(),
        });
        return Judgement { matchers: matchers.collect(), cause: Some(cause) };
    };
    let mut matchers = Vec::new();
    let facts = Facts::of(reply, answer);
    if let Reply::Run(run) = reply {
        matchers.extend(program::matchers(expect, run));
    } else if *expected == Expected::Success {
        let held = facts.status.is_some_and(|it| (200..300).contains(&it));
        let saw = facts.status.map_or("none".to_owned(), |it| it.to_string());
        matchers.push(Matched { matcher: "status".to_owned(), held, expected: SUCCESS.to_owned(), seen: saw });
    }
    if let Some(status) = expect.status {
        matchers.push(equal("status", status.to_string(), facts.status.map_or("none".to_owned(), |it| it.to_string())));
    }
    if let Some(code) = &expect.s3 {
        matchers.push(equal(
            "s3",
            code.clone(),
            facts.error.as_ref().map_or("no S3 error".to_owned(), |it| it.code.clone()),
        ));
    }
    identity(expect, reply, &facts, &mut matchers);
    if let Some(address) = &expect.address {
        matchers.push(equal("address", address.clone(), facts.addresses.clone()));
    }
    if let Some(length) = expect.chain_length {
        matchers.push(equal("chain-length", length.to_string(), answer.evidence.chain.len().to_string()));
    }
    if let Some(name) = &expect.certificate_name {
        let names = answer.evidence.chain.first().map(|leaf| leaf.names.clone()).unwrap_or_default();
        let saw = if names.contains(name) { name.clone() } else { names.join(", ") };
        matchers.push(equal("certificate-name", name.clone(), saw));
    }
    if let Some(serial) = &expect.serial {
        let leaf = answer.evidence.chain.first().map_or("no certificate".to_owned(), |leaf| leaf.serial.clone());
        matchers.push(equal("serial", serial.clone(), leaf));
    }
    if let Some(step) = &expect.same_chain_as {
        let other = seen.chains.get(step).map(Vec::as_slice).unwrap_or_default();
        let (expected, saw) = (fingerprints(other), fingerprints(&answer.evidence.chain));
        let held = expected == saw && !other.is_empty();
        let expected = format!("the chain of {step}: {expected}");
        matchers.push(Matched { matcher: "same-chain-as".to_owned(), held, expected, seen: saw });
    }
    if let Some(headers) = &expect.headers {
        for (name, value) in headers {
            let saw = facts.headers.and_then(|all| all.get(&name.to_lowercase())).map_or("absent", String::as_str);
            matchers.push(equal(&format!("headers.{name}"), value.clone(), saw.to_owned()));
        }
    }
    if let Some(body) = &expect.body {
        let saw = facts.body.unwrap_or("no body");
        matchers.push(Matched {
            matcher: "body".to_owned(),
            held: facts.body == Some(body.as_str()),
            expected: quote(body),
            seen: quote(saw),
        });
    }
    if let Some(keys) = &expect.keys {
        let saw = if let Reply::S3(s3) = reply { s3.keys.join(", ") } else { "no listing".to_owned() };
        matchers.push(equal("keys", keys.join(", "), saw));
    }
    let cause = matchers.iter().find(|it| !it.held).map(|it| match reply {
        Reply::Run(run) if it.matcher == "exit" => program::exit(run),
        _ => facts.cause(it),
    });
    Judgement { matchers, cause }
}

/// What is expected of a token, and of what it is exchanged for.
fn identity(expect: &Expect, reply: &Reply, facts: &Facts<'_>, matchers: &mut Vec<Matched>) {
    if let Some(code) = &expect.sts {
        let saw = facts.sts.map_or("no STS error".to_owned(), |it| it.code.clone());
        matchers.push(equal("sts", code.clone(), saw));
    }
    if let Some(words) = &expect.message {
        let saw = facts.sts.map_or("no message".to_owned(), |it| it.message.clone());
        matchers.push(Matched {
            matcher: "message".to_owned(),
            held: facts.sts.is_some_and(|it| it.message.contains(words.as_str())),
            expected: quote(words),
            seen: quote(&saw),
        });
    }
    if let Reply::Jwt(jwt) = reply {
        if let Some(claims) = &expect.claims {
            let (held, expected, seen) = super::object::compare(claims, &jwt.claims);
            matchers.push(Matched { matcher: "claims".to_owned(), held, expected, seen });
        }
        if let Some(signature) = expect.signature {
            let saw = jwt.signature.as_str().to_owned();
            matchers.push(equal("signature", signature.as_str().to_owned(), saw));
        }
    }
}

/// Judges a name that must not resolve: the fault that was expected is the answer that was expected.
fn judge_absence_of_name(fault: DnsFault, answer: &Answer) -> Judgement {
    let said = match (&answer.cause, &answer.reply) {
        (Some(Cause::Dns { fault, .. }), _) => fault.to_string(),
        (_, Some(reply)) => Facts::of(reply, answer).addresses,
        _ => NO_ANSWER.to_owned(),
    };
    let matched = equal("dns", fault.to_string(), said);
    let cause = (!matched.held).then(|| {
        answer.cause.clone().unwrap_or_else(|| Cause::Mismatch {
            matcher: matched.matcher.clone(),
            expected: matched.expected.clone(),
            seen: matched.seen.clone(),
        })
    });
    Judgement { matchers: vec![matched], cause }
}

/// A client that is known to be unable: it tells no answer, and says these words.
fn judge_inability(words: &str, answer: &Answer) -> Judgement {
    let (held, said) = match (&answer.cause, &answer.reply) {
        (Some(Cause::Client { detail }), _) => (detail.contains(words), quote(detail)),
        (Some(cause), _) => (false, quote(&cause.to_string())),
        (None, Some(reply)) => {
            (false, Facts::of(reply, answer).status.map_or("an answer".to_owned(), |it| format!("the answer {it}")))
        }
        (None, None) => (false, NO_ANSWER.to_owned()),
    };
    let matched = Matched { matcher: "client".to_owned(), held, expected: quote(words), seen: said };
    let cause = (!held).then(|| {
        answer.cause.clone().unwrap_or_else(|| Cause::Mismatch {
            matcher: matched.matcher.clone(),
            expected: matched.expected.clone(),
            seen: matched.seen.clone(),
        })
    });
    Judgement { matchers: vec![matched], cause }
}

pub(super) fn equal(matcher: &str, expected: String, seen: String) -> Matched {
    Matched { matcher: matcher.to_owned(), held: expected == seen, expected, seen }
}

/// The matchers that an `expect` asks for, with what they expect.
fn wanted(expect: &Expect) -> Vec<(String, String)> {
    let mut wanted = Vec::new();
    let mut want = |name: &str, value: Option<String>| wanted.extend(value.map(|value| (name.to_owned(), value)));
    want("status", expect.status.map(|it| it.to_string()));
    want("s3", expect.s3.clone());
    want("sts", expect.sts.clone());
    want("message", expect.message.as_deref().map(quote));
    want("claims", expect.claims.as_ref().map(|it| quote(&it.to_string())));
    want("signature", expect.signature.map(|it| it.as_str().to_owned()));
    want("address", expect.address.clone());
    want("chain-length", expect.chain_length.map(|it| it.to_string()));
    want("certificate-name", expect.certificate_name.clone());
    want("serial", expect.serial.clone());
    want("same-chain-as", expect.same_chain_as.clone());
    for (name, value) in expect.headers.iter().flatten() {
        want(&format!("headers.{name}"), Some(value.clone()));
    }
    want("body", expect.body.as_deref().map(quote));
    want("exit", expect.exit.map(|it| it.to_string()));
    want("stdout", expect.stdout.as_deref().map(quote));
    want("stderr", expect.stderr.as_deref().map(quote));
    want("json", expect.json.as_ref().map(|it| quote(&it.to_string())));
    want("keys", expect.keys.as_ref().map(|it| it.join(", ")));
    wanted
}

/// What matchers look at, whatever the kind of reply.
struct Facts<'a> {
    status: Option<u16>,
    error: Option<S3Error>,
    sts: Option<&'a StsError>,
    of_sts: bool,
    addresses: String,
    headers: Option<&'a BTreeMap<String, String>>,
    body: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(reply: &'a Reply, answer: &Answer) -> Self {
        let joined = |all: &[std::net::IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let peer = answer.evidence.peer.map_or("none".to_owned(), |it| it.ip().to_string());
        let none =
            Self { status: None, error: None, sts: None, of_sts: false, addresses: peer, headers: None, body: None };
        match reply {
            Reply::Dns(dns) => Self { addresses: joined(&dns.addresses), ..none },
            Reply::Http(http) => Self {
                status: Some(http.status),
                error: http.s3_error.clone(),
                headers: Some(&http.headers),
                body: Some(&http.body),
                ..none
            },
            Reply::S3(s3) => {
                Self { status: Some(s3.status), error: s3.error.clone(), body: s3.body.as_deref(), ..none }
            }
            Reply::Sts(sts) => Self { status: Some(sts.status), sts: sts.error.as_ref(), of_sts: true, ..none },
            Reply::Tls(_) | Reply::Presign(_) | Reply::Jwt(_) | Reply::Run(_) => none,
        }
    }

    /// The cause that goes with the first matcher that did not hold.
    fn cause(&self, failed: &Matched) -> Cause {
        match (failed.matcher.as_str(), self.status) {
            ("status" | "sts", Some(status)) if self.of_sts => {
                let detail = self.sts.map_or_else(|| format!("expected {}", failed.expected), |it| it.message.clone());
                Cause::Sts { status, code: self.sts.map(|it| it.code.clone()), detail }
            }
            ("status" | "s3", Some(status)) => {
                let detail = match (&self.error, self.body) {
                    (Some(error), _) => error.message.clone(),
                    (None, Some(body)) => quote(body),
                    (None, None) => format!("expected {} {}", failed.matcher, failed.expected),
                };
                Cause::Status { status, s3: self.error.as_ref().map(|it| it.code.clone()), detail }
            }
            _ => Cause::Mismatch {
                matcher: failed.matcher.clone(),
                expected: failed.expected.clone(),
                seen: failed.seen.clone(),
            },
        }
    }
}

fn fingerprints(chain: &[Certificate]) -> String {
    chain.iter().map(|it| it.sha256.get(..16).unwrap_or(&it.sha256)).collect::<Vec<_>>().join(" < ")
}

/// A text in quotes, cut at a sensible length.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LIMIT) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and {} bytes more", &text[..end], text.len() - end),
    }
}

/// A text in quotes, cut so that the part that was found in it is seen, with a little of what stands before.
pub(super) fn quote_around(text: &str, found: &str) -> String {
    let at = text.find(found).unwrap_or(0);
    match text[..at].char_indices().rev().nth(BEFORE_FOUND) {
        Some((begin, _)) if text.chars().nth(QUOTE_LIMIT).is_some() => format!("… {}", quote(&text[begin..])),
        _ => quote(text),
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::answer::{DnsReply, Evidence, HttpReply};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_was_found_is_seen_in_a_text_that_is_cut() {
        let long = format!("{}: x509: of nobody, {}", "a".repeat(300), "b".repeat(300));
        let quoted = quote_around(&long, "x509");
        assert!(quoted.starts_with("… \"aaa") && quoted.contains("aaa: x509: of nobody, bbb"), "{quoted}");
        assert_eq!(quote_around("brief, with x509", "x509"), "\"brief, with x509\"");
        assert_eq!(quote_around(&long, "aa"), quote(&long));
    }

    fn http(status: u16, code: Option<&str>, body: &str) -> Answer {
        let s3_error = code.map(|code| S3Error { code: code.to_owned(), message: "words".to_owned() });
        let reply = HttpReply {
            status,
            headers: BTreeMap::from([("content-type".to_owned(), "text/plain".to_owned())]),
            body: body.to_owned(),
            body_bytes: body.len() as u64,
            body_sha256: String::new(),
            s3_error,
        };
        Answer { reply: Some(Reply::Http(reply)), cause: None, evidence: Evidence::default() }
    }

    fn expect(value: Value) -> Expect {
        serde_json::from_value(value).expect("valid expect")
    }

    fn declared(value: Value) -> Expected {
        Expected::Declared(Box::new(expect(value)))
    }

    #[test]
    fn a_client_that_is_unable_must_say_why() {
        let expected = declared(json!({"client": "6 components"}));
        let failed = |cause| Answer { reply: None, cause: Some(cause), evidence: Evidence::default() };
        let told = |words: &str| failed(Cause::Client { detail: words.to_owned() });
        for (answer, cause) in [
            (told("ARN must have 6 components"), None),
            (told("no such host"), Some("client: no such host")),
            (failed(Cause::Exit { exit: 1, detail: "6 components".to_owned() }), Some("exit: 1 (6 components)")),
            (http(200, None, ""), Some(r#"client: expected "6 components", saw the answer 200"#)),
        ] {
            let judged = judge(&expected, &answer, &Seen::default());
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause);
            assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [cause.is_none()]);
        }
    }

    #[test]
    fn answers_are_judged_by_the_first_layer_that_differs() {
        let cases = [
            (json!({"status": 200, "body": "hello"}), http(200, None, "hello"), None),
            (json!({"status": 201}), http(200, None, "hello"), Some("status: 200 (\"hello\")")),
            (
                json!({"status": 200, "body": "hello"}),
                http(403, Some("SignatureDoesNotMatch"), "<Error/>"),
                Some("status: 403, s3: SignatureDoesNotMatch (words)"),
            ),
            (json!({"body": "hello"}), http(200, None, "other"), Some("body: expected \"hello\", saw \"other\"")),
            (json!({"headers": {"Content-Type": "text/plain"}}), http(200, None, ""), None),
            (json!({"headers": {"etag": "x"}}), http(200, None, ""), Some("headers.etag: expected x, saw absent")),
        ];
        for (expected, answer, cause) in cases {
            let judged = judge(&declared(expected.clone()), &answer, &Seen::default());
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), cause, "{expected}");
        }
    }

    #[test]
    fn without_an_answer_every_matcher_is_red() {
        let cause = Cause::Dns { fault: DnsFault::NoSuchName, detail: "x".to_owned() };
        let answer = Answer { reply: None, cause: Some(cause.clone()), evidence: Evidence::default() };
        let judged = judge(&declared(json!({"status": 200, "body": "x"})), &answer, &Seen::default());
        assert_eq!(judged.cause, Some(cause));
        assert_eq!(
            judged.matchers.iter().map(|it| (it.matcher.as_str(), it.held)).collect::<Vec<_>>(),
            [("status", false), ("body", false)]
        );
    }

    #[test]
    fn comparing_with_a_chain_that_was_never_seen_fails() {
        let judged = judge(&declared(json!({"same-chain-as": "other"})), &http(200, None, ""), &Seen::default());
        assert!(judged.cause.is_some());
    }

    #[test]
    fn a_name_that_must_not_resolve_passes_with_that_fault_alone() {
        let fault = |fault| Some(Cause::Dns { fault, detail: "words".to_owned() });
        let addresses = DnsReply {
            addresses: vec!["10.0.0.1".parse().expect("address")],
            cnames: vec![],
            ttl_s: 1,
            searched: None,
        };
        for (reply, cause, expected) in [
            (None, fault(DnsFault::NoSuchName), None),
            (None, fault(DnsFault::ServerFailure), Some("dns: server-failure (words)")),
            (Some(Reply::Dns(addresses)), None, Some("dns: expected no-such-name, saw 10.0.0.1")),
        ] {
            let answer = Answer { reply, cause, evidence: Evidence::default() };
            let judged = judge(&declared(json!({"dns": "no-such-name"})), &answer, &Seen::default());
            assert_eq!(judged.cause.map(|it| it.to_string()).as_deref(), expected);
            assert_eq!(judged.matchers.iter().map(|it| it.held).collect::<Vec<_>>(), [expected.is_none()]);
        }
    }
}
