//! What each matcher observes (`observe`), and what it expects in words (`expectations`). These two functions have an
//! arm for every matcher and no default arm, so a new matcher without an observation does not compile.

use parallax_language::scenario::model::{Expect, Matcher, Source, Stance, Wanted};
use parallax_vocab::Cause;
use parallax_vocab::answer::{Answer, JwtReply, Reply, Survey};
use parallax_vocab::event::Matched;
use parallax_vocab::program::RunReply;
use parallax_vocab::tally::Tally;

use super::bound::Bound;
use super::expect::{Expected, NO_ANSWER, Seen, equal, holds, listed, quote, same};
use super::facts::{Facts, SUCCESS};
use super::look::{Look, Looked};
use super::mutant::Faulty;
use super::object::{self, compare};
use super::{connection, database, events, figures, log, program, tally};

/// The text that messages show as the observed value if a step of this kind provides nothing that the matcher can read.
/// The loader refuses a scenario with such a matcher, so a run never shows this text.
const NOT_BROUGHT: &str = "nothing that it could read";

/// The results of one matcher, and how certain the results are.
pub(super) struct Observed {
    /// The results of the matcher. A matcher that checks several named values, such as `headers`, has one result for
    /// each of them.
    pub(super) matched: Vec<Matched>,
    /// Whether the matcher has failed and no later answer can make it hold, because the value that it reads can only
    /// grow and is already too large.
    pub(super) is_final: bool,
    /// Whether the result could be different if the prober had asked its questions on time. If so, the machine was too
    /// slow to measure the value.
    pub(super) is_blurred: bool,
}

impl From<Vec<Matched>> for Observed {
    fn from(matched: Vec<Matched>) -> Self {
        Self { matched, is_final: false, is_blurred: false }
    }
}

/// The input of one judgement: what is expected, and what the matchers read.
pub(super) struct Case<'a> {
    pub(super) expected: &'a Expected,
    pub(super) expect: &'a Expect,
    pub(super) look: Look<'a>,
    pub(super) facts: Option<Facts<'a>>,
    pub(super) seen: &'a Seen,
}

impl<'a> Case<'a> {
    /// Returns the answer. `None` if the step asked no vantage.
    fn answer(&self) -> Option<&'a Answer> {
        if let Look::Answer(answer) = self.look { Some(answer) } else { None }
    }

    fn reply(&self) -> Option<&'a Reply> {
        self.answer()?.reply()
    }

    fn run(&self) -> Option<&'a RunReply> {
        self.reply()?.facts().run
    }

    fn jwt(&self) -> Option<&'a JwtReply> {
        self.reply()?.facts().jwt
    }

    fn survey(&self) -> Option<&'a Survey> {
        self.reply()?.facts().survey
    }

    fn other(&self) -> Option<&'a Looked> {
        if let Look::Other(looked) = self.look { Some(looked) } else { None }
    }

    /// Whether the step expects that there is no answer.
    fn expects_none(&self) -> bool {
        self.expect.takes(Stance::NoAnswer)
    }

    /// Returns the check that the judge makes although the step does not declare it, and the results of this check. A
    /// request must succeed, and its answer must contain no error document. A program must exit with code 0. `None` if
    /// the judge makes no such check, or if the check has no result.
    pub(super) fn implied(&self) -> Option<(Faulty, Vec<Matched>)> {
        if self.expects_none() {
            return None;
        }
        if let Some(run) = self.run() {
            return program::implied(self.expect, run).map(|it| (Faulty::ExitCode, vec![it]));
        }
        match (self.reply(), &self.facts) {
            (Some(reply), Some(facts)) => Some((Faulty::Success, facts.success(self.expected, self.expect, reply))),
            _ if *self.expected == Expected::Success => {
                Some((Faulty::Success, vec![Matched::unseen(Matcher::Status.name(), SUCCESS, NO_ANSWER)]))
            }
            _ => None,
        }
    }

    /// Returns the results of a matcher. The matcher `headers` has one result for each header.
    pub(super) fn observe(&self, wanted: &Wanted<'_>) -> Observed {
        let name = wanted.matcher().name();
        let needs_answer = wanted.matcher().stance() != Stance::NoAnswer;
        if self.answer().is_some_and(|it| it.outcome.is_err()) && needs_answer {
            return unseen(wanted, NO_ANSWER).into();
        }
        let facts = self.facts.as_ref();
        let chain = self.answer().map(|it| it.evidence.chain.as_slice());
        let observed = match *wanted {
            Wanted::Status(it) => {
                facts.map(|facts| same(name, it.to_string(), facts.status.map(|it| it.to_string()), "none"))
            }
            Wanted::S3(code) => {
                facts.map(|facts| same(name, code.clone(), facts.error.map(|it| it.code.clone()), "no S3 error"))
            }
            Wanted::Sts(code) => {
                facts.map(|facts| same(name, code.clone(), facts.sts.map(|it| it.code.clone()), "no STS error"))
            }
            Wanted::Reason(reason) => self.other().and_then(|it| events::reason(reason, it)),
            Wanted::Message(words) => match self.other() {
                Some(looked) => events::message(words, self.expect.reason.as_deref(), looked),
                None => facts.map(|facts| {
                    let said = facts.sts.map(|it| it.message.as_str());
                    let said = said.or_else(|| facts.error.map(|it| it.message.as_str()));
                    let held = said.is_some_and(|it| holds(it, words));
                    Matched::new(name, held, quote(words), said.map_or("no message".to_owned(), quote))
                }),
            },
            Wanted::Claims(claims) => self.jwt().map(|jwt| {
                let (held, expected, seen) = compare(claims, &jwt.claims);
                Matched::new(name, held, expected, seen)
            }),
            Wanted::Signature(it) => {
                self.jwt().map(|jwt| equal(name, it.as_str().to_owned(), jwt.signature.as_str().to_owned()))
            }
            Wanted::Dns(fault) => self.answer().map(|answer| connection::no_answer(name, fault.as_str(), answer)),
            Wanted::Connect(fault) => self.answer().map(|answer| connection::no_answer(name, fault.as_str(), answer)),
            Wanted::Tls(fault) => self.answer().map(|answer| connection::no_answer(name, fault.as_str(), answer)),
            Wanted::Client(words) => self.answer().map(|answer| connection::inability(words, answer)),
            Wanted::Address(address) => facts.map(|facts| connection::address(address, facts)),
            Wanted::ChainLength(length) => chain.map(|chain| connection::chain_length(**length, chain)),
            Wanted::CertificateName(it) => chain.map(|chain| connection::certificate_name(it, chain)),
            Wanted::Serial(serial) => chain.map(|chain| connection::serial(serial, chain)),
            Wanted::SameChainAs(step) => chain.map(|chain| connection::same_chain_as(step, chain, self.seen)),
            Wanted::Headers(all) => {
                let headers = facts.and_then(|it| it.headers);
                let each = wanted.names().into_iter().zip(all);
                return each
                    .map(|(name, (header, value))| match headers {
                        Some(headers) => {
                            same(&name, value.clone(), headers.get(&header.to_lowercase()).cloned(), "absent")
                        }
                        None => Matched::unseen(name, value.as_str(), "no headers"),
                    })
                    .collect::<Vec<_>>()
                    .into();
            }
            Wanted::Body(body) => Some(match facts.and_then(|it| Some((it.body?, it.body_cut_from))) {
                // This arm applies if the reply contains only the beginning of the body. If this beginning equals the
                // expected text, the whole body may still be different, so the matcher has no result. If the beginning
                // differs, the whole body differs as well.
                Some((saw, Some(bytes))) if saw == body => {
                    Matched::unseen(name, quote(body), format!("only the first {} of {bytes} bytes", saw.len()))
                }
                Some((saw, _)) => Matched::new(name, saw == body, quote(body), quote(saw)),
                None => Matched::unseen(name, quote(body), "no body"),
            }),
            Wanted::BodyContains(part) => Some(match facts.and_then(|it| Some((it.body?, it.body_cut_from))) {
                Some((saw, Some(bytes))) if !holds(saw, part) => {
                    Matched::unseen(name, quote(part), format!("only the first {} of {bytes} bytes", saw.len()))
                }
                Some((saw, _)) => Matched::new(name, holds(saw, part), quote(part), quote(saw)),
                None => Matched::unseen(name, quote(part), "no body"),
            }),
            Wanted::Keys(keys) => Some(match facts.and_then(|it| it.keys) {
                Some(saw) => Matched::new(name, saw == keys, listed(keys), listed(saw)),
                None => Matched::unseen(name, listed(keys), "no listing"),
            }),
            Wanted::Exit(exit) => self.run().map(|run| equal(name, exit.to_string(), run.exit.to_string())),
            Wanted::Stdout(words) => self.run().map(|run| program::words(name, words, &run.stdout)),
            Wanted::Stderr(words) => self.run().map(|run| program::words(name, words, &run.stderr)),
            Wanted::Json(part) => self.run().map(|run| program::json(part, run)),
            Wanted::Object(part) => self.other().and_then(|it| object::part(part, it)),
            Wanted::Absent(_) => self.other().and_then(object::absent),
            Wanted::Line(text) => self.other().and_then(|it| log::line(name, text, it)),
            Wanted::NoLine(text) => self.other().and_then(|it| log::no_line(name, text, it)),
            Wanted::Failures(exact) => return self.counted(wanted, |it| tally::failures(**exact, it)),
            Wanted::LongestGap(bound) => return self.counted(wanted, |it| tally::longest_gap_within(*bound, it)),
            Wanted::Serials(exact) => return self.counted(wanted, |it| tally::serials(**exact, it)),
            Wanted::AtLeast(least) => return self.counted(wanted, |it| tally::at_least(**least, it)),
            Wanted::Count(count) => self.other().and_then(|it| figures::count(**count, it)),
            Wanted::Median(bound) => self.other().and_then(|it| figures::median_within(*bound, it)),
            Wanted::Worst(bound) => self.other().and_then(|it| figures::worst_within(*bound, it)),
            Wanted::Integrity(words) => self.other().and_then(|it| database::integrity(words, it)),
            Wanted::Rows(bound) => self.other().and_then(|it| database::rows(*bound, it)),
            Wanted::Objects(bound) => Some(database::objects(*bound, self.survey())),
            Wanted::Newest(bound) => Some(database::newest(*bound, self.survey())),
            Wanted::Value(bound) => self.other().and_then(|it| database::value(*bound, it)),
        };
        observed.map_or_else(|| unseen(wanted, NOT_BROUGHT), |it| vec![it]).into()
    }

    /// Applies `observe` to the counts of a prober. If the step does not read a prober, the matcher has nothing to
    /// read.
    fn counted(&self, wanted: &Wanted<'_>, observe: impl FnOnce(&Tally) -> Observed) -> Observed {
        if let Look::Tally(tally) = self.look { observe(tally) } else { unseen(wanted, NOT_BROUGHT).into() }
    }

    /// Returns the cause if there was nothing that the matchers could read. The step then fails, whatever the results
    /// of its matchers are.
    pub(super) fn failure(&self) -> Option<Cause> {
        let resource = |resource: &str, detail: &str| {
            Some(Cause::Resource { resource: resource.to_owned(), detail: detail.to_owned() })
        };
        match self.look {
            Look::Answer(answer) => match (&answer.outcome, self.expects_none()) {
                (Err(cause), false) => Some(cause.clone()),
                (Ok(reply), _) if self.expect.reads(Source::Replica) => database::no_survey(reply),
                _ => None,
            },
            Look::Other(Looked::Object { resource: name, object: None }) if !self.expect.takes(Stance::Absence) => {
                resource(name, "it does not exist")
            }
            Look::Other(
                Looked::Log { resource: name, missing: Some(why), .. }
                | Looked::Events { resource: name, missing: Some(why), .. },
            ) => resource(name, why),
            Look::Other(Looked::Numbers(list)) => figures::not_numbers(list),
            Look::Tally(_) | Look::Other(_) => None,
        }
    }

    /// Returns the cause of the step's failure. `failed` is the result of the first matcher that did not hold.
    pub(super) fn cause(&self, failed: &Matched) -> Cause {
        match self.look {
            Look::Answer(answer) => match (&answer.outcome, &self.facts) {
                (Err(cause), _) => cause.clone(),
                (Ok(reply), _) if stance(failed) == Some(Stance::ExitCode) => {
                    reply.facts().run.map_or_else(|| mismatch(failed), program::exit)
                }
                (Ok(_), Some(facts)) if !self.expects_none() => facts.cause(failed),
                _ => mismatch(failed),
            },
            Look::Other(Looked::Object { resource, object: Some(object) }) => {
                object::cause(resource, self.expect, object)
            }
            Look::Other(Looked::Log { resource, log, .. })
                if failed.unseen && stance(failed) == Some(Stance::Silence) =>
            {
                log.not_read_to_its_end(resource)
            }
            Look::Tally(_) | Look::Other(_) => mismatch(failed),
        }
    }
}

/// Returns what the matcher of a result says about the answer as a whole, for example that it has a certain status.
/// `None` if no matcher has the name in the result.
fn stance(failed: &Matched) -> Option<Stance> {
    Matcher::named(&failed.matcher).map(Matcher::stance)
}

pub(super) fn mismatch(failed: &Matched) -> Cause {
    Cause::Mismatch { matcher: failed.matcher.clone(), expected: failed.expected.clone(), seen: failed.seen.clone() }
}

/// Returns the results of a matcher that had nothing to read. Messages show `why` as the observed value.
fn unseen(wanted: &Wanted<'_>, why: &str) -> Vec<Matched> {
    let each = wanted.names().into_iter().zip(expectations(wanted));
    each.map(|(name, expected)| Matched::unseen(name, expected, why)).collect()
}

/// Returns in words what a matcher expects. The matcher `headers` has one text for each header, and every other matcher
/// has one text.
fn expectations(wanted: &Wanted<'_>) -> Vec<String> {
    let one = match *wanted {
        Wanted::Status(it) => it.to_string(),
        Wanted::Signature(it) => it.as_str().to_owned(),
        Wanted::Dns(it) => it.to_string(),
        Wanted::Connect(it) => it.to_string(),
        Wanted::Tls(it) => it.to_string(),
        Wanted::ChainLength(it) | Wanted::Serials(it) | Wanted::Count(it) => it.to_string(),
        Wanted::Exit(it) => it.to_string(),
        Wanted::Failures(it) | Wanted::AtLeast(it) => it.to_string(),
        Wanted::S3(it)
        | Wanted::Sts(it)
        | Wanted::Reason(it)
        | Wanted::Address(it)
        | Wanted::CertificateName(it)
        | Wanted::Serial(it)
        | Wanted::SameChainAs(it)
        | Wanted::Integrity(it) => it.clone(),
        Wanted::Message(it)
        | Wanted::Client(it)
        | Wanted::Body(it)
        | Wanted::BodyContains(it)
        | Wanted::Stdout(it)
        | Wanted::Stderr(it)
        | Wanted::Line(it)
        | Wanted::NoLine(it) => quote(it),
        Wanted::Claims(it) | Wanted::Json(it) | Wanted::Object(it) => quote(&it.to_string()),
        Wanted::Headers(all) => return all.values().cloned().collect(),
        Wanted::Keys(it) => listed(it),
        Wanted::Absent(_) => object::NONE.to_owned(),
        Wanted::LongestGap(it) | Wanted::Newest(it) => Bound::from(*it).to_string(),
        Wanted::Median(it) | Wanted::Worst(it) | Wanted::Rows(it) | Wanted::Objects(it) | Wanted::Value(it) => {
            Bound::from(*it).to_string()
        }
    };
    vec![one]
}
