//! The kinds of probe. Each kind is a row of the table in `kinds!`, and has a module of its own with its question and
//! its reply. This module also states the facts that other code needs about the question and the reply. So no other
//! code contains a list of the kinds.

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
    /// Where the probe finds the host names that it resolves for this question.
    pub names: Names,
    /// The HTTP request that the harness's own probe or another client sends for the question. `None` if the question
    /// is not about one HTTP request.
    pub http: Option<&'a HttpQuestion>,
    /// The request that the harness's own probe sends, if the request can carry a signature. If a store refuses the
    /// signature, the run can examine why. `None` for other questions, and for requests of other clients.
    pub signed: Option<Signed<'a>>,
    /// The token that the probe exchanges or decodes; `None` if the question has no token.
    pub token: Option<&'a TokenSource>,
    /// The question itself, if it asks the harness's own probe to sign a URL or a form.
    pub signs: Option<&'a PresignQuestion>,
    /// The question itself, if it asks the probe to exchange a token for credentials.
    pub exchange: Option<&'a StsQuestion>,
    /// Whether a program answers the question. A program describes a failure in its own words, so the harness cannot
    /// find the precise cause of the failure.
    pub is_program: bool,
    /// Whether the question may change the contents of a store. It is `true` for the user's own program, because the
    /// harness cannot know what the program does.
    pub may_write: bool,
}

/// The host to which a question is directed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressed<'a> {
    /// The name of the host, or a text that stands in place of a name, such as `the issuer` or a program's path.
    Host(&'a str),
    /// A URL that contains the host.
    Url(Cow<'a, str>),
}

/// Where a probe finds the host names that it resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// The host names are in the question.
    Question,
    /// The host names are in a token and in the documents of the token's issuer.
    Issuer,
}

/// A request that can carry a signature, and that the harness's own probe sends.
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

    /// Returns a copy of the reply that has `entry` in a list that is empty in the reply. The copy serves as an altered
    /// answer. The judge cannot alter the list in the JSON of the reply, because an empty list is absent from the JSON.
    /// `None` if the reply has no empty list.
    fn with_entry(&self, entry: &str) -> Option<Reply>;

    /// The secrets in the reply that the redactor finds neither by a pattern nor by the name of a field.
    fn secrets(&self) -> Vec<Secret>;

    /// The content of the reply for reports: pairs of label and text.
    fn rows(&self) -> Vec<(&'static str, String)>;

    /// Removes the values that differ from reply to reply, such as a TTL, and the values that the prober does not
    /// compare. After this call, two replies that count as the same are equal.
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
    /// The addresses to which a host name resolved, if the question was only about the addresses (`dns`).
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
    /// The id that the store gave to the request. The store's trace shows the request with the same id.
    pub request_id: Option<&'a str>,
    /// Whether the reply is a refusal whose request the record may show, as the store saw the request. The record must
    /// not show a request that can contain a token.
    pub is_refusal_to_show: bool,
    /// Whether replies of this kind come only from a store or its token service.
    pub is_of_a_store: bool,
}

/// The values of a reply that later steps can use. No field has a default, so each kind of reply must state all of
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// The signed URL or form. A later step uses the URL by `{{ STEP }}`, with the id of the step that signed.
    pub signed: Option<&'a PresignReply>,
    /// The credentials that a token service gave. A later step uses them by `as: STEP`, with the id of this step.
    pub credentials: Option<&'a TemporaryCredentials>,
    /// A text that may be JSON. If it is JSON, a capture can read its values below `/reply/KIND/json`.
    pub json: Option<&'a str>,
}

/// Makes two enums from the table of the kinds of probe: one for the questions, and one for the replies. A row has the
/// name of a kind and the type of its question or reply. In frames and in the record, the JSON key of a kind is its
/// name in kebab case.
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
    /// The question to a probe, by the kind of probe.
    questions {
        /// Resolves a name.
        Dns(DnsQuestion),
        /// Makes a TLS handshake and reads the certificate chain.
        Tls(TlsQuestion),
        /// Sends one HTTP request, exactly as given.
        Http(HttpQuestion),
        /// Does one S3 operation by the AWS SDK for Rust.
        S3(S3Question),
        /// Signs a URL (presigned URL) or a form. This needs no network: the endpoint only determines the host in the
        /// URL.
        Presign(PresignQuestion),
        /// Exchanges a web identity token for credentials (`AssumeRoleWithWebIdentity`).
        Sts(StsQuestion),
        /// Decodes a web identity token, and verifies its signature with the keys that its issuer publishes.
        Jwt(JwtQuestion),
        /// Runs a program.
        Run(RunQuestion),
        /// Lets another client (an SDK, curl, a browser) sign a URL, do an S3 operation or send an HTTP request.
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
        /// The credentials that a token service gave for a token, or the refusal.
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

    /// Returns a copy of the reply that has `entry` in a list that is empty in the reply. The copy serves as an altered
    /// answer. The judge cannot alter the list in the JSON of the reply, because an empty list is absent from the JSON.
    /// `None` if the reply has no empty list.
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

    /// Removes the values that differ from reply to reply, such as a TTL, and the values that the prober does not
    /// compare. After this call, two replies that count as the same are equal.
    pub fn shorten(&mut self, question: &ProberQuestion) {
        self.kind_mut().shorten(question);
    }
}

/// The HTTP status and, for a refusal, the error code and message of a store, in one text for reports.
fn refusal(status: u16, error: Option<(&str, &str)>) -> String {
    error.map_or_else(|| status.to_string(), |(code, message)| format!("{status}: {code}: {message}"))
}
