//! Explains a store's refusal from its error code, the request and the answer.

use parallax_vocab::answer::meant;
use parallax_vocab::probes::Signed;
use parallax_vocab::question::{HttpQuestion, S3Operation};
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};
use url::Url;

use super::Subject;
use super::form;
use super::signature::words;
use super::store;
use super::style::Virtual;

/// A difference of at most this time between the clocks of the store and the client is not reported. With a smaller
/// limit, equal clocks would seem to differ, because the date of an answer has whole seconds and the answer takes time
/// to arrive.
const CLOCKS_EQUAL: Duration = Duration::seconds(5);

/// Explains the HTTP status and the error code with which a store refused a request.
pub(super) fn sentence(status: u16, code: &str, detail: &str, subject: &Subject<'_>) -> String {
    let says = format!("the store answers {status} {code}");
    if let Some(finding) = subject.signature {
        return format!("{says}: {}", words::sentence(finding));
    }
    let code = meant(code, detail);
    if let Some(why) = form::sentence(&says, code, detail, subject) {
        return why;
    }
    let asked = Asked::of(subject);
    let detail = detail.trim_end_matches('.');
    match code {
        "" if detail.contains("HTTP request to an HTTPS server") => {
            format!("the answer is {status} ({detail}); the store speaks TLS at this port: ask it by https")
        }
        "" => {
            let not_ready = store::not_ready(status, &asked.object);
            not_ready.unwrap_or_else(|| format!("the answer is {status} ({detail})"))
        }
        "SignatureDoesNotMatch" => format!(
            "{says}: what it saw is not what was signed; compare host, port, path, query, region and secret key"
        ),
        "AccessDenied" if detail.contains("expired") => format!("{says}: {detail}{}", expired(subject, &asked)),
        "AccessDenied" if detail.contains("not valid yet") => format!("{says}: {detail}{}", early(subject, &asked)),
        "AccessDenied" if detail.contains("not signed") => format!(
            "{says}: {detail}; a signed header does not arrive, or an x-amz- header arrives that was not signed: let nothing on the way strip or add headers"
        ),
        "AccessDenied" if asked.anonymous => format!(
            "{says}: the request carries no signature, and {} is not public; sign it, or allow anonymous access in the bucket's policy",
            asked.object
        ),
        "AccessDenied" => format!(
            "{says}: the signature is right, and its owner may not do this to {}; allow it in a policy of that user, role or bucket",
            asked.object
        ),
        "RequestTimeTooSkewed" => {
            format!("{says}: {detail}{}; set both clocks by NTP", clocks(subject).unwrap_or_default())
        }
        "AuthorizationQueryParametersError" => format!("{says}: {detail}{}", parameters(&asked)),
        "AuthorizationHeaderMalformed" | "InvalidRegion" => format!("{says}: {}", region(detail, &asked)),
        "InvalidAccessKeyId" if asked.temporary => format!(
            "{says}: temporary credentials have ended, as they do with the token that they were gained by, or another store gave them; sign in again, as clients do that are given the token's file and not its keys"
        ),
        "InvalidAccessKeyId" => format!(
            "{says}: the store knows no access key {}; it was deleted, or belongs to another store: look at the Secret that the client reads",
            asked.access_key.as_deref().unwrap_or("of that name")
        ),
        "InvalidTokenId" | "ExpiredToken" => format!(
            "{says}: {detail}; the session token is over, cut or missing: take new credentials, and pass the token on whole"
        ),
        "XAmzContentSHA256Mismatch" => format!(
            "{says}: the body that arrived is not the one that was signed; something on the way changes bodies, or another body was sent"
        ),
        "NoSuchKey" => format!(
            "{says}: {} does not exist; look at the key's spelling, and at who should have written it",
            asked.object
        ),
        "NoSuchBucket" if let Some(style) = subject.question.and_then(Virtual::of) => style.no_such_bucket(&says),
        "NoSuchBucket" => format!(
            "{says}: the bucket of {} does not exist in this store; create it, or ask the store that has it",
            asked.object
        ),
        code => format!("the store answers {status} {code}: {detail}"),
    }
}

/// The facts that a request shows: who signed it, which object it asks for, and how long its signature is valid.
#[derive(Debug, Default)]
struct Asked {
    object: String,
    access_key: Option<String>,
    region: Option<String>,
    signed_at: Option<OffsetDateTime>,
    expires: Option<Duration>,
    anonymous: bool,
    /// Whether the request was signed with temporary credentials.
    temporary: bool,
}

impl Asked {
    fn of(subject: &Subject<'_>) -> Self {
        match subject.question.and_then(|it| it.probe.facts().signed) {
            Some(Signed::Http(http)) => {
                // The pattern lists every field of the request, and does not use `..`. If a field is added to the
                // request, this code does not compile until the field is added here. Whoever adds it must decide
                // whether it can carry a signature.
                let HttpQuestion { url, headers, form, method: _, host: _, body: _, filler_bytes: _ } = http;
                Self::of_url(url).map_or_else(Self::default, |mut asked| {
                    let named = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
                    let form = form.as_ref().filter(|form| form::is_signed(form));
                    asked.anonymous = asked.access_key.is_none() && !named && form.is_none();
                    if let Some(form) = form {
                        asked.access_key = form::field(form, "x-amz-credential").and_then(first).map(str::to_owned);
                        asked.temporary = form::field(form, "x-amz-security-token").is_some();
                    }
                    asked
                })
            }
            Some(Signed::S3(s3)) => Self {
                object: object(&s3.operation),
                access_key: Some(s3.access.access_key.clone()),
                region: Some(s3.access.region.clone()),
                temporary: s3.access.session_token.is_some(),
                ..Self::default()
            },
            None => Self::default(),
        }
    }

    fn of_url(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let parameter = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
        };
        let credential = parameter("x-amz-credential");
        let field = |index| credential.as_deref().and_then(|it| it.split('/').nth(index)).map(str::to_owned);
        Some(Self {
            object: url.path().trim_start_matches('/').to_owned(),
            access_key: field(0),
            region: field(2),
            signed_at: parameter("x-amz-date").and_then(|it| instant(&it)),
            expires: parameter("x-amz-expires").and_then(|it| it.parse().ok()).map(Duration::seconds),
            anonymous: false,
            temporary: parameter("x-amz-security-token").is_some(),
        })
    }
}

/// Returns the access key, which is the first part of a credential (`ACCESS_KEY/DATE/REGION/SERVICE/aws4_request`).
fn first(credential: &str) -> Option<&str> {
    credential.split('/').next()
}

fn object(operation: &S3Operation) -> String {
    match operation {
        S3Operation::CreateBucket { bucket } | S3Operation::PutBucketPolicy { bucket, .. } => bucket.clone(),
        S3Operation::List { bucket, prefix } | S3Operation::Survey { bucket, prefix } => format!("{bucket}/{prefix}"),
        S3Operation::Put { bucket, key, .. }
        | S3Operation::Get { bucket, key }
        | S3Operation::Head { bucket, key }
        | S3Operation::CreateUpload { bucket, key }
        | S3Operation::CompleteUpload { bucket, key, .. }
        | S3Operation::Delete { bucket, key } => format!("{bucket}/{key}"),
    }
}

fn expired(subject: &Subject<'_>, asked: &Asked) -> String {
    let (Some(at), Some(valid)) = (asked.signed_at, asked.expires) else {
        return "; the URL's time is over, sign a new one".to_owned();
    };
    let Some(end) = at.checked_add(valid) else { return String::new() };
    let over = store_clock(subject).or_else(|| client_clock(subject)).map(|now| now - end);
    let ago = over.filter(|it| it.is_positive()).map(|it| format!(", {} before the store looked", span(it)));
    format!(
        ": it was signed at {} for {} and ended at {}{}{}; sign a new one, or for longer (7 days at most)",
        shown(at),
        span(valid),
        shown(end),
        ago.unwrap_or_default(),
        clocks(subject).unwrap_or_default(),
    )
}

fn early(subject: &Subject<'_>, asked: &Asked) -> String {
    let Some(at) = asked.signed_at else { return String::new() };
    let now = store_clock(subject).or_else(|| client_clock(subject));
    let ahead = now.map(|now| at - now).filter(|it| it.is_positive());
    let ahead = ahead.map(|it| format!(", {} ahead of the store's clock", span(it)));
    format!(
        ": it is signed for {}{}{}; more than 15 minutes are refused: set the signer's clock by NTP",
        shown(at),
        ahead.unwrap_or_default(),
        clocks(subject).unwrap_or_default(),
    )
}

fn parameters(asked: &Asked) -> String {
    match asked.expires {
        Some(expires) if expires > Duration::days(7) => {
            format!("; it asks for {}, and SigV4 allows 7 days at most: sign for less", span(expires))
        }
        Some(expires) if expires.is_negative() => "; X-Amz-Expires is negative".to_owned(),
        _ => "; the URL's own parameters are missing or damaged: was it copied whole?".to_owned(),
    }
}

fn region(detail: &str, asked: &Asked) -> String {
    let expected = detail.split_once("expecting '").and_then(|(_, rest)| rest.split_once('\'')).map(|(name, _)| name);
    match (expected, &asked.region) {
        (Some(expected), Some(signed)) if expected != signed => format!(
            "it was signed for region {signed}, and the store is in {expected}; set the client's region to {expected} (AWS_REGION)"
        ),
        _ => detail.to_owned(),
    }
}

/// Returns by how much the store's clock is ahead of the client's clock. The value is negative if the store's clock is
/// behind. The header `Date` of the answer shows the store's clock. `None` if there is no answer, or if the answer has
/// no valid `Date`.
pub fn clock_apart(subject: &Subject<'_>) -> Option<Duration> {
    Some(store_clock(subject)? - client_clock(subject)?)
}

/// Describes the difference between the clocks of the store and the client. Returns `None` if the difference is at most
/// [`CLOCKS_EQUAL`].
pub(super) fn clocks(subject: &Subject<'_>) -> Option<String> {
    let apart = clock_apart(subject)?;
    let place = subject.from.unwrap_or("the client");
    let way = if apart.is_negative() { "behind" } else { "ahead of" };
    (apart.abs() > CLOCKS_EQUAL).then(|| format!("; the store's clock is {} {way} that of {place}", span(apart.abs())))
}

/// Returns the time on the store's clock when the store answered, from the header `Date`. `None` if there is no answer,
/// or if the answer has no valid `Date`.
pub(super) fn store_clock(subject: &Subject<'_>) -> Option<OffsetDateTime> {
    let headers = subject.answer?.reply()?.facts().headers?;
    OffsetDateTime::parse(&headers.get("date")?.replace("GMT", "+0000"), &Rfc2822).ok()
}

/// Returns the time on the client's clock when the answer arrived. `None` if there is no answer.
pub(super) fn client_clock(subject: &Subject<'_>) -> Option<OffsetDateTime> {
    let evidence = &subject.answer?.evidence;
    let ms = i128::from(evidence.started_unix_ms) + i128::from(evidence.took_us / 1000);
    OffsetDateTime::from_unix_timestamp_nanos(ms * 1_000_000).ok()
}

/// Parses a time such as `20261122T150000Z`.
pub(super) fn instant(text: &str) -> Option<OffsetDateTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    PrimitiveDateTime::parse(text, format).ok().map(PrimitiveDateTime::assume_utc)
}

pub(super) fn shown(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// Formats a duration in its two largest units, such as `1 h 1 min`.
pub fn span(span: Duration) -> String {
    let all = [
        (span.whole_days(), "d"),
        (span.whole_hours() % 24, "h"),
        (span.whole_minutes() % 60, "min"),
        (span.whole_seconds() % 60, "s"),
    ];
    let parts: Vec<String> = all
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count != 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use parallax_vocab::answer::{Evidence, HttpReply};
    use parallax_vocab::question::{Addressing, Probe, Question, S3Access, S3Question, View};
    use parallax_vocab::{Answer, Reply, Secret};

    use super::*;

    /// The time 2026-11-22 15:00:00 UTC, in seconds since the Unix epoch.
    const NOW_S: u64 = 1_795_359_600;

    fn question(probe: Probe) -> Question {
        Question { view: View::default(), deadline_ms: 1000, probe }
    }

    fn url(date: &str, expires: u32) -> Question {
        let credential = "AKIDEXAMPLE%2F20261122%2Feu-central-1%2Fs3%2Faws4_request";
        let url = format!(
            "https://minio.example.com/photos/a.txt?X-Amz-Credential={credential}&X-Amz-Date={date}&X-Amz-Expires={expires}&X-Amz-Signature=[redacted]"
        );
        question(Probe::Http(HttpQuestion::new("GET", url)))
    }

    fn plain() -> Question {
        question(Probe::Http(HttpQuestion::new("GET", "https://minio.example.com/photos/a.txt")))
    }

    fn get() -> Question {
        get_with(Addressing::Path)
    }

    fn virtual_host() -> Question {
        get_with(Addressing::Virtual)
    }

    fn get_with(addressing: Addressing) -> Question {
        let access = S3Access {
            endpoint: "https://minio.example.com".to_owned(),
            region: "us-east-1".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("[redacted]"),
            session_token: None,
            addressing,
        };
        let operation = S3Operation::Get { bucket: "photos".to_owned(), key: "a.txt".to_owned() };
        question(Probe::S3(S3Question { access, operation, headers: BTreeMap::new() }))
    }

    /// An answer from a store whose clock shows `date`, while the client's clock shows [`NOW_S`].
    fn answer(date: &str) -> Answer {
        let reply = HttpReply {
            status: 403,
            headers: BTreeMap::from([("date".to_owned(), date.to_owned())]),
            body: String::new(),
            body_bytes: 0,
            body_sha256: String::new(),
            s3_error: None,
        };
        let evidence = Evidence { started_unix_ms: NOW_S * 1000, ..Evidence::default() };
        Answer { outcome: Ok(Reply::Http(reply)), evidence }
    }

    #[test]
    fn every_code_has_its_sentence() {
        let now = "Sun, 22 Nov 2026 15:00:00 GMT";
        let ahead = "Sun, 22 Nov 2026 15:20:07 GMT";
        let region = "The authorization header is malformed; the region is wrong; expecting 'us-east-1'.";
        let (expired, early) = ("Request has expired", "Request is not valid yet");
        let unsigned = "There were headers present in the request which were not signed";
        let long = "X-Amz-Expires must be less than a week (in seconds)";
        let table = [
            ("AccessDenied", expired, url("20261122T140000Z", 300), now),
            ("AccessDenied", expired, url("20261122T145900Z", 300), ahead),
            ("AccessDenied", early, url("20261122T151600Z", 300), now),
            ("AccessDenied", unsigned, url("20261122T150000Z", 300), now),
            ("AccessDenied", "Access Denied.", plain(), now),
            ("AccessDenied", "Access Denied.", get(), now),
            ("AccessDenied", "Forbidden: Invalid signature", get(), now),
            ("AccessDenied", "Forbidden: No such key: a", get(), now),
            (
                "RequestTimeTooSkewed",
                "The difference between the request time and the server's time is too large.",
                plain(),
                ahead,
            ),
            ("AuthorizationQueryParametersError", long, url("20261122T150000Z", 691_200), now),
            ("AuthorizationQueryParametersError", "X-Amz-Expires should be a number", plain(), now),
            ("AuthorizationHeaderMalformed", region, url("20261122T150000Z", 300), now),
            ("InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records.", get(), now),
            ("InvalidTokenId", "The security token included in the request is invalid", get(), now),
            ("NoSuchKey", "The specified key does not exist.", get(), now),
            ("NoSuchBucket", "The specified bucket does not exist", plain(), now),
            ("NoSuchBucket", "The specified bucket does not exist", virtual_host(), now),
            ("XAmzContentSHA256Mismatch", "…", get(), now),
            ("SignatureDoesNotMatch", "…", get(), now),
            ("SlowDown", "Please reduce your request rate", get(), now),
            ("", "Client sent an HTTP request to an HTTPS server.", plain(), now),
            ("", "no body", plain(), now),
        ];
        let mut text = String::new();
        for (code, detail, question, date) in table {
            let answer = answer(date);
            let (question, answer) = (Some(&question), Some(&answer));
            let subject = Subject {
                step: "s",
                from: Some("app"),
                inside: true,
                question,
                answer,
                signature: None,
                in_scenario: true,
            };
            writeln!(text, "{}", sentence(403, code, detail, &subject)).expect("writes");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        let table = [(0, "0 s"), (59, "59 s"), (300, "5 min"), (3_661, "1 h 1 min"), (691_200, "8 d"), (86_405, "1 d")];
        for (seconds, says) in table {
            assert_eq!(span(Duration::seconds(seconds)), says);
        }
    }
}
