//! The table of matchers. One row defines one matcher completely: its key in `expect` with the key's schema, the kinds
//! of step that accept the matcher, its references, and the checks of its value. The judge has one case for each
//! matcher, without a default, so the compiler reports a missing case (see [`Wanted`]).
//!
//! The order of the rows is the order in which matchers are judged. The first matcher that does not hold gives the
//! cause.

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use indexmap::IndexMap;
use parallax_vocab::answer::Signature;
use parallax_vocab::{ConnectFault, DnsFault, TlsFault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expect::{NumberBound, SpanBound, Written as _, WrittenExpect};
use crate::scenario::number::{Number, Opening, within};
use crate::scenario::parts::{Parts as _, See, below};
use crate::scenario::template::Words;

/// The parts of an answer. Matchers read these parts, and each kind of step provides some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The HTTP status of an answer, and the store's error code and message.
    Store,
    /// The answer of the security token service: its status, its error code and its message.
    TokenService,
    /// A token, and the result of the check of its signature.
    Token,
    /// The addresses to which a name resolves.
    Name,
    /// A connection: the server's address, and the certificates that the server sent.
    Connection,
    /// The HTTP headers of an answer.
    Headers,
    /// The body of an answer.
    Body,
    /// The object keys in a listing of a bucket.
    Listing,
    /// The error text of an external client that returned no answer.
    Client,
    /// The exit code, the standard output and the standard error of a program.
    Program,
    /// A Kubernetes object, or the fact that it does not exist.
    Object,
    /// The Kubernetes events of an object.
    Events,
    /// The lines that containers wrote.
    Log,
    /// The numbers that a prober has counted, such as failed probes.
    Prober,
    /// The numbers that the rounds of a `repeat` captured.
    Figures,
    /// One number that a `measure` step measured.
    Measure,
    /// What a `sqlite` step reads from a database.
    Database,
    /// The number of objects of a replica, and the age of the newest object.
    Replica,
}

/// The kind of a matcher's value. Some checks depend only on this kind, and not on the matcher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape<'a> {
    /// A text that the observed text must contain. It must not be empty, because every text contains the empty text.
    Words(&'a str),
    /// A text that is compared as a whole. It may be empty.
    Whole,
    /// Several values by name; each value is a matcher of its own. The flag is true if there are no values.
    Each(bool),
    /// Fields that the observed value must contain. The observed value may contain other fields too. The flag is true
    /// if no field is given; a matcher without fields would always hold.
    Fields(bool),
    /// A part that the observed value must contain. The part may be a map or any other value. The flag is true if the
    /// part is a map without fields; every map contains such a part.
    Part(bool),
    /// A lower limit, an upper limit or both for a span of time.
    Span(SpanBound),
    /// A lower limit, an upper limit or both for a number.
    Number(NumberBound),
    /// A value that no rule restricts.
    Plain,
}

/// What a matcher says about the answer as a whole, in addition to its own value. The stance decides two things: what
/// else is expected of the answer, and what is reported as the cause if the matcher does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// The matcher says nothing about the whole answer. Only its own value is compared.
    Detail,
    /// The matcher says that the answer has this status. Therefore the answer need not be a success. If the matcher
    /// does not hold, the cause is the server's own answer.
    Status,
    /// The matcher says that the server refuses the request with this error code. If the matcher does not hold, the
    /// cause is the server's own answer.
    Code,
    /// The matcher says that the server refuses the request, but does not say with which error code.
    Refusal,
    /// The matcher says that the answer is a success that contains this content.
    Content,
    /// The matcher says that the answer is a success with exactly this body. If the answer does not come from a store,
    /// this body may be an S3 error document.
    Whole,
    /// The matcher says that there is no answer, because the request fails before the server answers.
    NoAnswer,
    /// The matcher says that the program ended with this exit code. Therefore the exit code need not be 0. If the
    /// matcher does not hold, the cause is the program's output.
    ExitCode,
    /// The matcher says that the Kubernetes object does not exist.
    Absence,
    /// The matcher says that a text was never written. Only a log that was read to its end can show that a text is
    /// absent.
    Silence,
}

/// A structured value of a matcher, either as the scenario writes it or with its references replaced.
pub trait Fields {
    /// Returns the whole structured value as JSON.
    fn tree(&self) -> &Value;
}

impl Fields for Value {
    fn tree(&self) -> &Value {
        self
    }
}

impl Fields for crate::scenario::template::Tree {
    fn tree(&self) -> &Value {
        self.value()
    }
}

macro_rules! matchers {
    ($(
        $(#[doc = $doc:expr])+
        $(#[schemars($($schema:tt)*)])?
        $name:ident $key:literal $field:ident: $type:ty, $shape:ident, [$($source:ident),+], $stance:ident;
    )*) => {
        /// What must hold. All keys that are present must hold. The kind of the step decides which keys are accepted. A
        /// reference can yield a number: `value: { below: "{{ step.capture }}" }`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(
            deny_unknown_fields,
            rename_all = "kebab-case",
            bound(
                serialize = "Text: Serialize, Tree: Serialize, Chain: Serialize, Open: Opening",
                deserialize = "Text: Deserialize<'de>, Tree: Deserialize<'de>, Chain: Deserialize<'de>, Open: Opening"
            )
        )]
        #[schemars(rename = "Expect")]
        pub struct Expect<Text = String, Tree = Value, Chain = String, Open = Infallible> {
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $(#[schemars($($schema)*)])?
                pub $field: Option<$type>,
            )*
        }

        /// A matcher without its value, such as `status`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Matcher {
            $($(#[doc = $doc])+ $name,)*
        }

        /// A matcher that the `expect` of a step contains, with its expected value.
        #[derive(Debug)]
        pub enum Wanted<'a, Text = String, Tree = Value, Chain = String, Open = Infallible> {
            $($(#[doc = $doc])+ $name(&'a $type),)*
        }

        impl Matcher {
            /// All matchers. The judge applies them in this order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the matcher's key in `expect`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }

            /// The parts of an answer that the matcher can read. A kind of step accepts the matcher if the step's
            /// answer has one of these parts.
            pub fn reads(self) -> &'static [Source] {
                match self {
                    $(Self::$name => &[$(Source::$source),+],)*
                }
            }

            /// Returns what the matcher says about the answer as a whole.
            pub fn stance(self) -> Stance {
                match self {
                    $(Self::$name => Stance::$stance,)*
                }
            }
        }

        impl<Text, Tree, Chain, Open> Expect<Text, Tree, Chain, Open> {
            /// Returns the matchers that this expectation contains, in the order in which they are judged.
            pub fn wanted(&self) -> Vec<Wanted<'_, Text, Tree, Chain, Open>> {
                let mut wanted = Vec::new();
                $(wanted.extend(self.$field.as_ref().map(Wanted::$name));)*
                wanted
            }
        }

        impl<Text, Tree, Chain, Open> Default for Expect<Text, Tree, Chain, Open> {
            fn default() -> Self {
                Self { $($field: None),* }
            }
        }

        impl<Text, Tree, Chain, Open> Wanted<'_, Text, Tree, Chain, Open> {
            /// Returns the matcher without its value.
            pub fn matcher(&self) -> Matcher {
                match self {
                    $(Self::$name(_) => Matcher::$name,)*
                }
            }
        }

        impl<Text: Deref<Target = str>, Tree: Fields, Chain: Deref<Target = str>, Open>
            Wanted<'_, Text, Tree, Chain, Open>
        {
            /// Returns the kind of the matcher's value.
            pub fn shape(&self) -> Shape<'_> {
                match self {
                    $(Self::$name(it) => matchers!(@$shape it),)*
                }
            }
        }

        impl WrittenExpect {
            /// Calls `to` for every part of the expectation that can contain a reference, with the JSON pointer of the
            /// part.
            pub fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
                $(below(at, stringify!($field), |at| self.$field.see(at, to));)*
            }

            /// Returns the expectation with every reference replaced by its value.
            pub fn filled(&self, words: &Words<'_>) -> Result<Expect, String> {
                Ok(Expect { $($field: self.$field.as_ref().map(|it| it.fill(words)).transpose()?),* })
            }
        }
    };
    (@words $it:ident) => { Shape::Words($it) };
    (@whole $it:ident) => {{ let _ = $it; Shape::Whole }};
    (@each $it:ident) => { Shape::Each($it.is_empty()) };
    (@fields $it:ident) => { Shape::Fields($it.tree().as_object().is_none_or(serde_json::Map::is_empty)) };
    (@part $it:ident) => { Shape::Part($it.tree().as_object().is_some_and(serde_json::Map::is_empty)) };
    (@span $it:ident) => { Shape::Span(**$it) };
    (@number $it:ident) => {
        // The rules for bounds apply only to a number that is known before the scenario runs. A reference yields its
        // number later.
        $it.known().map_or(Shape::Plain, Shape::Number)
    };
    (@plain $it:ident) => {{ let _ = $it; Shape::Plain }};
}

matchers! {
    /// The HTTP status code of the answer (`http`, `s3`).
    #[schemars(schema_with = "within::<100, 599>")]
    Status "status" status: Number<u16, Open>, plain, [Store, TokenService], Status;
    /// The S3 error code of the answer (`http`, `s3`): `AccessDenied`.
    S3 "s3" s3: Text, words, [Store], Code;
    /// The error code of the security token service in the answer (`sts`).
    Sts "sts" sts: Text, words, [TokenService], Code;
    /// At least one Kubernetes event of the object has this reason (`event`), for example `FailedMount`.
    Reason "reason" reason: Text, words, [Events], Detail;
    /// The message of the answer contains this text: the message of the store's error document (`http`, `s3`), of the
    /// token service (`sts`), or of at least one event (`event`). With `reason`, one event must have this reason and
    /// contain this text. A store's words differ between its versions; its codes (`s3`) do not.
    Message "message" message: Text, words, [Store, TokenService, Events], Refusal;
    /// A part of the token's claims (`jwt`), by the rules of the matcher `object`.
    Claims "claims" claims: Tree, fields, [Token], Detail;
    /// Whether the keys that the issuer publishes verify the token's signature (`jwt`).
    Signature "signature" signature: Signature, plain, [Token], Detail;
    /// The host name must not resolve, and the resolver must give this answer (`dns`, `tls`, `http`).
    Dns "dns" dns: DnsFault, plain, [Name, Connection], NoAnswer;
    /// The TCP connection must fail, for this reason (`tls`, `http`).
    Connect "connect" connect: ConnectFault, plain, [Connection], NoAnswer;
    /// The TLS handshake must fail, for this reason (`tls`, `http`).
    Tls "tls" tls: TlsFault, plain, [Connection], NoAnswer;
    /// The client must return no answer, and its error text must contain this text (`client`). Use it for a feature
    /// that the client is known to lack.
    Client "client" client: Text, words, [Client], NoAnswer;
    /// The only address to which the host name resolves (`dns`), or the address of the connection (`tls`, `http`).
    Address "address" address: Text, words, [Name, Connection], Detail;
    /// The number of certificates that the server sends (`tls`, `http`).
    ChainLength "chain-length" chain_length: Number<usize, Open>, plain, [Connection], Detail;
    /// A name in the server's leaf certificate (`tls`, `http`).
    CertificateName "certificate-name" certificate_name: Text, words, [Connection], Detail;
    /// The serial number of the server's leaf certificate (`tls`, `http`), in lower-case hexadecimal, like the value of
    /// a `rotate` step.
    Serial "serial" serial: Text, words, [Connection], Detail;
    /// The server sends the same certificate chain that an earlier `tls` or `http` step saw: the same leaf and the same
    /// issuers. Give the id of that step.
    SameChainAs "same-chain-as" same_chain_as: Chain, words, [Connection], Detail;
    /// Headers of the answer, by name (`http`). The case of a name does not matter. Each header must have exactly the
    /// given value.
    Headers "headers" headers: IndexMap<String, Text>, each, [Headers], Content;
    /// The whole body of the answer, as text (`http`, `s3 get`).
    Body "body" body: Text, whole, [Body], Whole;
    /// The body contains this text (`http`, `s3 get`).
    BodyContains "body-contains" body_contains: Text, words, [Body], Content;
    /// The exact list of the object keys in a listing (`s3 list`).
    Keys "keys" keys: Vec<Text>, plain, [Listing], Content;
    /// The exit code of the program (`script`). A program that a signal ended has 128 plus the number of the signal.
    /// The default is 0.
    #[schemars(schema_with = "within::<0, 255>")]
    Exit "exit" exit: Number<i32, Open>, plain, [Program], ExitCode;
    /// Standard output contains this text (`script`).
    Stdout "stdout" stdout: Text, words, [Program], Detail;
    /// Standard error contains this text (`script`).
    Stderr "stderr" stderr: Text, words, [Program], Detail;
    /// Standard output is JSON and contains this part (`script`), by the rules of the matcher `object`.
    Json "json" json: Tree, part, [Program], Detail;
    /// A part of the object (`resource`): every given field must exist and be equal. An entry of a list that has a
    /// `type` or a `name` is compared with the entry of the same `type` or `name`, in any position. Other lists are
    /// compared as a whole.
    Object "object" object: Tree, fields, [Object], Detail;
    /// `true`: the object must not exist (`resource`).
    Absent "absent" absent: bool, plain, [Object], Absence;
    /// At least one line of the log contains this text (`log`).
    Line "line" line: Text, words, [Log], Detail;
    /// No line of the log contains this text (`log`).
    NoLine "no-line" no_line: Text, words, [Log], Silence;
    /// The exact number of failed probes so far (`prober`).
    Failures "failures" failures: Number<u64, Open>, plain, [Prober], Detail;
    /// The longest time between two successful probes, which is the outage that a client sees (`prober`). The time
    /// before the first success and the time after the last success count too.
    LongestGap "longest-gap" longest_gap: SpanBound, span, [Prober], Detail;
    /// The exact number of different leaf certificates that the probes saw (`prober`).
    Serials "serials" serials: Number<usize, Open>, plain, [Prober], Detail;
    /// The smallest number of probes that must be complete (`prober`).
    AtLeast "at-least" at_least: Number<u64, Open>, plain, [Prober], Detail;
    /// The exact number of captured values (`figures`).
    Count "count" count: Number<usize, Open>, plain, [Figures], Detail;
    /// The median of the captured values (`figures`). For an even number of values, it is the lower of the two values
    /// in the middle.
    Median "median" median: NumberBound<Open>, number, [Figures], Detail;
    /// The greatest of the captured values (`figures`).
    Worst "worst" worst: NumberBound<Open>, number, [Figures], Detail;
    /// The result of `PRAGMA integrity_check` contains this text (`sqlite`). For a sound database the result is `ok`.
    Integrity "integrity" integrity: Text, words, [Database], Detail;
    /// The number of rows in the database (`sqlite`), with `at-least`, `below` or both.
    Rows "rows" rows: NumberBound<Open>, number, [Database], Detail;
    /// The number of objects of the replica (`replica`), with `at-least`, `below` or both.
    Objects "objects" objects: NumberBound<Open>, number, [Replica], Detail;
    /// The age of the newest object of the replica (`replica`), with `at-least`, `below` or both.
    Newest "newest" newest: SpanBound, span, [Replica], Detail;
    /// The measured number (`measure`), with `at-least`, `below` or both.
    Value "value" value: NumberBound<Open>, number, [Measure], Detail;
}

impl Matcher {
    /// Returns the matchers that read at least one of `sources`.
    pub fn reading(sources: &[Source]) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|it| it.reads().iter().any(|source| sources.contains(source))).collect()
    }
}

impl Matcher {
    /// Returns the matcher with this name in a verdict: `status`, or `headers.etag`. `None` for other names, such as
    /// `witness`. Those names belong to checks of the run itself, which are not in the table of matchers.
    pub fn named(name: &str) -> Option<Self> {
        let key = name.split('.').next().unwrap_or(name);
        Self::ALL.iter().copied().find(|it| it.name() == key)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<Text, Tree, Chain, Open> Expect<Text, Tree, Chain, Open> {
    /// Returns the matchers that this expectation contains, without their values.
    pub fn given(&self) -> Vec<Matcher> {
        self.wanted().iter().map(Wanted::matcher).collect()
    }

    /// Whether a matcher of this expectation has the stance `stance`.
    pub fn takes(&self, stance: Stance) -> bool {
        self.wanted().iter().any(|it| it.matcher().stance() == stance)
    }

    /// Whether a matcher of this expectation can read `source`.
    pub fn reads(&self, source: Source) -> bool {
        self.wanted().iter().any(|it| it.matcher().reads().contains(&source))
    }
}

impl<Text, Tree, Chain, Open> Wanted<'_, Text, Tree, Chain, Open> {
    /// Returns the names of the matcher in verdicts. For `headers` there is one name for each header, such as
    /// `headers.etag`.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Headers(all) => all.keys().map(|header| format!("{}.{header}", self.matcher())).collect(),
            other => vec![other.matcher().to_string()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_has_the_name_of_its_key_in_scenarios() {
        for matcher in Matcher::ALL {
            let field = matcher.name().replace('-', "_");
            assert!(format!("{:?}", Expect::<String>::default()).contains(&format!("{field}: None")), "{matcher}");
        }
        let expect: Expect = serde_json::from_value(serde_json::json!({
            "same-chain-as": "a", "no-line": "b", "longest-gap": { "below": "1s" }, "headers": { "x": "y" }
        }))
        .expect("valid");
        let names: Vec<String> = expect.wanted().iter().flat_map(Wanted::names).collect();
        assert_eq!(names, ["same-chain-as", "headers.x", "no-line", "longest-gap"]);
    }
}
