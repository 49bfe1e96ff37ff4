//! Reads the parts of a presigned URL without a network: who may do what, where, and until when. The output does not
//! show credentials.

use parallax_vocab::percent::decoded;
use time::{Duration, OffsetDateTime};
use url::Url;

use super::hints::{Parts, hints};
use super::refusal::{instant, shown, span};

/// One line of the output: a label, and a text.
pub type Line = (&'static str, String);

/// The longest validity of a presigned URL that a store accepts.
const LONGEST: Duration = Duration::days(7);
/// A request may come this much earlier than the URL's signing time. Stores accept such a request, because the clocks
/// of the signer and of the store may differ.
const SKEW: Duration = Duration::minutes(15);

/// Reads a presigned URL. `now` is the time for which the validity is judged. The error says why the text is not a
/// presigned URL.
pub fn dissect(text: &str, now: OffsetDateTime) -> Result<Vec<Line>, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("this is not a URL: {error}"))?;
    let pairs: Vec<(String, String)> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let get =
        |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    if get("X-Amz-Signature").is_none() {
        if get("Signature").is_some() && get("AWSAccessKeyId").is_some() {
            let host = url.host_str().unwrap_or_default().to_owned();
            let object = decoded(url.path()).trim_start_matches('/').to_owned();
            let wrong = "this URL is signed with SigV2, which most stores refuse; have it signed with SigV4 (boto3: `signature_version='s3v4'`)";
            return Ok(vec![("host", host), ("object", object), ("wrong", wrong.to_owned())]);
        }
        return Err(
            "this URL is not presigned: it has no X-Amz-Signature; was it copied whole, and in quotes?".to_owned()
        );
    }
    let mut lines = Vec::new();
    let host = url.host_str().ok_or("this URL has no host")?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    lines.push(("host", format!("{host}{port}: signed, so it must reach the store under exactly this name")));
    let path = decoded(url.path());
    lines.push(("object", path.trim_start_matches('/').to_owned()));
    if let Some(operation) = get("x-id") {
        lines.push(("operation", operation.to_owned()));
    } else {
        lines.push(("method", "signed, but not told by the URL: it opens for one method only".to_owned()));
    }
    match get("X-Amz-Credential").map(|it| it.split('/').collect::<Vec<_>>()) {
        Some(fields) if fields.len() >= 5 => {
            let scope = &fields[fields.len() - 4..];
            let key = fields[..fields.len() - 4].join("/");
            lines.push(("signed by", format!("access key {}", masked(&key))));
            lines.push(("region", format!("{} ({})", scope[1], scope[2])));
        }
        _ => lines.push(("wrong", "X-Amz-Credential is missing or cut: the store will refuse it".to_owned())),
    }
    lines.extend(times(get("X-Amz-Date"), get("X-Amz-Expires"), now));
    let signed: Vec<&str> =
        get("X-Amz-SignedHeaders").unwrap_or_default().split(';').filter(|it| !it.is_empty()).collect();
    if !signed.contains(&"host") {
        lines.push(("wrong", "`host` is not among the signed headers: the store will refuse it".to_owned()));
    }
    let others: Vec<&str> = signed.into_iter().filter(|it| *it != "host").collect();
    if !others.is_empty() {
        lines.push(("headers", format!("whoever opens it must send, as they were signed: {}", others.join(", "))));
    }
    if get("X-Amz-Security-Token").is_some() {
        lines.push((
            "token",
            "of temporary credentials: the URL ends with them, however long it is signed for".to_owned(),
        ));
    }
    let own =
        |name: &str| name.to_lowercase().starts_with("x-amz-") && !name.to_lowercase().starts_with("x-amz-checksum");
    let parameters: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| !own(name) && name != "x-id")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !parameters.is_empty() {
        lines.push(("query", format!("signed too, unless added later: {}", parameters.join(", "))));
    }
    let ends = get("X-Amz-Date").and_then(instant).and_then(|at| validity(at, get("X-Amz-Expires"))).map(|it| it.1);
    lines.extend(hints(&Parts { text: text.trim(), host, pairs: &pairs, ends }));
    if url.scheme() == "http" {
        lines.push(("careful", "http: whoever sees the URL on its way may open it".to_owned()));
    }
    Ok(lines)
}

/// The duration of the URL's validity, and the time at which the validity ends. `at` is the time of the signature, and
/// `expires` is the value of `X-Amz-Expires`. `None` if this value is missing or is not a number of seconds.
fn validity(at: OffsetDateTime, expires: Option<&str>) -> Option<(Duration, OffsetDateTime)> {
    let valid = Duration::seconds(i64::from(expires?.parse::<u32>().ok()?));
    Some((valid, at.checked_add(valid)?))
}

fn times(date: Option<&str>, expires: Option<&str>, now: OffsetDateTime) -> Vec<Line> {
    let Some(at) = date.and_then(instant) else {
        return vec![("wrong", "X-Amz-Date is missing or damaged: the store will refuse it".to_owned())];
    };
    let Some((valid, end)) = validity(at, expires) else {
        return vec![
            ("signed at", shown(at)),
            ("wrong", "X-Amz-Expires is missing or not a number: the store will refuse it".to_owned()),
        ];
    };
    let mut lines = vec![("signed at", shown(at)), ("valid for", span(valid)), ("ends at", shown(end))];
    if valid > LONGEST {
        lines.push(("wrong", "longer than 7 days: the store will refuse it; sign for less".to_owned()));
    }
    lines.push((
        "now",
        if now > end {
            format!("over, since {}: sign a new one", span(now - end))
        } else if at - now > SKEW {
            format!("not valid yet: it is signed {} ahead of this machine's clock", span(at - now))
        } else {
            format!("valid, for another {}", span(end - now))
        },
    ));
    lines
}

/// Returns the first characters of an access key, and its length. A user can recognise the key by them, but the output
/// does not show the whole key.
fn masked(key: &str) -> String {
    let length = key.chars().count();
    let first: String = key.chars().take(if length > 8 { 4 } else { 1 }).collect();
    format!("{first}… ({length} characters)")
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 15:03:00 UTC);

    fn url(date: &str, expires: &str) -> String {
        format!(
            "https://minio.example.com:9000/photos/a%20b.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE123%2F20261122%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date={date}&X-Amz-Expires={expires}&X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature=5ec4e7&X-Amz-Security-Token=t0ken&response-content-type=text%2Fplain"
        )
    }

    #[test]
    fn a_url_is_taken_apart_without_its_credentials() {
        let lines = dissect(&url("20261122T150000Z", "300"), NOW).expect("presigned");
        let text: Vec<String> = lines.iter().map(|(label, what)| format!("{label:<10} {what}\n")).collect();
        let text = text.concat();
        for secret in ["5ec4e7", "t0ken", "AKIDEXAMPLE123"] {
            assert!(!text.contains(secret), "{text}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn its_time_is_told() {
        let table = [
            ("20261122T150000Z", "300", "valid, for another 2 min"),
            ("20261122T150000Z", "60", "over, since 2 min: sign a new one"),
            ("20261122T153000Z", "60", "not valid yet: it is signed 27 min ahead of this machine's clock"),
            ("20261122T150000Z", "691200", "longer than 7 days"),
            ("20261122T150000Z", "-1", "X-Amz-Expires is missing or not a number"),
            ("yesterday", "60", "X-Amz-Date is missing or damaged"),
        ];
        for (date, expires, says) in table {
            let lines = dissect(&url(date, expires), NOW).expect("presigned");
            assert!(lines.iter().any(|(_, what)| what.contains(says)), "{date} {expires}: {lines:?}");
        }
    }

    #[test]
    fn what_is_not_presigned_says_so() {
        let table = [("https://h/b/k", "not presigned"), ("h/b/k", "not a URL")];
        for (url, says) in table {
            let error = dissect(url, NOW).expect_err("not presigned");
            assert!(error.contains(says), "{error}");
        }
        let old = dissect("https://h/b/k?AWSAccessKeyId=AKIA&Signature=s3cr&Expires=1", NOW).expect("a finding");
        assert!(old.iter().any(|(label, what)| *label == "wrong" && what.contains("SigV2")), "{old:?}");
        assert!(!format!("{old:?}").contains("s3cr"), "{old:?}");
    }
}
