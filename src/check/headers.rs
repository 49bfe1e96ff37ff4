//! The rows of `parallax check` about headers that a proxy between the client and the store adds, drops or changes.

use std::collections::BTreeMap;

use parallax_vocab::{Answer, Reply};

use super::ask::Both;
use super::rows::{self, Asked, At, Cell, Row, State, side};

/// The name of the row about signed headers of requests.
pub(super) const SIGNED: &str = "signed headers";
/// The headers that are signed and must arrive unchanged. The first is `accept-encoding`: the AWS SDK for Go signs it,
/// and CDNs change it. The second is a header of an object's own metadata.
pub(super) const ASKED: [(&str, &str); 2] = [("accept-encoding", "identity"), ("x-amz-meta-parallax-check", "signed")];
/// Headers of an answer whose values inside and outside the cluster are compared. Proxies change these headers, and
/// clients depend on them.
const COMPARED: [&str; 6] = ["server", "etag", "content-type", "content-length", "content-encoding", "accept-ranges"];

/// Headers that belong to a single connection and not to the answer (RFC 9110, section 7.6.1). If such a header
/// differs, this does not show that a proxy changed the answer.
const OF_CONNECTION: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Builds the table cell of a list request with additional signed headers. The caller has checked that the store
/// accepted the signature of the request.
pub(super) fn arrive(at: At, asked: &Asked) -> Cell {
    let cell = rows::keys(at, asked);
    if cell.passes() { Cell::new(State::Good, "arrive as they were signed") } else { cell }
}

/// Builds the table cell for signed headers that do not arrive as they were signed. If `changed` is empty, the cell
/// lists all headers: the store refused the request with all headers, but accepted each request with only one of them.
pub(super) fn changed(at: At, changed: &[(&str, &str)]) -> Cell {
    let changed = if changed.is_empty() { &ASKED } else { changed };
    let names = changed.iter().map(|(name, value)| format!("`{name}: {value}`")).collect::<Vec<_>>().join(" and ");
    let why = format!(
        "`{}` from {}: a request whose signature covers {names} is refused, and the same request without is not: something on the way changes or drops the header; let it pass as it came (nginx: `proxy_set_header Accept-Encoding $http_accept_encoding`), or let the store's name bypass what is on the way. The AWS SDK for Go signs accept-encoding",
        at.row,
        side(at.inside),
    );
    let text = format!("{names} changed on the way").replace('`', "");
    Cell { state: State::Bad, text, why: Some(why), section: Some("a-proxy-changes-a-signed-header") }
}

/// Compares the headers of the answers to the same request inside and outside the cluster.
pub(super) fn row(both: &Both) -> Row {
    const NAME: &str = "response headers";
    let (Some(inside), Some(outside)) = (of(both.inside.1.as_ref()), of(both.outside.1.as_ref())) else {
        let cell = Cell::not_asked("only two answers can be compared");
        return Row::of(NAME, cell.clone(), cell);
    };
    let mut row = Row::of(NAME, compared(inside, outside), compared(outside, inside));
    // The cell is cut to the width of its column. Therefore the sentence below the row has the whole text.
    row.outside.why = row.differs.then(|| format!("`{NAME}` from outside: {}", row.outside.text));
    row
}

fn of(asked: Option<&Asked>) -> Option<&BTreeMap<String, String>> {
    match asked?.answer.as_ref().ok().and_then(Answer::reply)? {
        Reply::Http(http) if (200..300).contains(&http.status) => Some(&http.headers),
        _ => None,
    }
}

/// Builds the table cell that says in which headers two answers differ. `own` are the headers of the answer in the
/// cell's own column (inside or outside the cluster), and `other` those of the answer in the other column.
fn compared(own: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Cell {
    let mut parts: Vec<String> = Vec::new();
    for name in COMPARED {
        match (own.get(name), other.get(name)) {
            (Some(value), Some(theirs)) if value != theirs => parts.push(format!("{name}: {value}")),
            _ => {}
        }
    }
    let missing = |from: &BTreeMap<String, String>, of: &BTreeMap<String, String>| {
        of.keys()
            .filter(|name| !from.contains_key(*name) && !OF_CONNECTION.contains(&name.as_str()))
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (words, names) in [("only here", missing(other, own)), ("not here", missing(own, other))] {
        if !names.is_empty() {
            parts.push(format!("{words}: {names}"));
        }
    }
    if parts.is_empty() {
        return Cell::new(State::Good, "the same on both sides");
    }
    Cell::new(State::Note, parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &str)]) -> BTreeMap<String, String> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_only_one_side_sees_is_noted() {
        let direct = of(&[("server", "MinIO"), ("etag", "\"a\""), ("date", "1"), ("x-amz-request-id", "1")]);
        let proxied =
            of(&[("server", "nginx"), ("etag", "W/\"a\""), ("date", "2"), ("via", "1.1 x"), ("connection", "close")]);
        let text = compared(&proxied, &direct).text;
        assert_eq!(text, "server: nginx; etag: W/\"a\"; only here: via; not here: x-amz-request-id");
        assert_eq!(compared(&direct, &direct).state, State::Good);
    }

    #[test]
    fn a_changed_header_is_named() {
        let at = At { row: SIGNED, inside: false };
        let one = changed(at, &ASKED[..1]);
        assert_eq!(one.text, "accept-encoding: identity changed on the way");
        let why = one.why.expect("a sentence");
        assert!(why.contains("`accept-encoding: identity`") && !why.contains("x-amz-meta"), "{why}");
        assert!(changed(at, &[]).text.contains("x-amz-meta-parallax-check"));
    }
}
