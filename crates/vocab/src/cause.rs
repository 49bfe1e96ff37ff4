//! Causes of failures, classified by the first layer that failed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The cause of a failed step: the first layer that did not do what the step expected.
///
/// A crash of the agent or of the harness is never a cause: it is an error of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Cause {
    /// The name could not be resolved.
    Dns {
        /// The result that the resolver reported.
        fault: DnsFault,
        /// The name that was asked, the response, and the name servers.
        detail: String,
    },
    /// No TCP connection could be made, or it broke.
    Connect {
        /// The error that the kernel reported.
        fault: ConnectFault,
        /// The address and the error message.
        detail: String,
    },
    /// The TLS handshake failed.
    Tls {
        /// The fault of the peer or its certificate.
        fault: TlsFault,
        /// The TLS library's message, with names and times.
        detail: String,
    },
    /// An HTTP answer has another status than expected. `s3` is the error code of the S3 XML body, if there is one.
    Status {
        /// The HTTP status code of the response.
        status: u16,
        /// S3 error code, for example `SignatureDoesNotMatch`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        s3: Option<String>,
        /// The server's own message, or the beginning of the body.
        detail: String,
    },
    /// The security token service gave another answer than expected.
    Sts {
        /// The HTTP status code of the response.
        status: u16,
        /// The error code of the service, for example `InvalidParameterValue`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The message of the server.
        detail: String,
    },
    /// There was an answer, but one matcher of `expect` did not hold.
    Mismatch {
        /// The matcher's name in the scenario, for example `body`.
        matcher: String,
        /// The value that was expected.
        expected: String,
        /// The value that was seen.
        seen: String,
    },
    /// A Kubernetes object is missing or not as described, or the apiserver refused it.
    Resource {
        /// The kind, the namespace and the name of the object.
        resource: String,
        /// The description of the problem.
        detail: String,
    },
    /// A program ended with another exit code than expected.
    Exit {
        /// The exit code of the program; 128 plus the signal's number if a signal ended it.
        exit: i32,
        /// The last lines that the program wrote.
        detail: String,
    },
    /// The client could not send the request (the question is invalid, or the program does not exist), or it failed in
    /// a way that no other cause describes.
    Client {
        /// The message of the client library.
        detail: String,
    },
    /// There was no result before the deadline.
    Deadline {
        /// The time that the harness waited, in milliseconds.
        waited_ms: u64,
        /// The last observation before the failure.
        detail: String,
    },
}

/// What a resolver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFault {
    /// NXDOMAIN: the name does not exist.
    NoSuchName,
    /// NOERROR without an address record.
    NoAddress,
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// No answer came from any name server.
    Timeout,
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectFault {
    /// Nothing listens there (RST on SYN).
    Refused,
    /// No answer to SYN in time.
    Timeout,
    /// No route, network or host unreachable.
    Unreachable,
    /// The peer closed or reset the connection before it answered.
    Reset,
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFault {
    /// The chain does not end at a trusted certificate.
    UnknownAuthority,
    /// The certificate's validity has ended.
    Expired,
    /// The certificate's validity has not begun.
    NotYetValid,
    /// The certificate does not hold the name that was asked.
    NameMismatch,
    /// The peer does not speak TLS.
    NotTls,
    /// The peer sent an alert, or the handshake broke off.
    Handshake,
    /// The certificate is otherwise unusable (bad signature, bad encoding, wrong purpose).
    BadCertificate,
}

macro_rules! words {
    ($ty:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $ty {
            /// The word that scenarios use.
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
    /// Whether a system that is still starting can fail in this way: no process listens yet, or a server answers that
    /// it is not ready. A single such failure says nothing about the state after the start.
    pub fn may_heal(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Status { status, .. } | Self::Sts { status, .. } => (500..600).contains(status),
            _ => false,
        }
    }

    /// Whether no server answered, or a server answered that it cannot answer now. Such a failure says nothing about
    /// the requested resource.
    pub fn is_silence(&self) -> bool {
        self.is_timeout() || self.may_heal()
    }

    /// Whether a process that has just died can cause this failure.
    pub fn may_be_a_death(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Deadline { .. } => true,
            Self::Tls { fault, .. } => matches!(fault, TlsFault::NotTls | TlsFault::Handshake),
            _ => self.may_heal(),
        }
    }

    /// Whether the cause is a timeout. If the try had little time left, a timeout says nothing about the system under
    /// test.
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
