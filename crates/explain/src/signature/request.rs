//! The parts of a request that a signature covers, as a server reads them.

use std::collections::BTreeMap;

use parallax_vocab::Secret;
use parallax_vocab::event::Arrived;
use parallax_vocab::percent::{RESERVED, decoded, encoded};
use parallax_vocab::signature::SignatureForm;
use percent_encoding::{AsciiSet, utf8_percent_encode};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The payload hash of a presigned URL that does not declare a hash.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A request that carries a `SigV4` signature.
///
/// Two values of this type are equal if a server computes the same signature for both. Texts are decoded and parameters
/// are sorted, so a different order or a different encoding of the same bytes is not a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// Where the signature is: in a header or in the URL.
    pub form: SignatureForm,
    /// The method of the request.
    pub method: String,
    /// The `Host` header of the request.
    pub host: String,
    /// The decoded path of the request.
    pub path: String,
    /// The decoded query parameters in the order in which they are signed, without those that belong to the signature
    /// itself.
    pub query: Vec<(String, String)>,
    /// The values of the signed headers, by name. Headers that have a field of their own in this struct are left out.
    /// If another signed header is absent here, the request did not contain it.
    pub headers: BTreeMap<String, String>,
    /// The payload's hash, as the request declares it.
    pub payload: Payload,
    /// The value of `X-Amz-Date`, the time of the signature.
    pub date: String,
    /// The scope of the credential: `DATE/REGION/SERVICE/aws4_request`.
    pub scope: String,
    /// The access key in the credential.
    pub access_key: String,
    /// The value of `X-Amz-Expires` of a presigned URL, in seconds.
    pub expires: String,
    /// Names of the signed headers, in the order in which they are signed.
    pub signed_headers: Vec<String>,
    /// The session token, if there is one.
    pub token: Option<String>,
    /// The signature in the request, in hexadecimal.
    pub signature: String,
}

/// The payload's hash as the request declares it, and where the request declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The hash in hexadecimal, or another text that the canonical request contains in its place, for example
    /// `UNSIGNED-PAYLOAD`.
    pub hash: String,
    /// Whether the hash is a parameter of the URL. If so, the hash is part of the signed query.
    pub in_query: bool,
}

impl SignedRequest {
    /// Reads the request that a client sends. `url` is used byte for byte. `host` is the `Host` header if it differs
    /// from the host of the URL. Returns `None` if the request has no signature.
    pub fn sent(method: &str, url: &str, host: Option<&str>, headers: &BTreeMap<String, String>) -> Option<Self> {
        let (own, path, query) = split(url)?;
        Self::assemble(method, host.unwrap_or(own), decoded(path), query, headers)
    }

    /// Reads the request that the trace of a store shows. The trace shows the decoded path, unless the path was encoded
    /// in an unusual way. `sent_path`, the path that the client sent, helps to find out whether the trace decoded the
    /// path. Returns `None` if the request has no signature.
    pub fn arrived(arrived: &Arrived, sent_path: Option<&str>) -> Option<Self> {
        let host = arrived.headers.get("host").map(String::as_str).unwrap_or_default();
        let path = traced_path(&arrived.path, sent_path);
        Self::assemble(&arrived.method, host, path, &arrived.query, &arrived.headers)
    }

    /// Returns the signature that this request must have if it was signed with `secret`, in hexadecimal.
    pub fn signature_with(&self, secret: &Secret) -> String {
        super::canonical::signature(self, secret.expose())
    }

    fn assemble(
        method: &str,
        host: &str,
        path: String,
        query: &str,
        headers: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let headers: BTreeMap<String, &str> = headers.iter().map(|(k, v)| (k.to_lowercase(), v.as_str())).collect();
        let mut own = BTreeMap::new();
        let mut others = Vec::new();
        for (name, value) in parameters(query) {
            if is_own(&name) {
                own.entry(name.to_lowercase()).or_insert(value);
            } else {
                others.push((name, value));
            }
        }
        others.sort_by_key(|(name, value)| (encoded(name, false), encoded(value, false)));
        let header = |name: &str| headers.get(name).copied();
        let (form, algorithm, credential, signed, signature) = if own.contains_key("x-amz-signature") {
            let mut text = |name: &str| own.remove(name).unwrap_or_default();
            let (algorithm, credential) = (text("x-amz-algorithm"), text("x-amz-credential"));
            let (signed, signature) = (text("x-amz-signedheaders"), text("x-amz-signature"));
            (SignatureForm::Url, algorithm, credential, signed, signature)
        } else {
            let (algorithm, fields) = header("authorization")?.trim().split_once(' ')?;
            let field = |name: &str| {
                let fields = fields.split(',').filter_map(|it| it.trim().split_once('='));
                fields.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
            };
            let (signed, signature) = (field("SignedHeaders")?, field("Signature")?);
            (SignatureForm::Header, algorithm.to_owned(), field("Credential")?, signed, signature)
        };
        if algorithm != ALGORITHM {
            return None;
        }
        let (access_key, scope) = credential.split_once('/')?;
        let signed_headers: Vec<String> = signed.split(';').map(str::to_lowercase).collect();
        let plain = |name: &&String| !FIELDS.contains(&name.as_str());
        let values = signed_headers.iter().filter(plain);
        let values = values.filter_map(|name| Some((name.clone(), trimmed(header(name)?))));
        let of_url = form == SignatureForm::Url;
        let in_query = of_url.then(|| own.remove("x-amz-content-sha256")).flatten();
        let payload = Payload {
            in_query: in_query.is_some(),
            hash: in_query
                .or_else(|| header("x-amz-content-sha256").map(str::to_owned))
                .unwrap_or_else(|| UNSIGNED.to_owned()),
        };
        let token = own.remove("x-amz-security-token").or_else(|| header("x-amz-security-token").map(str::to_owned));
        let date = own.remove("x-amz-date").or_else(|| header("x-amz-date").or(header("date")).map(str::to_owned));
        Some(Self {
            form,
            method: method.to_uppercase(),
            host: host.to_owned(),
            path,
            query: others,
            headers: values.collect(),
            payload,
            date: date.unwrap_or_default(),
            scope: scope.to_owned(),
            access_key: access_key.to_owned(),
            expires: own.remove("x-amz-expires").unwrap_or_default(),
            signed_headers,
            token,
            signature,
        })
    }
}

/// Returns the `Host` header, the path and the query of a URL in the form in which a client sends them. A default port
/// is left out of `Host`.
pub(super) fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let own = authority.rsplit('@').next().unwrap_or_default();
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let host = own.strip_suffix(default).unwrap_or(own);
    Some((host, if path.is_empty() { "/" } else { path }, query))
}

/// The names of the query parameters that belong to the signature itself.
const OWN: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-content-sha256",
];
/// Whether a query parameter belongs to the signature itself.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// The signed headers that have a field of their own in [`SignedRequest`].
const FIELDS: [&str; 4] = ["host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// Returns the parameters of a query, decoded as a server decodes them: `+` is a space.
fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|it| !it.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")))
    })
}

/// Removes outer spaces and reduces inner runs of spaces to one, as `SigV4` requires.
fn trimmed(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the decoded path of a request from the path that the trace shows. In most cases, the trace already shows the
/// decoded path. A server in Go shows the path as it was sent only if Go would encode the decoded path differently
/// (`net/url`, `URL.RawPath`).
fn traced_path(shown: &str, sent: Option<&str>) -> String {
    let undone = decoded(shown);
    let cannot_be_encoded = utf8_percent_encode(&undone, RESERVED_BY_GO).to_string() == shown;
    let is_what_was_sent_decoded = sent.is_some_and(|sent| sent != shown && decoded(sent) == shown);
    if cannot_be_encoded || is_what_was_sent_decoded { shown.to_owned() } else { undone }
}

/// The characters that Go encodes in a path (`net/url`, `shouldEscape` with `encodePath`).
const RESERVED_BY_GO: &AsciiSet = &RESERVED
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');
