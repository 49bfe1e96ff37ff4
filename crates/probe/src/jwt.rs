//! Decodes a web identity token, and verifies its signature with the keys that its issuer publishes.

use ::http::{Request, Uri};
use bytes::Bytes;
use http_body_util::Full;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, crypto, dangerous, decode_header};
use parallax_vocab::Cause;
use parallax_vocab::answer::{JwtReply, Signature};
use parallax_vocab::question::JwtQuestion;
use serde_json::Value;

use crate::dial::Dialler;
use crate::http::exchange;
use crate::target::Target;
use crate::{invalid, token};

/// The largest size of a discovery document or a key set, in bytes. The documents of real issuers are much shorter.
const KEEP_BYTES: usize = 256 * 1024;
/// If an issuer answers with an error, the error message contains at most this many bytes of the answer's body.
const SHOWN_BYTES: usize = 300;

/// Answers a question about a web identity token.
pub(crate) async fn answer(question: &JwtQuestion, dialler: &Dialler) -> Result<JwtReply, Cause> {
    let token = token::read(&question.token)?;
    let token = token.expose();
    let unreadable = |why: jsonwebtoken::errors::Error| invalid(format!("the token cannot be read: {why}"));
    let header = decode_header(token).map_err(unreadable)?;
    let claims = dangerous::insecure_decode_claims::<Value>(token).map_err(unreadable)?;
    let issuer = question.issuer.clone().or_else(|| claims["iss"].as_str().map(str::to_owned));
    let issuer = issuer.ok_or_else(|| invalid("the token names no issuer (`iss`)"))?;
    let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let document = document(&discovery, dialler).await?;
    let jwks_uri = document["jwks_uri"].as_str().map(str::to_owned);
    let jwks_uri = jwks_uri.ok_or_else(|| invalid(format!("{discovery} names no `jwks_uri`")))?;
    let keys = self::document(&jwks_uri, dialler).await?;
    let keys: JwkSet =
        serde_json::from_value(keys).map_err(|why| invalid(format!("{jwks_uri} is not a set of keys: {why}")))?;
    let published = keys.keys.iter().filter_map(|key| key.common.key_id.clone()).collect();
    let signature = match header.kid.as_deref().and_then(|id| keys.find(id)) {
        None => Signature::UnknownKey,
        Some(key) => {
            let key = DecodingKey::from_jwk(key).map_err(unreadable)?;
            let (message, signature) = token.rsplit_once('.').unwrap_or((token, ""));
            // `verify` fails if the type of the key does not fit the algorithm. Such a key cannot have made the
            // signature, so the signature counts as invalid.
            let made = crypto::verify(signature, message.as_bytes(), &key, header.alg).unwrap_or(false);
            if made { Signature::Valid } else { Signature::Invalid }
        }
    };
    Ok(JwtReply { claims, algorithm: format!("{:?}", header.alg), key_id: header.kid, signature, jwks_uri, published })
}

async fn document(url: &str, dialler: &Dialler) -> Result<Value, Cause> {
    let uri: Uri = url.parse().map_err(|why| invalid(format!("`{url}` is not a URL: {why}")))?;
    let target = Target::of(&uri)?;
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = uri;
    let received = exchange(dialler, &target, request, KEEP_BYTES).await?;
    if received.status != 200 {
        let body = String::from_utf8_lossy(&received.body[..received.body.len().min(SHOWN_BYTES)]).into_owned();
        return Err(Cause::Status { status: received.status, s3: None, detail: format!("{url}: {body}") });
    }
    serde_json::from_slice(&received.body).map_err(|why| invalid(format!("{url} is not JSON: {why}")))
}
