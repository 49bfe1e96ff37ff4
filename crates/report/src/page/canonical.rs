//! Makes the canonical request (AWS Signature Version 4) of a request as a store received it. The store computed its
//! own signature over this canonical request. The result does not contain the secrets of the request, because
//! Parallax's record does not contain them.

use std::fmt::Write as _;

use parallax_vocab::event::Arrived;

/// The parameter of a presigned URL that contains the signature. It is not part of the canonical request, because a
/// signature cannot cover itself.
const NOT_SIGNED: &str = "X-Amz-Signature";
const SIGNED_HEADERS: &str = "X-Amz-SignedHeaders";
/// The header that contains the hash of the request's body.
const PAYLOAD: &str = "x-amz-content-sha256";

/// Returns the lines of the canonical request, with only the signed headers. If the signature was in the header
/// `authorization`, the list of the signed headers was in it too, and the record does not contain this header's value.
/// Then the function returns all headers except `authorization`.
pub(super) fn request(arrived: &Arrived) -> String {
    let Arrived { method, path, query, headers } = arrived;
    let mut parameters: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
    let of = |name: &str| parameters.iter().find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
    let signed = of(SIGNED_HEADERS).map(|it| it.replace("%3B", ";").replace("%3b", ";"));
    parameters.retain(|it| !it.starts_with(NOT_SIGNED));
    parameters.sort_unstable();
    let mut text = format!("{method}\n{path}\n{}\n", parameters.join("&"));
    let is_signed = |name: &str| match &signed {
        Some(signed) => signed.split(';').any(|it| it == name),
        None => name != "authorization",
    };
    for (name, value) in headers.iter().filter(|(name, _)| is_signed(name)) {
        let _ = writeln!(text, "{name}:{}", value.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if let Some(signed) = &signed {
        let _ = write!(text, "\n{signed}");
    }
    let payload = headers.get(PAYLOAD).map_or(if signed.is_some() { "UNSIGNED-PAYLOAD" } else { "" }, String::as_str);
    if !payload.is_empty() {
        let _ = write!(text, "\n{payload}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn arrived(query: &str, headers: &[(&str, &str)]) -> Arrived {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: BTreeMap<String, String> = headers.collect();
        Arrived { method: "GET".into(), path: "/photos/a.txt".into(), query: query.into(), headers }
    }

    #[test]
    fn a_presigned_request_has_its_signed_headers_alone() {
        let query = "X-Amz-SignedHeaders=host&X-Amz-Date=20261127T000000Z&X-Amz-Signature=[redacted]";
        assert_eq!(
            request(&arrived(query, &[("host", "minio.example.com"), ("user-agent", "curl")])),
            "GET\n/photos/a.txt\nX-Amz-Date=20261127T000000Z&X-Amz-SignedHeaders=host\nhost:minio.example.com\n\nhost\n\
             UNSIGNED-PAYLOAD"
        );
    }

    #[test]
    fn a_signed_request_shows_all_headers_except_the_signature() {
        let headers = [("authorization", "[redacted]"), ("host", "a"), ("x-amz-content-sha256", "e3b0"), ("b", "1  2")];
        assert_eq!(
            request(&arrived("", &headers)),
            "GET\n/photos/a.txt\n\nb:1 2\nhost:a\nx-amz-content-sha256:e3b0\n\ne3b0"
        );
    }
}
