//! S3's error document: `<Error><Code>…</Code><Message>…</Message>…</Error>`.

use parallax_vocab::answer::S3Error;
use quick_xml::Reader;
use quick_xml::events::Event;

/// Reads the document; `None` where the body is something else.
pub(crate) fn parse(body: &[u8]) -> Option<S3Error> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let (mut code, mut message) = (String::new(), String::new());
    // Every turn consumes input, and the input is bounded by the probe's body limit.
    loop {
        let piece = match reader.read_event().ok()? {
            Event::Start(tag) => {
                path.push(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
                if path.first().is_none_or(|root| root != "Error") {
                    return None;
                }
                continue;
            }
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::Text(text) => text.decode().ok()?.into_owned(),
            Event::CData(text) => text.decode().ok()?.into_owned(),
            Event::GeneralRef(name) => {
                quick_xml::escape::unescape(&format!("&{};", name.decode().ok()?)).ok()?.into_owned()
            }
            Event::Eof => break,
            _ => continue,
        };
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["Error", "Code"] => code.push_str(&piece),
            ["Error", "Message"] => message.push_str(&piece),
            _ => {}
        }
    }
    // A document that was cut off says nothing reliable.
    (path.is_empty() && !code.is_empty()).then_some(S3Error { code, message })
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
