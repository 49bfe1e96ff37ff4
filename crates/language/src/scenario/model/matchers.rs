//! The table of the matchers. A matcher is one row, and all that there is of it comes from that row: the key of `expect` with
//! its schema, which kinds of step take it, what is filled in, what can be wrong with its value, and what the judge observes
//! ([`Wanted`], which it matches without a default).
//!
//! The rows stand in the order in which matchers are judged: the first that does not hold is the cause.

use std::fmt;
use std::ops::Deref;

use indexmap::IndexMap;
use parallax_vocab::DnsFault;
use parallax_vocab::answer::Signature;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expect::{NumberBound, SpanBound, Written as _, WrittenExpect};
use crate::scenario::parts::{Parts as _, See, below};
use crate::scenario::template::Words;

/// What matchers read, and steps bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The status of an answer, and a store's error code.
    Store,
    /// The answer of the security token service.
    TokenService,
    /// A token, and what vouches for it.
    Token,
    /// What a name resolves to.
    Name,
    /// A connection: where it went, and the certificates that were sent.
    Connection,
    /// The headers of an answer.
    Headers,
    /// The body of an answer.
    Body,
    /// What a listing holds.
    Listing,
    /// What a client of others says where it tells no answer.
    Client,
    /// How a program ended, and what it wrote.
    Program,
    /// A Kubernetes object, or that there is none.
    Object,
    /// The events of an object.
    Events,
    /// What containers wrote.
    Log,
    /// What a prober counted.
    Prober,
    /// The numbers of rounds.
    Figures,
    /// One number.
    Measure,
    /// A database.
    Database,
    /// The objects of a replica.
    Replica,
}

/// What kind of value a matcher has, for rules that hold for all values of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape<'a> {
    /// Words that must be there: an empty text would be in everything.
    Words(&'a str),
    /// A whole text, which may be empty.
    Whole,
    /// A value under each of several names, each of which is a matcher.
    Each,
    /// A part of a larger value.
    Part,
    /// A bound of a span.
    Span(SpanBound),
    /// A bound of a number.
    Number(NumberBound),
    /// A value that can say nothing wrong.
    Plain,
}

macro_rules! matchers {
    ($(
        $(#[doc = $doc:expr])+
        $(#[schemars($($schema:tt)*)])?
        $name:ident $key:literal $field:ident: $type:ty, $shape:ident, [$($source:ident),+];
    )*) => {
        /// What must hold: every key that is given. Which keys a step takes depends on what it does.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(
            deny_unknown_fields,
            rename_all = "kebab-case",
            bound(deserialize = "Text: Deserialize<'de>, Tree: Deserialize<'de>, Chain: Deserialize<'de>")
        )]
        #[schemars(rename = "Expect")]
        pub struct Expect<Text = String, Tree = Value, Chain = String> {
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $(#[schemars($($schema)*)])?
                pub $field: Option<$type>,
            )*
        }

        /// The matchers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Matcher {
            $($(#[doc = $doc])+ $name,)*
        }

        /// A matcher that is given, with what it expects.
        #[derive(Debug)]
        pub enum Wanted<'a, Text = String, Tree = Value, Chain = String> {
            $($(#[doc = $doc])+ $name(&'a $type),)*
        }

        impl Matcher {
            /// All of them, in the order in which they are judged.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its key in `expect`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }

            /// What it reads: any of these.
            pub fn reads(self) -> &'static [Source] {
                match self {
                    $(Self::$name => &[$(Source::$source),+],)*
                }
            }
        }

        impl<Text, Tree, Chain> Expect<Text, Tree, Chain> {
            /// What is given, in the order in which it is judged.
            pub fn wanted(&self) -> Vec<Wanted<'_, Text, Tree, Chain>> {
                let mut wanted = Vec::new();
                $(wanted.extend(self.$field.as_ref().map(Wanted::$name));)*
                wanted
            }
        }

        impl<Text, Tree, Chain> Default for Expect<Text, Tree, Chain> {
            fn default() -> Self {
                Self { $($field: None),* }
            }
        }

        impl<Text, Tree, Chain> Wanted<'_, Text, Tree, Chain> {
            /// Which matcher it is.
            pub fn matcher(&self) -> Matcher {
                match self {
                    $(Self::$name(_) => Matcher::$name,)*
                }
            }
        }

        impl<Text: Deref<Target = str>, Tree, Chain: Deref<Target = str>> Wanted<'_, Text, Tree, Chain> {
            /// What kind of value it has.
            pub fn shape(&self) -> Shape<'_> {
                match self {
                    $(Self::$name(it) => matchers!(@$shape it),)*
                }
            }
        }

        impl WrittenExpect {
            /// Shows every part that refers to something, with its pointer.
            pub fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
                $(below(at, stringify!($field), |at| self.$field.see(at, to));)*
            }

            /// What must hold, with every reference replaced.
            pub fn filled(&self, words: &Words<'_>) -> Result<Expect, String> {
                Ok(Expect { $($field: self.$field.as_ref().map(|it| it.fill(words)).transpose()?),* })
            }
        }
    };
    (@words $it:ident) => { Shape::Words($it) };
    (@whole $it:ident) => {{ let _ = $it; Shape::Whole }};
    (@each $it:ident) => {{ let _ = $it; Shape::Each }};
    (@part $it:ident) => {{ let _ = $it; Shape::Part }};
    (@span $it:ident) => { Shape::Span(**$it) };
    (@number $it:ident) => { Shape::Number(**$it) };
    (@plain $it:ident) => {{ let _ = $it; Shape::Plain }};
}

matchers! {
    /// HTTP status code (`http`, `s3`).
    #[schemars(range(min = 100, max = 599))]
    Status "status" status: u16, plain, [Store, TokenService];
    /// S3 error code (`http`, `s3`).
    S3 "s3" s3: Text, words, [Store];
    /// Error code of the security token service (`sts`).
    Sts "sts" sts: Text, words, [TokenService];
    /// Some event has this reason (`event`): `FailedMount`.
    Reason "reason" reason: Text, words, [Events];
    /// The server's message holds this text (`sts`), or some event's does (`event`). Where `reason` is given too, it is the same event's.
    Message "message" message: Text, words, [TokenService, Events];
    /// A part of the token's claims, as `object` has it (`jwt`).
    Claims "claims" claims: Tree, part, [Token];
    /// Whether the published keys vouch for the token (`jwt`).
    Signature "signature" signature: Signature, plain, [Token];
    /// The name must not resolve, and the resolver must say this (`dns`).
    Dns "dns" dns: DnsFault, plain, [Name];
    /// The client must tell no answer, and these words must be among its own (`client`): what it is known to be unable to do.
    Client "client" client: Text, words, [Client];
    /// The only address that the name has (`dns`), or that was connected to (`tls`, `http`).
    Address "address" address: Text, words, [Name, Connection];
    /// How many certificates the server sends (`tls`, `http`).
    ChainLength "chain-length" chain_length: usize, plain, [Connection];
    /// A name in the server's leaf certificate (`tls`, `http`).
    CertificateName "certificate-name" certificate_name: Text, words, [Connection];
    /// Serial number of the server's leaf certificate (`tls`, `http`), lower-case hexadecimal, as a `rotate` step yields it.
    Serial "serial" serial: Text, words, [Connection];
    /// The chain that the server sends is the one that this earlier `tls` or `http` step saw: same leaf, same issuers.
    SameChainAs "same-chain-as" same_chain_as: Chain, words, [Connection];
    /// Headers of the answer (`http`), names in lower case.
    Headers "headers" headers: IndexMap<String, Text>, each, [Headers];
    /// The whole body (`http`, `s3 get`).
    Body "body" body: Text, whole, [Body];
    /// Keys that a listing holds, exactly (`s3 list`).
    Keys "keys" keys: Vec<Text>, plain, [Listing];
    /// The exit code (`script`); 128 and the signal's number where a signal ended it. 0 where nothing is said.
    #[schemars(range(min = 0, max = 255))]
    Exit "exit" exit: i32, plain, [Program];
    /// Words that standard output holds (`script`).
    Stdout "stdout" stdout: Text, words, [Program];
    /// Words that standard error holds (`script`).
    Stderr "stderr" stderr: Text, words, [Program];
    /// A part of the JSON that standard output is (`script`), compared as `object` is.
    Json "json" json: Tree, part, [Program];
    /// A part of the object: every field given must be there and equal (`resource`). Entries of a list that have a
    /// `type` or `name` are found by it, wherever they stand; other lists are compared whole.
    Object "object" object: Tree, part, [Object];
    /// `true`: there must be no such object (`resource`).
    Absent "absent" absent: bool, plain, [Object];
    /// Some line holds this text (`log`).
    Line "line" line: Text, words, [Log];
    /// No line holds this text (`log`).
    NoLine "no-line" no_line: Text, words, [Log];
    /// How many probes failed so far, exactly (`prober`).
    Failures "failures" failures: u64, plain, [Prober];
    /// The longest time between two successful probes: the outage that a client sees (`prober`). The prober's beginning
    /// and its end bound it too.
    LongestGap "longest-gap" longest_gap: SpanBound, span, [Prober];
    /// How many different leaf certificates the probes met, exactly (`prober`).
    Serials "serials" serials: usize, plain, [Prober];
    /// Probes that have an outcome, at the least (`prober`).
    AtLeast "at-least" at_least: u64, plain, [Prober];
    /// How many numbers there are, exactly (`figures`).
    Count "count" count: usize, plain, [Figures];
    /// The median (`figures`); of an even count, the lower of the two in the middle.
    Median "median" median: NumberBound, number, [Figures];
    /// The greatest (`figures`).
    Worst "worst" worst: NumberBound, number, [Figures];
    /// What `PRAGMA integrity_check` says (`sqlite`): `ok`.
    Integrity "integrity" integrity: Text, words, [Database];
    /// How many rows the database holds (`sqlite`).
    Rows "rows" rows: NumberBound, number, [Database];
    /// How many objects the replica has (`replica`).
    Objects "objects" objects: NumberBound, number, [Replica];
    /// How long ago the newest object of the replica was written (`replica`).
    Newest "newest" newest: SpanBound, span, [Replica];
    /// The number that is measured (`measure`).
    Value "value" value: NumberBound, number, [Measure];
}

impl Matcher {
    /// Those that read any of these.
    pub fn reading(sources: &[Source]) -> Vec<Self> {
        Self::ALL.iter().copied().filter(|it| it.reads().iter().any(|source| sources.contains(source))).collect()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<Text, Tree, Chain> Expect<Text, Tree, Chain> {
    /// The matchers that are given.
    pub fn given(&self) -> Vec<Matcher> {
        self.wanted().iter().map(Wanted::matcher).collect()
    }
}

impl<Text, Tree, Chain> Wanted<'_, Text, Tree, Chain> {
    /// Its names in verdicts: each header is a matcher.
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
    fn a_matcher_has_the_name_under_which_scenarios_write_it() {
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
