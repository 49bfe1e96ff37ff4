//! The probe `jwt`: decodes a token and verifies its signature.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sts::TokenSource;
use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Decodes a token, and verifies its signature with the keys that the issuer publishes. The vantage fetches these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtQuestion {
    /// Where the vantage gets the token from.
    pub token: TokenSource,
    /// The URL of the issuer, `https://host[:port]`. `None` means the issuer that the token's claim `iss` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

impl Asked for JwtQuestion {
    fn in_words(&self) -> String {
        match &self.issuer {
            Some(issuer) => format!("the token's claims, and its keys at {issuer}"),
            None => "the token's claims, and its issuer's keys".to_owned(),
        }
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: self.issuer.as_deref().map_or(Addressed::Host("the issuer"), |url| Addressed::Url(url.into())),
            names: Names::Issuer,
            http: None,
            signed: None,
            token: Some(&self.token),
            signs: None,
            exchange: None,
            is_program: false,
            may_write: false,
        }
    }
}

/// A decoded token, with the result of its verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtReply {
    /// The claims of the token, as a JSON object.
    pub claims: serde_json::Value,
    /// The algorithm of the token's signature, for example `RS256`.
    pub algorithm: String,
    /// The key id (`kid`) in the header of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whether one of the published keys verifies the signature of the token.
    pub signature: Signature,
    /// The URL of the issuer's key set, from the issuer's discovery document.
    pub jwks_uri: String,
    /// The ids of the keys that the issuer publishes.
    pub published: Vec<String>,
}

/// The result of verifying the signature of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// A key that the issuer publishes verifies the token's signature.
    Valid,
    /// The issuer publishes the key that the token names, but this key does not verify the signature.
    Invalid,
    /// The token names a key that the issuer does not publish, or the token names no key.
    UnknownKey,
}

impl Signature {
    /// The word with which scenarios name this result.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::UnknownKey => "unknown-key",
        }
    }
}

impl Replied for JwtReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: None,
            s3_error: None,
            sts: None,
            addresses: None,
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: Some(self),
            run: None,
            request_id: None,
            is_refusal_to_show: false,
            is_of_a_store: false,
        }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { signed: None, credentials: None, json: None }
    }

    fn with_entry(&self, _: &str) -> Option<Reply> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let key = self.key_id.as_deref().unwrap_or("no key");
        let signed = format!("{} by {key}; published: {}", self.algorithm, self.published.join(", "));
        vec![("claims", self.claims.to_string()), ("signed", signed)]
    }

    fn shorten(&mut self, _: &ProberQuestion) {}
}
