//! Turns the answers of `parallax check` into the cells of its table. A row has one cell for the inside of the cluster
//! and one for the outside. The cell of a failed question has a sentence about the problem, and a link to the section
//! of the documentation that explains it.

use parallax_explain::{Subject, clock_apart, sentence};
use parallax_judge::{Expected, Seen, judge};
use parallax_vocab::answer::{Evidence, HttpReply, S3Error, Signature};
use parallax_vocab::question::{HttpQuestion, Probe};
use parallax_vocab::signature::SignatureFinding;
use parallax_vocab::{Answer, Cause, Question, Reply, Secret};
use serde::Serialize;
use time::Duration;

use super::{pages, refused};

/// If the clocks of the client and the store differ by at least this much, stores refuse signatures.
const CLOCKS_LIMIT: Duration = Duration::minutes(15);
/// If the clocks of the client and the store differ by more than this, the cell has a note for the user.
const CLOCKS_NOTED: Duration = Duration::seconds(5);
/// The number of characters of a certificate's serial number that a cell contains.
const SERIAL_SHOWN: usize = 8;
/// The text of a table cell for a request whose signature the store accepted. The store may have refused the request
/// for another reason.
const RIGHT: &str = "the signature is right";

/// The text of a table cell about an object key that the store does not allow.
pub(super) const NO_SUCH_KEYS: &str = "the store does not take such a key";

/// The state of a cell of the check's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The answer is as expected.
    Good,
    /// The answer is as expected, but the user should know the remark in the cell.
    Note,
    /// The answer shows a problem.
    Bad,
    /// The question was not asked. The text of the cell gives the reason.
    NotAsked,
}

/// A cell of the check's table: the result of one question that was asked inside the cluster (in the pod) or outside
/// (in this process).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The state of the cell.
    pub state: State,
    /// A short description of what was observed, or the reason why nothing was asked.
    pub text: String,
    /// One sentence that says what is wrong and how to fix it, or a remark that is too long for the table. `None` if
    /// the cell has neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The anchor of the section of `docs/troubleshooting.md` about the problem. `None` if no section is about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<&'static str>,
}

/// A row of the check's table: one question, with its results inside and outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name of the question.
    pub name: &'static str,
    /// The result of the question in the pod.
    pub inside: Cell,
    /// The result of the question in this process.
    pub outside: Cell,
    /// Whether the results inside and outside the cluster differ.
    pub differs: bool,
}

/// A question that was asked, and its answer. If no answer came, `Err` has the reason. The reason is an error of the
/// harness, and not a fault of the store or the cluster.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) answer: Result<Answer, String>,
}

/// The position of a cell in the check's table: its row, and its column (inside or outside the cluster).
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) row: &'static str,
    pub(super) inside: bool,
}

impl Cell {
    pub(super) fn new(state: State, text: impl Into<String>) -> Self {
        Self { state, text: text.into(), why: None, section: None }
    }

    pub(super) fn not_asked(why: impl Into<String>) -> Self {
        Self::new(State::NotAsked, why)
    }

    /// Whether the questions that depend on this cell can be asked.
    pub(super) fn passes(&self) -> bool {
        matches!(self.state, State::Good | State::Note)
    }
}

impl Row {
    /// Creates a row from the cells of its two columns.
    pub(super) fn of(name: &'static str, inside: Cell, outside: Cell) -> Self {
        let asked = inside.state != State::NotAsked && outside.state != State::NotAsked;
        let differs = asked && (inside.text != outside.text || inside.state != outside.state);
        Self { name, inside, outside, differs }
    }

    /// Whether one of the two cells shows a problem.
    pub fn is_bad(&self) -> bool {
        self.inside.state == State::Bad || self.outside.state == State::Bad
    }
}

/// Builds the table cell of a question. If the judge finds that the answer is not as `expected`, the cell describes
/// this problem. Otherwise `good` builds the cell from the reply, or returns a cause if it finds a problem itself.
fn cell(
    at: At,
    asked: &Asked,
    expected: &Expected,
    good: impl FnOnce(&Reply, &Evidence) -> Result<Cell, Cause>,
) -> Cell {
    let answer = match &asked.answer {
        Ok(answer) => answer,
        // The agent could not answer, for example because its pod is gone. So nothing is known about the store.
        Err(why) => return Cell::new(State::Bad, why.clone()),
    };
    let seen = match &answer.outcome {
        Ok(reply) => good(reply, &answer.evidence),
        Err(cause) => Err(cause.clone()),
    };
    let cause = match seen {
        Ok(cell) => match judge(expected, answer, &Seen::default()).cause {
            None => return cell,
            Some(cause) => cause,
        },
        Err(cause) => cause,
    };
    bad(at, asked, answer, &cause, None)
}

/// Builds the table cell of a question whose answer shows a problem. If it is known which part of the signed request
/// arrived at the store with another value, `finding` describes this part.
fn bad(at: At, asked: &Asked, answer: &Answer, cause: &Cause, finding: Option<&SignatureFinding>) -> Cell {
    let why = sentence(
        &Subject {
            step: at.row,
            from: Some(side(at.inside)),
            inside: at.inside,
            question: Some(&asked.question),
            answer: Some(answer),
            signature: finding,
            in_scenario: false,
        },
        cause,
    );
    // The message of a server may contain line breaks, but the sentence must fit in one line.
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = cause.to_string();
    let text = text.split_once(" (").map_or(text.as_str(), |(short, _)| short).to_owned();
    let section = finding.and_then(pages::of_signature).or_else(|| pages::section(at.row, at.inside, cause));
    Cell { state: State::Bad, text, why: Some(why), section }
}

/// Builds the table cell of a request whose signature the store refused. `finding` says which part of the request
/// arrived at the store with another value; `None` if that is not known.
pub(super) fn explained(at: At, asked: &Asked, finding: Option<&SignatureFinding>) -> Cell {
    let answer = match &asked.answer {
        Ok(answer) => answer,
        Err(why) => return Cell::new(State::Bad, why.clone()),
    };
    let facts = answer.reply().map(Reply::facts);
    let error = facts.as_ref().and_then(|it| it.s3_error);
    let status = facts.as_ref().and_then(|it| it.status).unwrap_or_default();
    let detail = error.map(|it| it.message.clone()).unwrap_or_default();
    let cause = Cause::Status { status, s3: error.map(|it| it.code.clone()), detail };
    bad(at, asked, answer, &cause, finding)
}

/// Whether the store accepted the signature of an HTTP request, even if it then answered with another error.
pub(super) fn accepted(asked: &Asked) -> bool {
    let reply = asked.answer.as_ref().ok().and_then(Answer::reply);
    let Some(Reply::Http(http)) = reply else { return false };
    match http.s3_error.as_ref().map(S3Error::meant) {
        None => (200..300).contains(&http.status),
        Some(code) => matches!(code, "NoSuchKey" | "NoSuchBucket" | "AccessDenied"),
    }
}

pub(super) fn side(inside: bool) -> &'static str {
    if inside { "inside" } else { "outside" }
}

pub(super) fn name(at: At, asked: &Asked) -> Cell {
    cell(at, asked, &Expected::Answer, |reply, _| {
        let Reply::Dns(dns) = reply else { return Ok(Cell::new(State::Good, "")) };
        let addresses: Vec<String> = dns.addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        match &dns.searched {
            Some(searched) => Err(Cause::Mismatch {
                matcher: "what applications get by the search list and ndots".to_owned(),
                expected: format!("{addresses} (the name with a dot at its end)"),
                seen: searched.clone(),
            }),
            None => Ok(Cell::new(State::Good, addresses)),
        }
    })
}

pub(super) fn tls(at: At, asked: &Asked) -> Cell {
    cell(at, asked, &Expected::Answer, |_, evidence| {
        let text = evidence.chain.first().map_or_else(String::new, |leaf| {
            let serial: String = leaf.serial.chars().take(SERIAL_SHOWN).collect();
            let day = leaf.not_after.split('T').next().unwrap_or_default();
            format!("for {}, until {day}, serial {serial}", leaf.names.join(", "))
        });
        Ok(Cell::new(State::Good, text))
    })
}

/// Builds the table cell of a request without a signature. The request shows whether a store answers at the endpoint.
pub(super) fn store(at: At, asked: &Asked) -> Cell {
    cell(at, asked, &Expected::Answer, |reply, _| {
        let Reply::Http(http) = reply else { return Ok(Cell::new(State::Good, "")) };
        if let Some((sent, seen)) = refused::prefixed(asked) {
            return Err(Cause::Mismatch {
                matcher: refused::PATH.to_owned(),
                expected: format!("{sent}; the path is signed, so let nothing on the way add or strip a prefix"),
                seen,
            });
        }
        let code = http.s3_error.as_ref().map(|it| it.code.as_str());
        match (http.status, code) {
            (403, Some("AccessDenied")) => Ok(Cell::new(State::Good, "answers, and refuses strangers")),
            (200..300, _) if http.headers.contains_key("x-amz-request-id") => {
                Ok(Cell::new(State::Note, "answers, and anybody may list"))
            }
            _ => Err(status_of(http)),
        }
    })
}

fn status_of(http: &HttpReply) -> Cause {
    let detail = http.s3_error.as_ref().map_or_else(|| first_words(&http.body), |it| it.message.clone());
    Cause::Status { status: http.status, s3: http.s3_error.as_ref().map(|it| it.code.clone()), detail }
}

fn first_words(body: &str) -> String {
    let text: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
    if text.is_empty() { "no body; this is not a store's answer".to_owned() } else { text }
}

/// Builds the table cell that compares the store's clock with the clock of the machine or the pod that asked.
pub(super) fn clock(at: At, asked: &Asked) -> Cell {
    let answer = asked.answer.as_ref().ok();
    let subject = Subject {
        step: at.row,
        from: Some(side(at.inside)),
        inside: at.inside,
        question: Some(&asked.question),
        answer,
        signature: None,
        in_scenario: false,
    };
    let Some(apart) = clock_apart(&subject) else { return Cell::not_asked("no answer has a date") };
    let seconds = apart.whole_seconds();
    let text = format!("the store's is {} s {}", seconds.abs(), if seconds < 0 { "behind" } else { "ahead" });
    if apart.abs() >= CLOCKS_LIMIT {
        let why = format!(
            "`clock` from {}: {text}, and stores refuse signatures that are more than 15 min apart: set both clocks by NTP",
            side(at.inside)
        );
        return Cell { state: State::Bad, text, why: Some(why), section: None };
    }
    if apart.abs() > CLOCKS_NOTED { Cell::new(State::Note, text) } else { Cell::new(State::Good, "as the store's") }
}

/// Builds the table cell of a list request that is signed with the user's keys.
pub(super) fn keys(at: At, asked: &Asked) -> Cell {
    let denied = |reply: &Reply| reply.facts().s3_error.is_some_and(|it| it.meant() == "AccessDenied");
    if asked.answer.as_ref().is_ok_and(|it| it.reply().is_some_and(denied)) {
        return Cell::new(State::Note, format!("{RIGHT}; the keys may not list"));
    }
    cell(at, asked, &Expected::Success, |reply, _| {
        let found = if let Reply::S3(s3) = reply { s3.keys.len() } else { 0 };
        Ok(Cell::new(State::Good, if found == 0 { RIGHT.to_owned() } else { format!("{RIGHT}, {found} keys") }))
    })
}

/// Builds the table cell of a presigned URL. If there is a pod, a URL that is opened inside the cluster was signed
/// outside, and a URL that is opened outside was signed inside. `signer` is the secret key that signed the URL.
pub(super) fn opened(at: At, asked: &Asked, signer: &Secret) -> Cell {
    let Ok(answer) = &asked.answer else { return cell(at, asked, &Expected::Success, |_, _| Ok(Cell::not_asked(""))) };
    let http = if let Some(Reply::Http(http)) = answer.reply() { Some(http) } else { None };
    let code = http.and_then(|it| it.s3_error.as_ref()).map(|it| (it.meant(), it.message.as_str()));
    match (http.map(|it| it.status), code) {
        (Some(200..300), None) => Cell::new(State::Good, "opens"),
        // The answer to a HEAD request has no body and therefore no error code. The status 404 shows that the store
        // accepted the signature.
        (Some(404), None) if matches!(&asked.question.probe, Probe::Http(HttpQuestion { method, .. }) if method == "HEAD") => {
            Cell::new(State::Good, RIGHT)
        }
        (_, Some(("NoSuchKey", _))) => Cell::new(State::Good, RIGHT),
        (_, Some(("AccessDenied", message)))
            if !["xpired", "valid yet", "not signed"].iter().any(|it| message.contains(it)) =>
        {
            Cell::new(State::Note, format!("{RIGHT}; its owner may not do this"))
        }
        (_, Some((code, _))) if code.ends_with("InvalidObjectName") => Cell::new(State::Note, NO_SUCH_KEYS),
        _ => {
            let cause = match (&answer.outcome, http) {
                (Err(cause), _) => cause.clone(),
                (_, Some(http)) => status_of(http),
                _ => Cause::Client { detail: "no HTTP answer".to_owned() },
            };
            let finding = refused::of_answer(&asked.question, answer, signer);
            bad(at, asked, answer, &cause, finding.as_ref())
        }
    }
}

/// Builds the table cell for a host name that begins with the bucket's name. A failure is only a note, because clients
/// can put the bucket's name in the path of the URL instead.
pub(super) fn virtual_host(at: At, asked: &Asked) -> Cell {
    let cell = name(at, asked);
    if cell.state == State::Bad {
        return Cell { why: None, ..Cell::new(State::Note, format!("{}: path style only", cell.text)) };
    }
    cell
}

/// Builds the table cell about CORS. The question is the preflight request that a browser sends before a PUT from a web
/// page of another origin.
pub(super) fn cors(at: At, asked: &Asked) -> Cell {
    cell(at, asked, &Expected::Answer, |reply, _| {
        let Reply::Http(http) = reply else { return Ok(Cell::new(State::Good, "")) };
        match http.headers.get("access-control-allow-origin") {
            None => Ok(Cell::new(State::Note, "no: browsers refuse the answers to pages of other origins")),
            Some(allowed) if allowed.contains(',') => Err(Cause::Mismatch {
                matcher: "access-control-allow-origin".to_owned(),
                expected: "one value, because browsers refuse two; let only one of ingress and store add it".to_owned(),
                seen: allowed.clone(),
            }),
            Some(allowed) => Ok(Cell::new(State::Good, format!("allows {allowed}"))),
        }
    })
}

/// Builds the table cell about the pod's ServiceAccount token and the keys of the token's issuer.
pub(super) fn token(at: At, asked: &Asked, audience: &str) -> Cell {
    cell(at, asked, &Expected::Answer, |reply, _| {
        let Reply::Jwt(jwt) = reply else { return Ok(Cell::new(State::Good, "")) };
        let mismatch = |matcher: &str, expected: &str, seen: String| {
            Err(Cause::Mismatch { matcher: matcher.to_owned(), expected: expected.to_owned(), seen })
        };
        if jwt.signature != Signature::Valid {
            return mismatch(
                "the token's signature by the issuer's published keys",
                "valid",
                jwt.signature.as_str().to_owned(),
            );
        }
        let has = match &jwt.claims["aud"] {
            serde_json::Value::Array(all) => all.iter().any(|it| it == audience),
            one => one == audience,
        };
        if !has {
            return mismatch("the token's audience", audience, jwt.claims["aud"].to_string());
        }
        let issuer = jwt.claims["iss"].as_str().unwrap_or_default();
        Ok(Cell::new(State::Good, format!("of {issuer}, for {audience}; its keys are published")))
    })
}

/// Builds the table cell about the credentials that the store gives in exchange for the token.
pub(super) fn sign_in(at: At, asked: &Asked) -> Cell {
    cell(at, asked, &Expected::Success, |reply, _| {
        let until =
            if let Reply::Sts(sts) = reply { sts.credentials.as_ref().map(|it| it.expires.clone()) } else { None };
        Ok(Cell::new(State::Good, format!("credentials until {}", until.unwrap_or_default())))
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
