//! S3's error document `<Error><Code>…</Code><Message>…</Message>…</Error>`, and the headers that replace it in an
//! answer without a body.

use http::HeaderMap;
use parallax_vocab::answer::S3Error;
use parallax_vocab::question::S3Operation;

use crate::xml;

/// Parses the document; `None` if the body is something else.
pub(crate) fn parse(body: &[u8]) -> Option<S3Error> {
    let mut texts = xml::texts(body)?;
    let code = texts.remove("Error/Code").filter(|code| !code.is_empty())?;
    Some(S3Error { code, message: texts.remove("Error/Message").unwrap_or_default() })
}

/// Whether an error means that the requested state exists already: the owner of a bucket creates it again. AWS itself
/// answers 200 to that, but only in its oldest region. For all other operations this code is an ordinary error.
pub(crate) fn already_exists(operation: &S3Operation, code: &str) -> bool {
    matches!(operation, S3Operation::CreateBucket { .. }) && code == "BucketAlreadyOwnedByYou"
}

/// The error in the headers with which `MinIO` answers HEAD requests, whose answers have no body
/// (`cmd/api-response.go`, `writeErrorResponseHeadersOnly`).
pub(crate) fn in_headers(status: u16, headers: &HeaderMap) -> Option<S3Error> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-minio-error-code").filter(|_| status >= 400)?.to_owned();
    let message = header("x-minio-error-desc").unwrap_or_default().trim_matches('"').to_owned();
    Some(S3Error { code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_body_says_its_code_in_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(in_headers(403, &headers), None);
        headers.insert("x-minio-error-code", "AccessDenied".parse().expect("a value"));
        headers.insert("x-minio-error-desc", "\"Request has expired\"".parse().expect("a value"));
        let expected = S3Error { code: "AccessDenied".to_owned(), message: "Request has expired".to_owned() };
        assert_eq!(in_headers(403, &headers), Some(expected));
        assert_eq!(in_headers(200, &headers), None);
    }

    #[test]
    fn codes_and_messages_are_read() {
        let table = [
            (
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message>\
              <Key>x</Key></Error>",
                Some(("NoSuchKey", "a & b")),
            ),
            (
                "<Error><Message>m</Message><Code>AccessDenied</Code><More><Code>inner</Code></More></Error>",
                Some(("AccessDenied", "m")),
            ),
            ("<Error xmlns=\"urn:x\"><Code>X</Code></Error>", Some(("X", ""))),
            ("<ListBucketResult><Code>X</Code></ListBucketResult>", None),
            ("<html><body>403</body></html>", None),
            ("<Error><Code>cut", None),
            ("Client sent an HTTP request to an HTTPS server.", None),
            ("", None),
        ];
        for (body, expected) in table {
            let seen = parse(body.as_bytes());
            let expected = expected.map(|(c, m)| S3Error { code: c.to_owned(), message: m.to_owned() });
            assert_eq!(seen, expected, "{body}");
        }
    }
}
