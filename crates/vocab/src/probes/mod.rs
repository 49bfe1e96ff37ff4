//! The kinds of probe. Each has one module with its question, its reply, and the properties that other modules need to
//! know. A kind is a row of the table below. No other module needs a list of kinds: each asks for the properties here.

mod dns;
mod http;
mod jwt;
mod presign;
mod program;
mod s3;
mod sts;
mod tls;

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::dns::{DnsQuestion, DnsReply};
pub use self::http::{BODY_LIMIT_BYTES, Form, FormFile, HttpQuestion, HttpReply};
pub use self::jwt::{JwtQuestion, JwtReply, Signature};
pub use self::presign::{FORM_SIGNATURE, PostPolicy, PresignQuestion, PresignReply};
pub use self::s3::{S3Access, S3Error, S3Operation, S3Question, S3Reply, Survey};
pub use self::sts::{StsError, StsQuestion, StsReply, TemporaryCredentials, TokenSource};
pub use self::tls::{TlsQuestion, TlsReply};
use crate::prober::ProberQuestion;
use crate::program::{ClientQuestion, RunQuestion, RunReply};
use crate::secret::Secret;

/// A kind of question that a vantage can answer.
pub trait Asked {
    /// The question in words, for reports.
    fn in_words(&self) -> String;

    /// The properties of the question that other modules need to know.
    fn facts(&self) -> QuestionFacts<'_>;
}

/// The properties of a question that other modules need to know. All fields are required, so that each kind states all
/// of them.
#[derive(Clone, Copy, Debug)]
pub struct QuestionFacts<'a> {
    /// The host or URL that the question addresses.
    pub address: Addressed<'a>,
    /// The source of the names that the question's probe resolves.
    pub names: Names,
    /// The HTTP request that is sent, either by the harness's own probe or by another client.
    pub http: Option<&'a HttpQuestion>,
    /// The request of the harness's own probe to a store. Its signature can be verified.
    pub signed: Option<Signed<'a>>,
    /// The token that is exchanged or read.
    pub token: Option<&'a TokenSource>,
    /// The URL or form that the harness's own probe signs.
    pub signs: Option<&'a PresignQuestion>,
    /// The exchange of a token for credentials.
    pub exchange: Option<&'a StsQuestion>,
    /// Whether a program answers the question. A program describes failures in its own words.
    pub is_program: bool,
    /// Whether the question may change the contents of a store. This is assumed for a program, because its effects are
    /// unknown.
    pub may_write: bool,
}

/// The address of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed<'a> {
    /// A host, or a word that replaces it in a sentence.
    Host(&'a str),
    /// The host of a URL.
    Url(&'a str),
}

/// The source of the names that a probe resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The names come from the question.
    Question,
    /// The names come from a token and from its issuer's documents.
    Issuer,
}

/// A request of the harness's own probe to a store.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// A request as the step gives it.
    Http(&'a HttpQuestion),
    /// An operation that the SDK signs.
    S3(&'a S3Question),
}

/// A kind of reply to a question.
pub trait Replied {
    /// The facts of the reply that matchers and other modules read.
    fn facts(&self) -> ReplyFacts<'_>;

    /// The values that later steps can use.
    fn outputs(&self) -> Outputs<'_>;

    /// A copy of the reply with `entry` in its list, if the list is empty and therefore missing in the serialised
    /// reply.
    fn with_entry(&self, entry: &str) -> Option<Reply>;

    /// The secrets in the reply that neither a pattern nor a field name reveals.
    fn secrets(&self) -> Vec<Secret>;

    /// The content of the reply for reports: labels with texts.
    fn rows(&self) -> Vec<(&'static str, String)>;

    /// Removes the parts that differ from reply to reply, such as a TTL, and the parts that the prober does not
    /// compare.
    fn shorten(&mut self, question: &ProberQuestion);
}

/// The facts of a reply that matchers and other modules read. All fields are required, so that each kind states all of
/// them.
#[derive(Clone, Copy, Debug)]
pub struct ReplyFacts<'a> {
    /// The HTTP status of the response.
    pub status: Option<u16>,
    /// The error document of the store.
    pub s3_error: Option<&'a S3Error>,
    /// The answer of a token service.
    pub sts: Option<&'a StsReply>,
    /// The addresses of a name.
    pub addresses: Option<&'a [IpAddr]>,
    /// The headers of the response.
    pub headers: Option<&'a BTreeMap<String, String>>,
    /// The body of the response.
    pub body: Option<&'a str>,
    /// The full length of a body of which `body` is only the beginning, in bytes.
    pub body_cut_from: Option<u64>,
    /// The keys of a listing that the store did not refuse.
    pub keys: Option<&'a [String]>,
    /// The totals of a replica.
    pub survey: Option<&'a Survey>,
    /// The content of the decoded token.
    pub jwt: Option<&'a JwtReply>,
    /// The result of a program.
    pub run: Option<&'a RunReply>,
    /// The id that the store gave the request. The store's trace contains the same id.
    pub request_id: Option<&'a str>,
    /// Whether the reply is a refusal whose request may be recorded as the store saw it.
    pub is_refusal_to_show: bool,
    /// Whether only a store, or its token service, gives such a reply.
    pub is_of_a_store: bool,
}

/// The values of a reply that later steps can use. All fields are required, so that each kind states all of them.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The signed URL or form. The value of `{{ STEP }}` is its URL.
    pub signed: Option<&'a PresignReply>,
    /// The credentials that a step uses with `as: STEP`.
    pub credentials: Option<&'a TemporaryCredentials>,
    /// The text that captures can read as JSON, at `/reply/KIND/json`.
    pub json: Option<&'a str>,
}

/// The table of kinds. A row has the name and the type; the key on the wire and in the record follows from the name.
macro_rules! kinds {
    (
        $(#[$of_questions:meta])* questions { $($(#[$asked_doc:meta])* $asked:ident($question:ty),)* }
        $(#[$of_replies:meta])* replies { $($(#[$replied_doc:meta])* $replied:ident($reply:ty),)* }
    ) => {
        $(#[$of_questions])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Probe {
            $($(#[$asked_doc])* $asked($question),)*
        }

        impl Probe {
            fn kind(&self) -> &dyn Asked {
                match self {
                    $(Self::$asked(it) => it,)*
                }
            }
        }

        $(#[$of_replies])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum Reply {
            $($(#[$replied_doc])* $replied($reply),)*
        }

        impl Reply {
            fn kind(&self) -> &dyn Replied {
                match self {
                    $(Self::$replied(it) => it,)*
                }
            }

            fn kind_mut(&mut self) -> &mut dyn Replied {
                match self {
                    $(Self::$replied(it) => it,)*
                }
            }
        }
    };
}

kinds! {
    /// The kinds of probe.
    questions {
        /// Resolve a name.
        Dns(DnsQuestion),
        /// Do a TLS handshake and read the chain.
        Tls(TlsQuestion),
        /// Send one HTTP request as it is.
        Http(HttpQuestion),
        /// One S3 operation by the AWS SDK for Rust.
        S3(S3Question),
        /// Make a presigned URL. This is offline: the endpoint only determines the host in the URL.
        Presign(PresignQuestion),
        /// Exchange a web identity token for credentials (`AssumeRoleWithWebIdentity`).
        Sts(StsQuestion),
        /// Decode a web identity token, and verify its signature with the keys that its issuer publishes.
        Jwt(JwtQuestion),
        /// Run a program.
        Run(RunQuestion),
        /// Let another client (an SDK, curl, a browser) do what one of the probes above does.
        Client(ClientQuestion),
    }
    /// A response.
    replies {
        /// Addresses of a name.
        Dns(DnsReply),
        /// A finished handshake; the chain is in the evidence.
        Tls(TlsReply),
        /// An HTTP answer.
        Http(HttpReply),
        /// An S3 answer.
        S3(S3Reply),
        /// A signed URL.
        Presign(PresignReply),
        /// Credentials for a token, or a refusal.
        Sts(StsReply),
        /// The claims of a token, and whether its issuer's keys verify it.
        Jwt(JwtReply),
        /// A program that ended.
        Run(RunReply),
    }
}

impl Probe {
    /// The question in words, for reports.
    pub fn in_words(&self) -> String {
        self.kind().in_words()
    }

    /// The properties of the question that other modules need to know.
    pub fn facts(&self) -> QuestionFacts<'_> {
        self.kind().facts()
    }
}

impl Reply {
    /// The facts of the reply that matchers and other modules read.
    pub fn facts(&self) -> ReplyFacts<'_> {
        self.kind().facts()
    }

    /// The values that later steps can use.
    pub fn outputs(&self) -> Outputs<'_> {
        self.kind().outputs()
    }

    /// A copy of the reply with `entry` in its list, if the list is empty and therefore missing in the serialised
    /// reply.
    pub fn with_entry(&self, entry: &str) -> Option<Self> {
        self.kind().with_entry(entry)
    }

    /// The secrets in the reply that neither a pattern nor a field name reveals.
    pub fn secrets(&self) -> Vec<Secret> {
        self.kind().secrets()
    }

    /// The content of the reply for reports: labels with texts.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        self.kind().rows()
    }

    /// Removes the parts that differ from reply to reply, and the parts that a prober does not compare.
    pub fn shorten(&mut self, question: &ProberQuestion) {
        self.kind_mut().shorten(question);
    }
}

/// The status of a store with its error, as reports show it.
fn refusal(status: u16, error: Option<(&str, &str)>) -> String {
    error.map_or_else(|| status.to_string(), |(code, message)| format!("{status}: {code}: {message}"))
}
