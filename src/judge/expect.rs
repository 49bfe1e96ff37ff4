//! One answer against one `expect`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use parallax_vocab::answer::{Answer, Reply};
use parallax_vocab::event::Matched;
use parallax_vocab::{Cause, Certificate, DnsFault};

use super::facts::{Facts, SUCCESS};
use super::{altered, program};
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
        self.matchers.iter().find(|it| !it.held && !it.unseen)
    }
}

/// What a matcher saw where nothing came back.
const NO_ANSWER: &str = "no answer";
/// What a matcher saw where the connection had no TLS, or was not made.
const NO_CERTIFICATE: &str = "no certificate";
/// How many keys of a listing a message shows.
const KEYS_SHOWN: usize = 20;

/// What earlier steps saw, for matchers that compare.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Certificate chains by step id, leaf first.
    pub chains: BTreeMap<String, Vec<Certificate>>,
}

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

/// Judges an answer, and shows of each matcher that holds whether it would say no of an altered one.
pub fn judge(expected: &Expected, answer: &Answer, seen: &Seen) -> Judgement {
    let others = || altered::answers(answer).map(|it| judge_once(expected, &it, seen));
    altered::shown(judge_once(expected, answer, seen), others)
}

/// Judges an answer as it is.
pub(super) fn judge_once(expected: &Expected, answer: &Answer, seen: &Seen) -> Judgement {
    let nothing = Expect::default();
    let expect = if let Expected::Declared(expect) = expected { expect } else { &nothing };
    if let Some(fault) = expect.dns {
        return judge_absence_of_name(fault, answer);
    }
    if let Some(words) = &expect.client {
        return judge_inability(words, answer);
    }
    let Some(reply) = &answer.reply else { return unanswered(expected, expect, answer) };
    let facts = Facts::of(reply, answer);
    let mut matchers = match reply {
        Reply::Run(run) => program::matchers(expect, run),
        _ => facts.success(expected, expect, reply),
    };
    if let Some(status) = expect.status {
        matchers.push(same("status", status.to_string(), facts.status.map(|it| it.to_string()), "none"));
    }
    if let Some(code) = &expect.s3 {
        matchers.push(same("s3", code.clone(), facts.error.map(|it| it.code.clone()), "no S3 error"));
    }
    identity(expect, reply, &facts, &mut matchers);
    connection(expect, answer, &facts, seen, &mut matchers);
    for (name, value) in expect.headers.iter().flatten() {
        let matcher = format!("headers.{name}");
        matchers.push(match facts.headers {
            Some(all) => same(&matcher, value.clone(), all.get(&name.to_lowercase()).cloned(), "absent"),
            None => Matched::unseen(matcher, value.as_str(), "no headers"),
        });
    }
    if let Some(body) = &expect.body {
        matchers.push(match facts.body {
            Some(saw) => Matched::new("body", saw == body, quote(body), quote(saw)),
            None => Matched::unseen("body", quote(body), "no body"),
        });
    }
    if let Some(keys) = &expect.keys {
        matchers.push(match facts.keys {
            Some(saw) => Matched::new("keys", saw == keys, listed(keys), listed(saw)),
            None => Matched::unseen("keys", listed(keys), "no listing"),
        });
    }
    let cause = matchers.iter().find(|it| !it.held).map(|it| match reply {
        Reply::Run(run) if it.matcher == "exit" => program::exit(run),
        _ => facts.cause(it),
    });
    Judgement { matchers, cause }
}

/// Nothing came back: no matcher had anything to look at.
fn unanswered(expected: &Expected, expect: &Expect, answer: &Answer) -> Judgement {
    let mut wanted = wanted(expect);
    if *expected == Expected::Success {
        wanted.push(("status".to_owned(), SUCCESS.to_owned()));
    }
    let matchers = wanted.into_iter().map(|(matcher, expected)| Matched::unseen(matcher, expected, NO_ANSWER));
    let cause = answer.cause.clone().unwrap_or_else(|| Cause::Client { detail: "the probe gave no answer".to_owned() });
    Judgement { matchers: matchers.collect(), cause: Some(cause) }
}

/// What is expected of the connection: where it went, and who answered there.
fn connection(expect: &Expect, answer: &Answer, facts: &Facts<'_>, seen: &Seen, matchers: &mut Vec<Matched>) {
    let chain = &answer.evidence.chain;
    if let Some(address) = &expect.address {
        let held = address.parse().is_ok_and(|it: IpAddr| facts.addresses == [it]);
        let saw = if facts.addresses.is_empty() { "none".to_owned() } else { facts.addresses() };
        matchers.push(Matched::new("address", held, address.as_str(), saw));
    }
    if let Some(length) = expect.chain_length {
        matchers.push(match chain.len() {
            0 => Matched::unseen("chain-length", length.to_string(), NO_CERTIFICATE),
            sent => Matched::new("chain-length", sent == length, length.to_string(), sent.to_string()),
        });
    }
    if let Some(name) = &expect.certificate_name {
        matchers.push(match chain.first() {
            Some(leaf) if leaf.names.contains(name) => Matched::new("certificate-name", true, name, name),
            Some(leaf) => Matched::new("certificate-name", false, name, leaf.names.join(", ")),
            None => Matched::unseen("certificate-name", name, NO_CERTIFICATE),
        });
    }
    if let Some(serial) = &expect.serial {
        matchers.push(match chain.first() {
            Some(leaf) => Matched::new("serial", leaf.serial == *serial, serial, &leaf.serial),
            None => Matched::unseen("serial", serial, NO_CERTIFICATE),
        });
    }
    if let Some(step) = &expect.same_chain_as {
        let other = seen.chains.get(step).map(Vec::as_slice).unwrap_or_default();
        let digests = |chain: &[Certificate]| chain.iter().map(|it| it.sha256.clone()).collect::<Vec<_>>();
        let expected = format!("the chain of {step}: {}", fingerprints(other));
        matchers.push(if other.is_empty() || chain.is_empty() {
            Matched::unseen("same-chain-as", expected, NO_CERTIFICATE)
        } else {
            Matched::new("same-chain-as", digests(other) == digests(chain), expected, fingerprints(chain))
        });
    }
}

/// What is expected of a token, and of what it is exchanged for.
fn identity(expect: &Expect, reply: &Reply, facts: &Facts<'_>, matchers: &mut Vec<Matched>) {
    if let Some(code) = &expect.sts {
        matchers.push(same("sts", code.clone(), facts.sts.map(|it| it.code.clone()), "no STS error"));
    }
    if let Some(words) = &expect.message {
        let said = facts.sts.map(|it| it.message.as_str());
        let seen = said.map_or("no message".to_owned(), quote);
        matchers.push(Matched::new("message", said.is_some_and(|it| holds(it, words)), quote(words), seen));
    }
    if let Reply::Jwt(jwt) = reply {
        if let Some(claims) = &expect.claims {
            let (held, expected, seen) = super::object::compare(claims, &jwt.claims);
            matchers.push(Matched::new("claims", held, expected, seen));
        }
        if let Some(signature) = expect.signature {
            matchers.push(equal("signature", signature.as_str().to_owned(), jwt.signature.as_str().to_owned()));
        }
    }
}

/// Judges a name that must not resolve: the fault that was expected is the answer that was expected.
fn judge_absence_of_name(fault: DnsFault, answer: &Answer) -> Judgement {
    let said = match (&answer.cause, &answer.reply) {
        (Some(Cause::Dns { fault, .. }), _) => Some(fault.to_string()),
        (_, Some(reply)) => Some(Facts::of(reply, answer).addresses()),
        _ => None,
    };
    let matched = match said {
        Some(said) => equal("dns", fault.to_string(), said),
        None => Matched::unseen("dns", fault.to_string(), NO_ANSWER),
    };
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
        (Some(Cause::Client { detail }), _) => (holds(detail, words), quote(detail)),
        (Some(cause), _) => (false, quote(&cause.to_string())),
        (None, Some(reply)) => {
            (false, Facts::of(reply, answer).status.map_or("an answer".to_owned(), |it| format!("the answer {it}")))
        }
        (None, None) => (false, NO_ANSWER.to_owned()),
    };
    let unseen = answer.cause.is_none() && answer.reply.is_none();
    let matched = Matched { unseen, ..Matched::new("client", held, quote(words), said) };
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
    Matched::new(matcher, expected == seen, expected, seen)
}

/// Equal to what there is; where there is nothing, nothing is equal to it. `nothing` are the words for that.
pub(super) fn same(matcher: &str, expected: String, seen: Option<String>, nothing: &str) -> Matched {
    let held = seen.as_ref() == Some(&expected);
    Matched::new(matcher, held, expected, seen.unwrap_or_else(|| nothing.to_owned()))
}

/// Whether a text holds the words. Every text holds the empty one, which therefore says nothing of any.
pub(super) fn holds(text: &str, words: &str) -> bool {
    !words.is_empty() && text.contains(words)
}

/// A listing in a message, so that one key with a comma is not two.
fn listed(keys: &[String]) -> String {
    let plain =
        |key: &String| !key.is_empty() && !key.contains([',', ' ', '"', '\\']) && !key.contains(char::is_control);
    let shown = keys.iter().take(KEYS_SHOWN).map(|key| if plain(key) { key.clone() } else { format!("{key:?}") });
    let mut words = shown.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = keys.len().checked_sub(KEYS_SHOWN) {
        words = format!("{words} and {more} more");
    }
    if keys.is_empty() { "none".to_owned() } else { words }
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
    want("keys", expect.keys.as_deref().map(listed));
    wanted
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
mod tests;
