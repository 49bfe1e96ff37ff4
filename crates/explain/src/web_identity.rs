//! Finds out why a sign-in with web identity failed, and describes the reason in one sentence with the fix. In a
//! sign-in, a client exchanges its ServiceAccount's token for credentials of the store. Each kind of store has its own
//! error texts.

use parallax_vocab::answer::JwtReply;
use parallax_vocab::{Cause, StoreKind};

use crate::store;

/// What the run knows about a sign-in with web identity.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The ARN of the role that the sign-in requests.
    pub role: String,
    /// The ARNs of the roles that the store's log names. `None` if the log was not read to its end.
    pub roles: Option<Vec<String>>,
    /// The store's last log line about an OpenID provider that the store cannot use. `None` if the log has no such
    /// line.
    pub complaint: Option<String>,
    /// The token's claims, and whether the issuer's keys verify the token's signature. `None` if the token could not be
    /// examined.
    pub token: Option<JwtReply>,
    /// The current time in seconds since the Unix epoch.
    pub now: i64,
}

/// Returns the sentence that says why the sign-in failed, with the fix. `None` if `cause` is not a failure of the
/// sign-in, or if the error texts of this kind of store are not known.
pub fn web_identity(kind: StoreKind, chain: &Chain, cause: &Cause) -> Option<String> {
    match cause {
        Cause::Client { detail } if detail.contains("cannot be read") => Some(unreadable(detail)),
        Cause::Sts { detail, .. } => store::refused(kind, chain, detail),
        _ => None,
    }
}

fn unreadable(detail: &str) -> String {
    let repair = if detail.contains("ermission denied") {
        "the process's user may not read it: give the pod `securityContext.fsGroup`, or one `runAsUser` for all its containers"
    } else {
        "the pod has no projected token there: add a `serviceAccountToken` source to a projected volume"
    };
    format!("{detail}; {repair}")
}
