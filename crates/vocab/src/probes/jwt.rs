//! `jwt`: decodes and verifies a token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sts::TokenSource;
use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Decode a token and verify it from the vantage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtQuestion {
    /// The source of the token.
    pub token: TokenSource,
    /// The issuer's address, `https://host[:port]`. If it is absent, the token's own `iss` is used.
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
            address: self.issuer.as_deref().map_or(Addressed::Host("the issuer"), Addressed::Url),
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

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtReply {
    /// The claims of the token.
    pub claims: serde_json::Value,
    /// Signature algorithm, for example `RS256`.
    pub algorithm: String,
    /// The key id (`kid`) in the token's header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whether the published keys verify the token's signature.
    pub signature: Signature,
    /// The key set's URL, from the issuer's discovery document.
    pub jwks_uri: String,
    /// Ids of the published keys.
    pub published: Vec<String>,
}

/// Whether a token's signature is its issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// A published key made it.
    Valid,
    /// The key that it names is published and did not make it.
    Invalid,
    /// The key that it names is not published.
    UnknownKey,
}

impl Signature {
    /// The word as scenarios write it.
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
