//! Builds the sentence that explains why a store refused a signature: what differs, and how to fix it.

use parallax_vocab::percent::{decoded, encoded};
use parallax_vocab::signature::{Difference, Part, SecretFinding, SeenBy, SignatureFinding, SignatureForm};

use super::request::UNSIGNED;

/// The largest number of characters of a value that a sentence shows.
const VALUE_LIMIT: usize = 80;

/// Returns the description of what is wrong with a signature, without the leading "the store answers …".
pub(crate) fn sentence(finding: &SignatureFinding) -> String {
    let clauses = clauses(finding);
    let rest = rest(finding);
    let wrong = match clauses.as_slice() {
        [] => return rest.unwrap_or_default(),
        [only] => only.clone(),
        several => {
            let numbered = several.iter().enumerate().map(|(index, it)| format!("({}) {it}", index + 1));
            let count = ["no", "one", "two", "three", "four", "five"].get(several.len()).copied().unwrap_or("several");
            format!("{count} things are wrong: {}", numbered.collect::<Vec<_>>().join("; "))
        }
    };
    rest.map_or(wrong.clone(), |rest| format!("{wrong}; {rest}"))
}

/// Returns one clause for each fault in the finding: a different secret key, or a part of the request that differs.
pub(crate) fn clauses(finding: &SignatureFinding) -> Vec<String> {
    let mut clauses = Vec::new();
    if finding.secret == SecretFinding::Other {
        clauses.push(
            "the secret key that signed is not the one that the store holds for this access key: give the signer the store's (a rotated Secret, or that of another store?)"
                .to_owned(),
        );
    }
    let style = style(finding);
    let is_told = |it: &&Difference| style.is_some() && matches!(it.part, Part::Host | Part::Path);
    clauses.extend(style.clone());
    clauses.extend(finding.differs.iter().filter(|it| !is_told(it)).map(|it| clause(it, finding)));
    clauses
}

/// Returns the clause for a request whose bucket moved between the host name and the path. `None` if host and path do
/// not differ in this way.
fn style(finding: &SignatureFinding) -> Option<String> {
    let of = |part: Part| finding.differs.iter().find(|it| it.part == part);
    let (host, path) = (of(Part::Host)?, of(Part::Path)?);
    // Whether both pairs address the same object: `host` and `path` in virtual-host style, and `of_host` and `of_path`
    // in path style.
    let is_virtual = |host: &str, path: &str, of_host: &str, of_path: &str| {
        let bucket = host.strip_suffix(of_host).and_then(|it| it.strip_suffix('.'));
        bucket.is_some_and(|it| of_path.strip_prefix('/').and_then(|rest| rest.strip_prefix(it)) == Some(path))
    };
    let (was, is) = if is_virtual(&host.seen, &path.seen, &host.signed, &path.signed) {
        ("path style", "virtual-host style")
    } else if is_virtual(&host.signed, &path.signed, &host.seen, &path.seen) {
        ("virtual-host style", "path style")
    } else {
        return None;
    };
    let saw = match finding.seen_by {
        SeenBy::Store => "the store saw it",
        SeenBy::Sender => "it was sent",
        SeenBy::Log => "the log shows it",
    };
    let shown = |host: &str, path: &str| format!("{}{}", cut(host), cut(path));
    Some(format!(
        "it was signed in {was} ({}), and {saw} in {is} ({}): the bucket moved between the host and the path, and both are signed; sign in the style in which it is opened, and let no proxy change the style",
        shown(&host.signed, &path.signed),
        shown(&host.seen, &path.seen),
    ))
}

/// Returns the conclusion from the finding as a whole. For example, the request was changed after the program that
/// wrote the log. `None` if the clauses already say everything.
fn rest(finding: &SignatureFinding) -> Option<String> {
    let nothing_differs = finding.differs.is_empty();
    match (finding.secret, finding.proven, finding.seen_by) {
        (SecretFinding::Same, true, SeenBy::Store) if nothing_differs => Some(
            "the signature is right for the request that the store saw, with the secret key that the store was given: it holds another one now, or it reads the request otherwise than its trace shows it"
                .to_owned(),
        ),
        (SecretFinding::Same | SecretFinding::Unknown, true, SeenBy::Sender) if nothing_differs => Some(
            "the signature is right for the request as it was sent, so something on the way changes it; the store's trace does not show it: compare there host, path, query and headers"
                .to_owned(),
        ),
        (SecretFinding::Same | SecretFinding::Unknown, true, SeenBy::Log) if nothing_differs => Some(
            "the signature is right for the request as the log shows it, so something behind what wrote the log changes it"
                .to_owned(),
        ),
        (_, true, _) => None,
        (SecretFinding::Other, false, _) => Some(
            "whether anything else differs could not be verified: even with the signer's own secret key the signature is not right".to_owned(),
        ),
        (_, false, _) if finding.valid_as_seen.is_none() => Some(
            "the store's secret key for this access key is not known here, so the signature could not be verified: compare host, port, path, query and secret key"
                .to_owned(),
        ),
        (_, false, _) if nothing_differs => Some(format!(
            "no usual change of host, port, path, query, method or payload makes the signature right with the store's secret key ({} combinations verified): most likely it was signed with another secret key; give the signer the store's",
            finding.tried
        )),
        (_, false, _) => Some(
            "with that put back the signature is still wrong under the store's secret key: it was signed with another one, or more was changed"
                .to_owned(),
        ),
    }
}

fn clause(it: &Difference, finding: &SignatureFinding) -> String {
    let subject = match finding.form {
        SignatureForm::Url => "URL",
        SignatureForm::Header => "request",
    };
    let saw = match finding.seen_by {
        SeenBy::Store => "the store saw",
        SeenBy::Sender => "what was sent has",
        SeenBy::Log => "the log shows",
    };
    let made = if it.sent_so { "it was already sent so" } else { "something on the way changed it" };
    let (signed, seen) = (shown(&it.signed), shown(&it.seen));
    match &it.part {
        Part::Host | Part::Port => {
            let what = if it.part == Part::Port { "the port in Host" } else { "Host" };
            let (signed, seen) = (cut(&it.signed), cut(&it.seen));
            let who = if it.sent_so {
                format!("what opens it, or a proxy on the way, rewrites {what}")
            } else {
                format!("something on the way rewrites {what}")
            };
            format!(
                "the {subject} was signed for host {signed}, and {saw} {seen}: {who}; keep Host as it is (nginx: `proxy_set_header Host $http_host`), or sign for the name that reaches the store"
            )
        }
        Part::Path => format!("{}: {made}; {}", path(it, subject, saw).0, path(it, subject, saw).1),
        Part::Query => format!("{}: {made}; {}", query(it).0, query(it).1),
        Part::Method => format!(
            "the {subject} was signed for {}, and {saw} {}: {made}; sign one for the method that is used",
            it.signed, it.seen
        ),
        Part::Header(name) if it.seen.is_empty() => format!(
            "the header {name} was signed as {signed} and is missing: {made}; send it as it was signed, and let nothing strip it"
        ),
        Part::Header(name) => format!(
            "the header {name} was signed as {signed}, and {saw} {seen}: {made}; send it as it was signed, and let nothing change it"
        ),
        Part::Payload if it.signed == UNSIGNED => format!(
            "the URL was signed without the payload's hash, and the request declares {seen}: {made}; send no x-amz-content-sha256 with a presigned URL"
        ),
        Part::Payload => format!(
            "the payload's hash was signed as {signed}, and {saw} {seen}: {made}; send the body that was signed"
        ),
        Part::Date => format!(
            "X-Amz-Date was signed as {signed} and is now {seen}: {made}; sign a new {subject} instead of changing it"
        ),
        Part::Scope => scope(it, subject, made),
        Part::AccessKey => format!(
            "the credential names another access key than the one that signed: {made}; sign with the access key that it names"
        ),
        Part::Expires => format!(
            "X-Amz-Expires was signed as {signed} and is now {seen}: {made}; a validity cannot be changed afterwards: sign a new URL"
        ),
        Part::SignedHeaders => format!(
            "the list of signed headers was {signed} and is now {seen}: {made}; leave X-Amz-SignedHeaders as it was signed"
        ),
        Part::Token => {
            let what = match (it.signed.is_empty(), it.seen.is_empty()) {
                (false, true) => "was signed and is missing",
                (true, false) => "is there and was not signed",
                _ => "is another than the one that was signed",
            };
            format!("the session token {what}: {made}; temporary credentials go with their token, whole and unchanged")
        }
        Part::Signature => {
            format!(
                "the signature is not the one that was made: {made}; was the {subject} copied in part, or encoded again?"
            )
        }
    }
}

fn path(it: &Difference, subject: &str, saw: &str) -> (String, &'static str) {
    let (signed, seen) = (it.signed.as_str(), it.seen.as_str());
    let merged = |path: &str| {
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        parts.join("/")
    };
    if merged(signed) == merged(seen) {
        (
            format!("slashes of the path were tidied: {} became {}", shown(signed), shown(seen)),
            "turn path normalisation off (nginx: `merge_slashes off`; Envoy: `merge_slashes: false`)",
        )
    } else if let Some(prefix) = seen.strip_suffix(signed).filter(|it| !it.is_empty()) {
        (
            format!("the path {} was signed, and {saw} it under the prefix {}", shown(signed), shown(prefix)),
            "an S3 store cannot live under a path: give it a host name of its own, or let the proxy take the prefix off again",
        )
    } else if let Some(prefix) = signed.strip_suffix(seen).filter(|it| !it.is_empty()) {
        (
            format!("the path {} was signed, and {saw} it without the prefix {}", shown(signed), shown(prefix)),
            "sign for the path that reaches the store, without what the proxy takes off",
        )
    } else if encoded(signed, true) == seen || decoded(seen) == signed {
        (
            format!("the path was encoded once more after it was signed: {} became {}", shown(signed), shown(seen)),
            "pass the path on as it came (nginx: `proxy_pass` without a path)",
        )
    } else if decoded(signed) == seen {
        (
            format!("the path was decoded once too often: {} became {}", shown(signed), shown(seen)),
            "pass the path on as it came (nginx: `proxy_pass` without a path)",
        )
    } else {
        (
            format!("the {subject} was signed for the path {}, and {saw} {}", shown(signed), shown(seen)),
            "sign for the object that is asked for: bucket and key are part of the signature",
        )
    }
}

fn query(it: &Difference) -> (String, &'static str) {
    let pairs = |text: &str| -> Vec<(String, String)> {
        let pairs = text.split('&').filter(|it| !it.is_empty());
        let pairs = pairs.map(|it| it.split_once('=').unwrap_or((it, "")));
        pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
    };
    let (signed, seen) = (pairs(&it.signed), pairs(&it.seen));
    let value = |all: &[(String, String)], name: &str| {
        all.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let mut parts = Vec::new();
    for (name, now) in &seen {
        match value(&signed, name) {
            None => parts.push(format!("has {}, which was not signed", shown(&format!("{name}={now}")))),
            Some(before) if before != *now => {
                parts.push(format!("has {name} as {}, which was signed as {}", shown(now), shown(&before)));
            }
            Some(_) => {}
        }
    }
    let dropped = signed.iter().filter(|(name, _)| value(&seen, name).is_none());
    parts.extend(dropped.map(|(name, value)| format!("lacks {}, which was signed", shown(&format!("{name}={value}")))));
    if parts.is_empty() {
        parts.push("repeats a parameter otherwise than it was signed".to_owned());
    }
    let is_checksum = |name: &str| {
        let name = name.to_lowercase();
        name.starts_with("x-amz-checksum-") || name.starts_with("x-amz-sdk-checksum")
    };
    let fix = if signed.iter().chain(&seen).any(|(name, _)| is_checksum(name)) {
        "a checksum in a URL is signed with it: leave it as it is, or sign without (AWS_REQUEST_CHECKSUM_CALCULATION=when_required)"
    } else {
        "open the URL as it was signed, and sign what has to be in its query"
    };
    (format!("the query {}", parts.join(" and ")), fix)
}

fn scope(it: &Difference, subject: &str, made: &str) -> String {
    let fields = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (signed, seen) = (fields(&it.signed), fields(&it.seen));
    let names = ["date", "region", "service", "terminal"];
    let differs = names.iter().zip(signed.iter().zip(&seen)).filter(|(_, (a, b))| a != b);
    let differs: Vec<String> =
        differs.map(|(name, (a, b))| format!("{name} {} and names {}", shown(a), shown(b))).collect();
    format!(
        "the credential was signed for {}: {made}; sign a new {subject} for the region and day that it is used with",
        if differs.is_empty() { "another scope".to_owned() } else { differs.join(", ") }
    )
}

/// Puts a value in quotes, and cuts it after [`VALUE_LIMIT`] characters.
fn shown(text: &str) -> String {
    format!("`{}`", cut(text))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE_LIMIT {
        return text.to_owned();
    }
    text.chars().take(VALUE_LIMIT).chain("…".chars()).collect()
}
