//! Causes of failures. A cause names the first layer that failed: DNS, connection, TLS, and so on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cause of a failed step: the first layer that did not do what the step expected.
///
/// A crash of the agent (the program that runs probes in a pod) or of the harness is never a cause. It is an error of
/// the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// A host name could not be resolved.
    Dns {
        /// What the resolver reported.
        fault: DnsFault,
        /// A text with the host name, the resolver's response, and the name servers that were asked.
        detail: String,
    },
    /// The TCP connection could not be made, or it broke.
    Connect {
        /// The kind of failure, from the error of the kernel.
        fault: ConnectFault,
        /// A text with the address to which the probe tried to connect, and the kernel's error message.
        detail: String,
    },
    /// The TLS handshake failed.
    Tls {
        /// What is wrong with the peer or with its certificate.
        fault: TlsFault,
        /// The error message of the TLS library, with the host names and the times that the library compared.
        detail: String,
    },
    /// The HTTP status differs from the expected one.
    Status {
        /// The HTTP status code of the response.
        status: u16,
        /// The S3 error code in the XML body, for example `SignatureDoesNotMatch`; `None` if the body has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        s3: Option<String>,
        /// The error message in the body of the response. If the body has no error message, the beginning of the body.
        detail: String,
    },
    /// The security token service gave another answer than the step expected.
    Sts {
        /// The HTTP status code of the response.
        status: u16,
        /// The service's error code, for example `InvalidParameterValue`; `None` if the answer has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The message of the token service.
        detail: String,
    },
    /// There was an answer, but a matcher of `expect` did not hold.
    Mismatch {
        /// The name of the matcher in the scenario, for example `body`.
        matcher: String,
        /// The value that the scenario expects.
        expected: String,
        /// The value in the answer.
        seen: String,
    },
    /// A Kubernetes object is missing, is not as the step expects, or was refused by the apiserver.
    Resource {
        /// The kind, the namespace and the name of the object.
        resource: String,
        /// What is wrong with the object.
        detail: String,
    },
    /// A program ended with another exit code than the step expected.
    Exit {
        /// The exit code of the program; 128 plus the signal's number if a signal ended it.
        exit: i32,
        /// The last lines of the program's output.
        detail: String,
    },
    /// The client could not send the request, for example because the question is invalid or the program does not
    /// exist. A failure that no other cause describes has this cause too.
    Client {
        /// The client's own message about what the client could not do.
        detail: String,
    },
    /// The time limit passed before there was a result.
    Deadline {
        /// How long the harness or the probe waited, in milliseconds.
        waited_ms: u64,
        /// What was still missing or still running when the time limit passed.
        detail: String,
    },
}

/// The fault that a resolver reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFault {
    /// NXDOMAIN: the name does not exist.
    NoSuchName,
    /// NOERROR without an address record: the name exists, but has no address.
    NoAddress,
    /// SERVFAIL: the name server failed.
    ServerFailure,
    /// REFUSED: the name server does not answer this question.
    Refused,
    /// No name server answered in time, or no name server could be reached.
    Timeout,
}

/// The reason why a TCP connection could not be made, or why it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectFault {
    /// No process listens at the port (the answer to SYN was RST).
    Refused,
    /// No answer to SYN came in time.
    Timeout,
    /// There is no route, or the network or the host is unreachable.
    Unreachable,
    /// The peer closed or reset the connection before its answer was complete.
    Reset,
}

/// The reason why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFault {
    /// The certificate chain does not end at a trusted certificate.
    UnknownAuthority,
    /// The certificate's validity has ended.
    Expired,
    /// The certificate's validity has not begun.
    NotYetValid,
    /// The certificate is not valid for the server name that the client verifies.
    NameMismatch,
    /// The peer does not speak TLS.
    NotTls,
    /// The peer sent a TLS alert, or the handshake broke off.
    Handshake,
    /// The certificate is unusable for another reason: bad signature, bad encoding, wrong purpose.
    BadCertificate,
}

macro_rules! words {
    ($ty:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $ty {
            /// The word with which scenarios name this fault.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(DnsFault {
    NoSuchName => "no-such-name", NoAddress => "no-address", ServerFailure => "server-failure",
    Refused => "refused", Timeout => "timeout",
});
words!(ConnectFault {
    Refused => "refused", Timeout => "timeout", Unreachable => "unreachable", Reset => "reset",
});
words!(TlsFault {
    UnknownAuthority => "unknown-authority", Expired => "expired", NotYetValid => "not-yet-valid",
    NameMismatch => "name-mismatch", NotTls => "not-tls", Handshake => "handshake", BadCertificate => "bad-certificate",
});

impl Cause {
    /// Whether a system that is still starting can fail in this way: no process listens yet, or a server answers with a
    /// status 5xx. Such a failure does not show that the system fails after its start too.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Status { status, .. } | Self::Sts { status, .. } => (500..600).contains(status),
            _ => false,
        }
    }

    /// Whether no server answered, or a server answered that it cannot work now (5xx). Such a failure says nothing
    /// about the bucket or the object in the question.
    pub fn is_silence(&self) -> bool {
        self.is_timeout() || self.may_heal()
    }

    /// Whether the failure can be the effect of a server process that has just ended, for example a broken connection.
    pub fn may_be_a_death(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Deadline { .. } => true,
            Self::Tls { fault, .. } => matches!(fault, TlsFault::NotTls | TlsFault::Handshake),
            _ => self.may_heal(),
        }
    }

    /// Whether the cause is a timeout. If a try of a step begins shortly before the step's time limit, a timeout of
    /// this try says nothing about the system under test.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Dns { fault, .. } => *fault == DnsFault::Timeout,
            Self::Connect { fault, .. } => *fault == ConnectFault::Timeout,
            Self::Deadline { .. } => true,
            _ => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns { fault, detail } => write!(f, "dns: {fault} ({detail})"),
            Self::Connect { fault, detail } => write!(f, "connect: {fault} ({detail})"),
            Self::Tls { fault, detail } => write!(f, "tls: {fault} ({detail})"),
            Self::Status { status, s3: Some(code), detail } => write!(f, "status: {status}, s3: {code} ({detail})"),
            Self::Status { status, s3: None, detail } => write!(f, "status: {status} ({detail})"),
            Self::Sts { status, code: Some(code), detail } => write!(f, "status: {status}, sts: {code} ({detail})"),
            Self::Sts { status, code: None, detail } => write!(f, "status: {status}, no STS error ({detail})"),
            Self::Mismatch { matcher, expected, seen } => {
                write!(f, "{matcher}: expected {expected}, saw {seen}")
            }
            Self::Resource { resource, detail } => write!(f, "resource: {resource}: {detail}"),
            Self::Exit { exit, detail } => write!(f, "exit: {exit} ({detail})"),
            Self::Client { detail } => write!(f, "client: {detail}"),
            Self::Deadline { waited_ms, detail } => {
                write!(f, "deadline: nothing decisive in {}.{} s ({detail})", waited_ms / 1000, waited_ms % 1000 / 100)
            }
        }
    }
}
