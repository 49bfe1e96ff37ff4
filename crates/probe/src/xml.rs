//! Reads the small XML documents of S3 and STS. A text in a document is found by the path of its elements.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

/// The texts of a document, by the path of their elements (`Error/Code`), without namespaces. Texts with the same path
/// are joined. `None` if the body is not XML or is truncated, because the texts of such a body are not reliable.
pub(crate) fn texts(body: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut elements = 0_usize;
    // The loop ends: each iteration consumes input, and the size of the input is limited.
    loop {
        let piece = match reader.read_event().ok()? {
            Event::Start(tag) => {
                path.push(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
                elements += 1;
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
        if !path.is_empty() {
            texts.entry(path.join("/")).or_default().push_str(&piece);
        }
    }
    (path.is_empty() && elements > 0).then_some(texts)
}
