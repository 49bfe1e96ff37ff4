//! The kinds of probe. Each kind is a row of the table below, and has one module with its question and its reply. The
//! module also states the facts about them that other modules need. So no other module contains a list of the kinds.

mod dns;
mod http;
mod jwt;
mod presign;
mod program;
mod s3;
mod sts;
mod tls;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::dns::{DnsQuestion, DnsReply};
pub use self::http::{BODY_LIMIT_BYTES, Form, FormFile, HttpQuestion, HttpReply};
pub use self::jwt::{JwtQuestion, JwtReply, Signature};
pub use self::presign::{FORM_SIGNATURE, PostPolicy, PresignQuestion, PresignReply};
pub use self::s3::{Addressing, S3Access, S3Error, S3Operation, S3Question, S3Reply, Survey, meant};
pub use self::sts::{StsError, StsQuestion, StsReply, TemporaryCredentials, TokenSource};
pub use self::tls::{TlsQuestion, TlsReply};
use crate::prober::ProberQuestion;
use crate::program::{ClientQuestion, RunQuestion, RunReply};
use crate::secret::Secret;

/// What every kind of question states about itself.
pub trait Asked {
    /// The question as a text for reports.
    fn in_words(&self) -> String;

    /// The facts about the question that other modules need.
    fn facts(&self) -> QuestionFacts<'_>;
}

/// The facts about a question that other modules need. No field has a default, so each kind of question must state all
/// of them.
#[derive(Clone, Debug)]
pub struct QuestionFacts<'a> {
    /// The host or the URL to which the question is directed.
    pub address: Addressed<'a>,
    /// Where the probe finds the names that it resolves for this question.
    pub names: Names,
    /// The HTTP request that the question sends, either by the harness's own probe or by another client. `None` if it
    /// sends none.
    pub http: Option<&'a HttpQuestion>,
    /// The signed request that the harness's own probe sends to a store. The run can verify its signature. `None` if
    /// the question sends none.
    pub signed: Option<Signed<'a>>,
    /// The token that the question exchanges or decodes; `None` if there is none.
    pub token: Option<&'a TokenSource>,
    /// The question itself, if the harness's own probe signs a URL or a form for it.
    pub signs: Option<&'a PresignQuestion>,
    /// The question itself, if it exchanges a token for credentials.
    pub exchange: Option<&'a StsQuestion>,
    /// Whether a program answers the question. A program describes its failures in its own words, so they have no
    /// precise cause.
    pub is_program: bool,
    /// Whether the question may change the contents of a store. `true` for a program, because nobody knows what it
    /// does.
    pub may_write: bool,
}

/// To which host a question is directed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed<'a> {
    /// The name of the host, or a phrase such as `the issuer` that stands in place of a name.
    Host(&'a str),
    /// A URL that contains the host.
    Url(Cow<'a, str>),
}

/// Where a probe finds the names that it resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The names are in the question.
    Question,
    /// The names are in a token and in the documents of its issuer.
    Issuer,
}

/// A signed request that the harness's own probe sends to a store.
#[derive(Clone, Copy, Debug)]
pub enum Signed<'a> {
    /// An HTTP request, sent as the step gives it.
    Http(&'a HttpQuestion),
    /// An S3 operation, which the AWS SDK signs.
    S3(&'a S3Question),
}

/// What every kind of reply states about itself.
pub trait Replied {
    /// The facts about the reply that matchers and other modules read.
    fn facts(&self) -> ReplyFacts<'_>;

    /// The values of the reply that later steps can use.
    fn outputs(&self) -> Outputs<'_>;

    /// A copy of the reply with `entry` in its list. A list that is empty is missing in the JSON of the reply, so it
    /// cannot be altered there. `None` if the reply has no empty list.
    fn with_entry(&self, entry: &str) -> Option<Reply>;

    /// The secrets in the reply that the redactor finds neither by a pattern nor by the name of a field.
    fn secrets(&self) -> Vec<Secret>;

    /// The content of the reply for reports: pairs of label and text.
    fn rows(&self) -> Vec<(&'static str, String)>;

    /// Removes what differs from reply to reply, such as a TTL, and what the prober does not compare. Afterwards, equal
    /// replies are equal values.
    fn shorten(&mut self, question: &ProberQuestion);
}

/// The facts about a reply that matchers and other modules read. No field has a default, so each kind of reply must
/// state all of them. `None` means that this kind has no such fact.
#[derive(Clone, Copy, Debug)]
pub struct ReplyFacts<'a> {
    /// The HTTP status of the response.
    pub status: Option<u16>,
    /// The error document that the store sent.
    pub s3_error: Option<&'a S3Error>,
    /// The reply itself, if it comes from a token service.
    pub sts: Option<&'a StsReply>,
    /// The addresses to which a name resolved.
    pub addresses: Option<&'a [IpAddr]>,
    /// The headers of the response.
    pub headers: Option<&'a BTreeMap<String, String>>,
    /// The body of the response.
    pub body: Option<&'a str>,
    /// The full length of the body in bytes, if `body` is only its beginning.
    pub body_cut_from: Option<u64>,
    /// The keys in a listing. `None` if the store refused the listing.
    pub keys: Option<&'a [String]>,
    /// The totals of the objects in a replica.
    pub survey: Option<&'a Survey>,
    /// The reply itself, if it is a decoded token.
    pub jwt: Option<&'a JwtReply>,
    /// The reply itself, if it is the result of a program.
    pub run: Option<&'a RunReply>,
    /// The id that the store gave to the request. The store's trace contains the same id, so the two can be matched.
    pub request_id: Option<&'a str>,
    /// Whether the reply is a refusal, and the record may contain the refused request as the store saw it (a request
    /// with a token must not be recorded).
    pub is_refusal_to_show: bool,
    /// Whether replies of this kind come only from a store or its token service.
    pub is_of_a_store: bool,
}

/// The values of a reply that later steps can use. No field has a default, so each kind of reply must state all of
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The signed URL or form. A later step gets its URL by `{{ STEP }}`.
    pub signed: Option<&'a PresignReply>,
    /// The credentials. A later step uses them by `as: STEP`.
    pub credentials: Option<&'a TemporaryCredentials>,
    /// A text whose JSON content captures can read, at `/reply/KIND/json`.
    pub json: Option<&'a str>,
}

/// Makes two enums from the table of the kinds of probe: one of the questions, one of the replies. A row has the name
/// and the type of a kind. The key in frames and in the record follows from the name.
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
    /// What a probe does, by its kind.
    questions {
        /// Resolves a name.
        Dns(DnsQuestion),
        /// Makes a TLS handshake and reads the certificate chain.
        Tls(TlsQuestion),
        /// Sends one HTTP request, exactly as given.
        Http(HttpQuestion),
        /// Does one S3 operation by the AWS SDK for Rust.
        S3(S3Question),
        /// Signs a URL (presigned URL). This needs no network: the endpoint only determines the host in the URL.
        Presign(PresignQuestion),
        /// Exchanges a web identity token for credentials (`AssumeRoleWithWebIdentity`).
        Sts(StsQuestion),
        /// Decodes a web identity token, and verifies its signature with the keys that its issuer publishes.
        Jwt(JwtQuestion),
        /// Runs a program.
        Run(RunQuestion),
        /// Lets another client (an SDK, curl, a browser) do what one of the probes above does.
        Client(ClientQuestion),
    }
    /// The reply to a question, by the kind of the probe.
    replies {
        /// The addresses of a name.
        Dns(DnsReply),
        /// A completed TLS handshake. The certificate chain is in the evidence.
        Tls(TlsReply),
        /// The reply to an HTTP request.
        Http(HttpReply),
        /// The reply to an S3 operation.
        S3(S3Reply),
        /// A signed URL or a signed form.
        Presign(PresignReply),
        /// Credentials in exchange for a token, or a refusal.
        Sts(StsReply),
        /// The claims of a token, and whether its issuer's keys verify its signature.
        Jwt(JwtReply),
        /// How a program ended, and its output.
        Run(RunReply),
    }
}

impl Probe {
    /// The question as a text for reports.
    pub fn in_words(&self) -> String {
        self.kind().in_words()
    }

    /// The facts about the question that other modules need.
    pub fn facts(&self) -> QuestionFacts<'_> {
        self.kind().facts()
    }
}

impl Reply {
    /// The facts about the reply that matchers and other modules read.
    pub fn facts(&self) -> ReplyFacts<'_> {
        self.kind().facts()
    }

    /// The values of the reply that later steps can use.
    pub fn outputs(&self) -> Outputs<'_> {
        self.kind().outputs()
    }

    /// A copy of the reply with `entry` in its list. A list that is empty is missing in the JSON of the reply, so it
    /// cannot be altered there. `None` if the reply has no empty list.
    pub fn with_entry(&self, entry: &str) -> Option<Self> {
        self.kind().with_entry(entry)
    }

    /// The secrets in the reply that the redactor finds neither by a pattern nor by the name of a field.
    pub fn secrets(&self) -> Vec<Secret> {
        self.kind().secrets()
    }

    /// The content of the reply for reports: pairs of label and text.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        self.kind().rows()
    }

    /// Removes what differs from reply to reply, such as a TTL, and what the prober does not compare. Afterwards, equal
    /// replies are equal values.
    pub fn shorten(&mut self, question: &ProberQuestion) {
        self.kind_mut().shorten(question);
    }
}

/// The HTTP status and, for a refusal, the error code and message of a store, in one text for reports.
fn refusal(status: u16, error: Option<(&str, &str)>) -> String {
    error.map_or_else(|| status.to_string(), |(code, message)| format!("{status}: {code}: {message}"))
}
