//! Finds the section of `docs/troubleshooting.md` that explains a cause.

use parallax_vocab::signature::{Part, SignatureFinding};
use parallax_vocab::{Cause, DnsFault, TlsFault};

use super::refused::PATH;

/// A proxy changed a part of a signed request. Returns the anchor of the section about this part. `None` if it is not
/// known which part changed, or if no section is about it.
pub(super) fn of_signature(finding: &SignatureFinding) -> Option<&'static str> {
    let difference = finding.differs.first()?;
    match &difference.part {
        Part::Host | Part::Port => Some("host-or-port-is-not-the-signed-one"),
        Part::Path => {
            let (signed, seen) = (difference.signed.as_str(), difference.seen.as_str());
            let prefixed = signed.ends_with(seen) || seen.ends_with(signed);
            Some(if prefixed { "a-path-prefix" } else { "only-some-keys-fail" })
        }
        Part::Header(_) => Some("a-proxy-changes-a-signed-header"),
        _ => None,
    }
}

/// Returns the anchor of the section that explains a cause. `row` is the name of the question, and `inside` says
/// whether it was asked in the pod. Returns `None` if no section is about the cause.
pub(super) fn section(row: &str, inside: bool, cause: &Cause) -> Option<&'static str> {
    match cause {
        _ if row == "token" || row == "sign-in" => Some("the-issuer-cannot-be-read"),
        _ if row == "virtual-host" => Some("the-bucket-in-the-host-name"),
        Cause::Dns { fault: DnsFault::NoSuchName | DnsFault::NoAddress, .. } if !inside => {
            Some("a-link-opens-inside-only")
        }
        Cause::Dns { .. } if inside => Some("the-rewrite-has-no-effect"),
        Cause::Tls { fault: TlsFault::UnknownAuthority, .. } => Some("trust"),
        Cause::Tls { fault: TlsFault::NameMismatch, .. } if inside => Some("the-search-list-answers"),
        Cause::Tls { fault: TlsFault::NotTls, .. } if inside => Some("pods-bypass-the-load-balancer"),
        Cause::Tls { fault: TlsFault::Expired | TlsFault::NotYetValid, .. } => Some("old-certificate-in-minio"),
        Cause::Status { s3: Some(code), .. } => match code.as_str() {
            "SignatureDoesNotMatch" => Some("403-signaturedoesnotmatch"),
            "AuthorizationHeaderMalformed" | "InvalidRegion" => Some("the-region-is-another"),
            "InvalidAccessKeyId" => Some("a-url-ends-before-its-time"),
            _ => None,
        },
        Cause::Status { detail, .. } if detail.contains("HTTP request to an HTTPS server") => {
            Some("http-to-an-https-store")
        }
        Cause::Mismatch { matcher, .. } if matcher == PATH => Some("a-path-prefix"),
        Cause::Mismatch { .. } if row == "name" => Some("the-search-list-answers"),
        Cause::Mismatch { .. } if row == "cors" => Some("the-browser-refuses-the-answer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_exists() {
        let page = include_str!("../../docs/troubleshooting.md");
        let headings = page.lines().filter_map(|it| it.strip_prefix("## ").or_else(|| it.strip_prefix("### ")));
        let anchor = |it: &str| -> String {
            let kept = it.chars().filter(|it| it.is_alphanumeric() || *it == ' ' || *it == '-');
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        let anchors: Vec<String> = headings.map(anchor).collect();
        let tls = |fault| Cause::Tls { fault, detail: String::new() };
        let dns = |fault| Cause::Dns { fault, detail: String::new() };
        let s3 = |code: &str| Cause::Status { status: 403, s3: Some(code.to_owned()), detail: String::new() };
        let http = Cause::Status {
            status: 400,
            s3: None,
            detail: "Client sent an HTTP request to an HTTPS server.".to_owned(),
        };
        let other = Cause::Mismatch { matcher: "x".to_owned(), expected: String::new(), seen: String::new() };
        for (row, inside, cause) in [
            ("name", true, dns(DnsFault::NoSuchName)),
            ("name", false, dns(DnsFault::NoSuchName)),
            ("name", true, dns(DnsFault::ServerFailure)),
            ("name", true, other.clone()),
            ("cors", true, other.clone()),
            ("token", true, other.clone()),
            ("virtual-host", true, other),
            ("tls", true, tls(TlsFault::UnknownAuthority)),
            ("tls", true, tls(TlsFault::NameMismatch)),
            ("tls", true, tls(TlsFault::NotTls)),
            ("tls", false, tls(TlsFault::Expired)),
            ("keys", true, s3("SignatureDoesNotMatch")),
            ("keys", true, s3("InvalidRegion")),
            ("keys", true, s3("InvalidAccessKeyId")),
            ("store", true, http),
            (
                "store",
                false,
                Cause::Mismatch { matcher: PATH.to_owned(), expected: String::new(), seen: String::new() },
            ),
        ] {
            let section = section(row, inside, &cause).unwrap_or_else(|| panic!("{row}: {cause} has a section"));
            assert!(anchors.iter().any(|it| it == section), "{section} is not in {anchors:?}");
        }
        for section in [
            "a-dns-cache-on-the-node",
            "a-link-opens-inside-only",
            "a-path-prefix",
            "a-proxy-changes-a-signed-header",
            "a-url-ends-before-its-time",
            "an-upload-is-too-large-for-a-proxy",
            "host-or-port-is-not-the-signed-one",
            "only-some-keys-fail",
            "the-token-goes-to-aws",
        ] {
            assert!(anchors.iter().any(|it| it == section), "{section} is not in {anchors:?}");
        }
    }
}
