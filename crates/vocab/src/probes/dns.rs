//! The probe `dns`: resolves a name.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Addressed, Asked, Names, Outputs, QuestionFacts, Replied, Reply, ReplyFacts};
use crate::prober::ProberQuestion;
use crate::secret::Secret;

/// Resolves `name` as an absolute name. The vantage also resolves the name by its search path and `ndots`. This second
/// result is in [`DnsReply::searched`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsQuestion {
    /// The host name, without a trailing dot.
    pub name: String,
}

impl Asked for DnsQuestion {
    fn in_words(&self) -> String {
        format!("the address of {}", self.name)
    }

    fn facts(&self) -> QuestionFacts<'_> {
        QuestionFacts {
            address: Addressed::Host(&self.name),
            names: Names::Question,
            http: None,
            signed: None,
            token: None,
            signs: None,
            exchange: None,
            is_program: false,
            may_write: false,
        }
    }
}

/// The addresses to which a name resolves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsReply {
    /// The addresses from the A and AAAA records, sorted.
    pub addresses: Vec<IpAddr>,
    /// The canonical names (CNAME records) in the answer.
    #[serde(default)]
    pub cnames: Vec<String>,
    /// The smallest TTL of the records, in seconds.
    pub ttl_s: u32,
    /// The result for the same name by the search path of the vantage: the addresses, or the word for a fault. `None`
    /// if the absolute name has the same result, or if the search path was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched: Option<String>,
}

impl Replied for DnsReply {
    fn facts(&self) -> ReplyFacts<'_> {
        ReplyFacts {
            status: None,
            s3_error: None,
            sts: None,
            addresses: Some(&self.addresses),
            headers: None,
            body: None,
            body_cut_from: None,
            keys: None,
            survey: None,
            jwt: None,
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
        if self.cnames.is_empty() { Vec::new() } else { vec![("by way of", self.cnames.join(", "))] }
    }

    fn shorten(&mut self, _: &ProberQuestion) {
        self.ttl_s = 0;
    }
}
