//! Parses the error document that S3 sends: `<Error><Code>…</Code><Message>…</Message>…</Error>`.

use parallax_vocab::answer::S3Error;
use parallax_vocab::question::S3Operation;

use crate::xml;

/// Parses an S3 error document. `None` if the body is something else.
pub(crate) fn parse(body: &[u8]) -> Option<S3Error> {
    let mut texts = xml::texts(body)?;
    let code = texts.remove("Error/Code").filter(|code| !code.is_empty())?;
    Some(S3Error { code, message: texts.remove("Error/Message").unwrap_or_default() })
}

/// Whether an error of `CreateBucket` means that the bucket already exists and belongs to the same owner. Such an error
/// counts as success. AWS itself answers 200 in this case, but only in the region `us-east-1`. For all operations other
/// than `CreateBucket`, the code is an ordinary error.
pub(crate) fn already_exists(operation: &S3Operation, code: &str) -> bool {
    matches!(operation, S3Operation::CreateBucket { .. }) && code == "BucketAlreadyOwnedByYou"
}

#[cfg(test)]
mod tests {
    use super::*;

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
