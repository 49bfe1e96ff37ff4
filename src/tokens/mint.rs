//! Signs tokens with a key that the scenario chooses. The tokens have the same claims as tokens of the apiserver.

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parallax_vocab::Secret;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::TokenError;

/// The values for the claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The issuer (`iss`). It is the same issuer as in the cluster's own tokens.
    pub issuer: String,
    /// The namespace of the ServiceAccount.
    pub namespace: String,
    /// The name of the ServiceAccount.
    pub account: String,
    /// The audience for which the token is valid.
    pub audience: String,
    /// The time at which the token was issued, in seconds since the Unix epoch.
    pub issued_at: i64,
    /// The time at which the token expires, in seconds since the Unix epoch.
    pub expires_at: i64,
}

/// A key that signs tokens.
#[derive(Debug)]
pub enum Key {
    /// An RSA key, for the algorithm RS256.
    Rsa {
        /// The private key in PEM format.
        pem: Secret,
        /// The key id (`kid`), computed in the same way as by the apiserver.
        id: String,
        /// The public key as a JSON Web Key (RFC 7517).
        public: Value,
    },
    /// A shared secret, for the algorithm HS256.
    Shared {
        /// The shared secret itself.
        secret: String,
        /// The key id (`kid`) in the token's header. A verifier looks up the key by this id.
        id: String,
    },
}

impl Key {
    /// Reads an RSA key from PEM text (PKCS#1 or PKCS#8). The key id is the hash of the public key, as in Kubernetes
    /// (`pkg/serviceaccount/jwt.go`).
    pub fn rsa(pem: Secret) -> Result<Self, TokenError> {
        let wrong = |why: String| TokenError::Key(why);
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|why| wrong(why.to_string()))?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            other => KeyPair::from_pkcs8(other.secret_der()),
        };
        let pair = pair.map_err(|why| wrong(why.to_string()))?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|why| wrong(why.to_string()))?;
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, public.as_ref()));
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (modulus, exponent) = (pair.public_key().modulus(), pair.public_key().exponent());
        let (modulus, exponent) =
            (modulus.big_endian_without_leading_zero(), exponent.big_endian_without_leading_zero());
        let public = json!({
            "alg": "RS256", "e": number(exponent), "kid": id, "kty": "RSA", "n": number(modulus), "use": "sig",
        });
        Ok(Self::Rsa { pem, id, public })
    }

    /// The public key as a JSON Web Key. `None` for a shared secret.
    pub fn public(&self) -> Option<&Value> {
        match self {
            Self::Rsa { public, .. } => Some(public),
            Self::Shared { .. } => None,
        }
    }

    /// The secret part of the key. The caller registers it with the redactor.
    pub fn private(&self) -> Secret {
        match self {
            Self::Rsa { pem, .. } => pem.clone(),
            Self::Shared { secret, .. } => Secret::new(secret.clone()),
        }
    }

    /// Generates a new RSA key. No cluster publishes the public key, so a verifier must refuse tokens that this key
    /// signed.
    pub fn foreign() -> Result<Self, TokenError> {
        let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
        Self::rsa(Secret::new(pair.map_err(|why| TokenError::Key(why.to_string()))?.serialize_pem()))
    }

    /// Signs the claims, and returns the token.
    pub fn sign(&self, claims: &Claims) -> Result<Secret, TokenError> {
        let (algorithm, id, key) = match self {
            Self::Rsa { pem, id, .. } => (Algorithm::RS256, id, EncodingKey::from_rsa_pem(pem.expose().as_bytes())?),
            Self::Shared { secret, id } => (Algorithm::HS256, id, EncodingKey::from_secret(secret.as_bytes())),
        };
        let mut header = Header::new(algorithm);
        header.kid = Some(id.clone());
        Ok(Secret::new(encode(&header, &claims.json(), &key)?))
    }
}

impl Claims {
    /// Returns the claims as JSON, in the form that the apiserver uses for a token without a pod: such a token is bound
    /// only to its ServiceAccount.
    fn json(&self) -> Value {
        json!({
            "aud": [self.audience],
            "exp": self.expires_at,
            "iat": self.issued_at,
            "iss": self.issuer,
            "kubernetes.io": {
                "namespace": self.namespace,
                "serviceaccount": { "name": self.account, "uid": "00000000-0000-4000-8000-000000000000" },
            },
            "nbf": self.issued_at,
            "sub": format!("system:serviceaccount:{}:{}", self.namespace, self.account),
        })
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};

    use super::*;

    fn claims() -> Claims {
        Claims {
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            namespace: "irsa".to_owned(),
            account: "app".to_owned(),
            audience: "sts.amazonaws.com".to_owned(),
            issued_at: 1_900_000_000,
            expires_at: 4_000_000_000,
        }
    }

    #[test]
    fn a_key_signs_under_the_id_of_its_public_half() {
        let key = Key::foreign().expect("a key");
        let Key::Rsa { pem, id, .. } = &key else { panic!("an RSA key") };
        assert_eq!(id.len(), 43, "SHA-256 without padding: {id}");
        assert!(matches!(Key::rsa(pem.clone()).expect("again"), Key::Rsa { id: again, .. } if again == *id));
        let token = key.sign(&claims()).expect("signs");
        assert_eq!(decode_header(token.expose()).expect("a header").kid.as_deref(), Some(id.as_str()));
        assert_ne!(*id, "", "and another key has another id");
        let Key::Rsa { id: other, .. } = Key::foreign().expect("a key") else { panic!("an RSA key") };
        assert_ne!(*id, other);
    }

    #[test]
    fn the_published_half_vouches_for_what_the_key_signs() {
        let key = Key::foreign().expect("a key");
        let public = key.public().expect("a public half").clone();
        assert!(public.get("d").is_none(), "and nothing but the public half");
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(public).expect("a JSON Web Key");
        let token = key.sign(&claims()).expect("signs");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["sts.amazonaws.com"]);
        let read = decode::<Value>(token.expose(), &DecodingKey::from_jwk(&jwk).expect("usable"), &validation);
        assert_eq!(read.expect("valid").claims["sub"], "system:serviceaccount:irsa:app");
    }

    #[test]
    fn a_shared_secret_makes_what_its_verifier_takes() {
        let key = Key::Shared { secret: "dummy".to_owned(), id: "sts.amazonaws.com".to_owned() };
        let token = key.sign(&claims()).expect("signs");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["sts.amazonaws.com"]);
        let read = decode::<Value>(token.expose(), &DecodingKey::from_secret(b"dummy"), &validation);
        assert_eq!(read.expect("valid").claims["sub"], "system:serviceaccount:irsa:app");
        assert!(decode::<Value>(token.expose(), &DecodingKey::from_secret(b"other"), &validation).is_err());
    }

    #[test]
    fn what_is_no_key_is_said() {
        let error = Key::rsa(Secret::new("-----BEGIN NOTHING-----")).expect_err("no key").to_string();
        assert!(error.contains("the key that is to sign a token cannot be used"), "{error}");
    }
}
