//! Computes the signature that a server expects for a request: AWS Signature Version 4 with the rules of S3. By these
//! rules, the path is encoded once and not normalised.

use aws_lc_rs::{digest, hmac};
use parallax_vocab::percent::encoded;
use parallax_vocab::signature::SignatureForm;

use super::request::{ALGORITHM, SignedRequest};

/// Computes the signature that `request` must have if it is signed with the secret key `secret`, in hexadecimal.
pub(super) fn signature(request: &SignedRequest, secret: &str) -> String {
    let hash = hex::encode(digest::digest(&digest::SHA256, canonical(request).as_bytes()));
    let text = format!("{ALGORITHM}\n{}\n{}\n{hash}", request.date, request.scope);
    let first = format!("AWS4{secret}").into_bytes();
    let key = request.scope.split('/').fold(first, |key, step| sign(&key, step));
    hex::encode(sign(&key, &text))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Returns the canonical request, which the signature covers.
fn canonical(request: &SignedRequest) -> String {
    let lines = request.signed_headers.iter().map(|name| format!("{name}:{}\n", header(request, name)));
    let headers = lines.collect::<Vec<_>>().concat();
    [
        request.method.as_str(),
        &encoded(&request.path, true),
        &query(request),
        &headers,
        &request.signed_headers.join(";"),
        &request.payload.hash,
    ]
    .join("\n")
}

fn header<'a>(request: &'a SignedRequest, name: &str) -> &'a str {
    match name {
        "host" => &request.host,
        "x-amz-date" => &request.date,
        "x-amz-content-sha256" => &request.payload.hash,
        "x-amz-security-token" => request.token.as_deref().unwrap_or_default(),
        name => request.headers.get(name).map(String::as_str).unwrap_or_default(),
    }
}

fn query(request: &SignedRequest) -> String {
    let credential = format!("{}/{}", request.access_key, request.scope);
    let signed_headers = request.signed_headers.join(";");
    let mut all: Vec<(&str, &str)> =
        request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if request.form == SignatureForm::Url {
        all.extend([
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &request.date),
            ("X-Amz-Expires", &request.expires),
            ("X-Amz-SignedHeaders", &signed_headers),
        ]);
        if request.payload.in_query {
            all.push(("X-Amz-Content-Sha256", &request.payload.hash));
        }
        all.extend(request.token.as_deref().map(|token| ("X-Amz-Security-Token", token)));
    }
    let mut all: Vec<_> = all.iter().map(|(name, value)| (encoded(name, false), encoded(value, false))).collect();
    all.sort();
    all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}
