//! The parts of an answer that matchers read, in the same form for every kind of reply. Also decides whether an answer
//! is a success.

use std::collections::BTreeMap;
use std::net::IpAddr;

use parallax_vocab::Cause;
use parallax_vocab::answer::{Answer, Reply, S3Error, StsError};
use parallax_vocab::event::Matched;
use parallax_vocab::probes::ReplyFacts;

use super::expect::{Expected, quote};
use super::observe::mismatch;
use parallax_language::scenario::model::{Expect, Matcher, Stance};

/// The text with which messages describe the HTTP statuses of a success.
pub(super) const SUCCESS: &str = "2xx";
/// The text with which messages describe the expectation that a successful answer contains no error document. S3
/// answers some operations with 200 before they are complete. If such an operation then fails, the body of the answer
/// contains the error.
const NO_ERROR: &str = "no error document";

/// The parts of an answer that matchers read, in the same form for every kind of reply.
pub(super) struct Facts<'a> {
    pub(super) status: Option<u16>,
    pub(super) error: Option<&'a S3Error>,
    pub(super) sts: Option<&'a StsError>,
    /// For a `dns` question, the addresses to which the host name resolved. For another question, the address to which
    /// the probe connected, before a detour replaced it.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) headers: Option<&'a BTreeMap<String, String>>,
    pub(super) body: Option<&'a str>,
    /// The full length of the body in bytes, if `body` is only its beginning. `None` if `body` is complete.
    pub(super) body_cut_from: Option<u64>,
    /// The keys of a listing; `None` if there is no listing, or if the store refused to list.
    pub(super) keys: Option<&'a [String]>,
    of_sts: bool,
}

impl<'a> Facts<'a> {
    /// Returns the facts of an answer. The result is `None` if the answer is a cause instead of a reply.
    pub(super) fn of_answer(answer: &'a Answer) -> Option<Self> {
        answer.reply().map(|reply| Self::of(reply, answer))
    }

    pub(super) fn of(reply: &'a Reply, answer: &Answer) -> Self {
        let ReplyFacts { status, s3_error, sts, addresses, headers, body, body_cut_from, keys, .. } = reply.facts();
        let of_connection = || answer.evidence.peer.map(|it| it.ip()).into_iter().collect();
        Self {
            status,
            error: s3_error,
            sts: sts.and_then(|it| it.error.as_ref()),
            addresses: addresses.map_or_else(of_connection, <[_]>::to_vec),
            headers,
            body,
            body_cut_from,
            keys,
            of_sts: sts.is_some(),
        }
    }

    /// Formats the addresses for a message.
    pub(super) fn addresses(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Checks that the answer is a success (status 2xx), if the step implies success.
    ///
    /// A step without an `expect` implies success if its kind does ([`Expected::Success`]). A step with an `expect`
    /// implies success under two conditions. The `expect` contains no status, no error code and no refusal. And either
    /// the answer comes from a store, or the `expect` contains a body, headers or keys. For a step with an `expect`,
    /// the result of the check is returned only if the check fails.
    ///
    /// Also checks that a successful answer contains no error document, unless the step may expect one.
    pub(super) fn success(&self, expected: &Expected, expect: &Expect, reply: &Reply) -> Vec<Matched> {
        let takes = |all: &[Stance]| all.iter().any(|it| expect.takes(*it));
        let refusal = takes(&[Stance::Code, Stance::Refusal]);
        let looked_at = takes(&[Stance::Content, Stance::Whole]);
        let of_store = reply.facts().is_of_a_store;
        let implied = match expected {
            Expected::Success => true,
            Expected::Declared(_) => !takes(&[Stance::Status]) && !refusal && (of_store || looked_at),
            Expected::Answer => false,
        };
        let held = self.status.is_some_and(succeeded);
        let mut matchers = Vec::new();
        if implied && (!held || *expected == Expected::Success) {
            let seen = self.status.map_or("none".to_owned(), |it| it.to_string());
            matchers.push(Matched::new(Matcher::Status.name(), held, SUCCESS, seen));
        }
        // An error document is no failure if the step accepts any answer or expects a refusal. If the answer does not
        // come from a store and the step expects a whole body, this body may be an error document too.
        let may_be_one = *expected == Expected::Answer || refusal || !of_store && takes(&[Stance::Whole]);
        let code = self.error.map(|it| (Matcher::S3, &it.code)).or_else(|| self.sts.map(|it| (Matcher::Sts, &it.code)));
        if let Some((matcher, code)) = code.filter(|_| held && !may_be_one) {
            matchers.push(Matched::new(matcher.name(), false, NO_ERROR, code));
        }
        matchers
    }

    /// Returns the cause of the step's failure. `failed` is the result of the first matcher that did not hold.
    pub(super) fn cause(&self, failed: &Matched) -> Cause {
        let by_server =
            Matcher::named(&failed.matcher).is_some_and(|it| matches!(it.stance(), Stance::Status | Stance::Code));
        match self.status.filter(|_| by_server) {
            Some(status) if self.of_sts => {
                let detail = self.sts.map_or_else(|| format!("expected {}", failed.expected), |it| it.message.clone());
                Cause::Sts { status, code: self.sts.map(|it| it.code.clone()), detail }
            }
            Some(status) => {
                let detail = match (&self.error, self.body) {
                    (Some(error), _) => error.message.clone(),
                    (None, Some(body)) => quote(body),
                    (None, None) => format!("expected {} {}", failed.matcher, failed.expected),
                };
                Cause::Status { status, s3: self.error.map(|it| it.code.clone()), detail }
            }
            None => mismatch(failed),
        }
    }
}

fn succeeded(status: u16) -> bool {
    (200..300).contains(&status)
}
