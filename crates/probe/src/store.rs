//! Requests to a store beyond S3, as the store's fixture declares. Only this file connects a kind of store with its
//! module.

use http::HeaderMap;
use parallax_vocab::answer::S3Error;
use parallax_vocab::event::Arrived;
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Cause, StoreKind, WitnessKind};

use crate::{invalid, minio};

/// Creates or replaces a named policy (JSON).
pub async fn put_policy(kind: StoreKind, view: View, access: &S3Access, name: &str, policy: &str) -> Result<(), Cause> {
    match kind {
        StoreKind::Minio => minio::admin::put_policy(view, access, name, policy).await,
        StoreKind::S3 => {
            Err(invalid("S3 has no policies by name; say in the store's fixture whose API it has: `kind`"))
        }
    }
}

/// Whether a store that answered on its health path `health` can authorise requests. A store may report that it is
/// healthy before it has loaded its policies. The cause says what the store answered if it cannot yet.
pub async fn authorises(kind: StoreKind, health: &str, view: View, access: &S3Access) -> Result<(), Cause> {
    match kind {
        // On its other health paths, MinIO also answers while its users and policies are not available.
        StoreKind::Minio if health == minio::FULLY_READY => minio::admin::knows_its_policies(view, access).await,
        StoreKind::Minio | StoreKind::S3 => Ok(()),
    }
}

/// The error in the headers of an answer without a body. The store's kind is not known here, so the headers of every
/// kind are read.
pub(crate) fn error_in_headers(status: u16, headers: &HeaderMap) -> Option<S3Error> {
    minio::error_in_headers(status, headers)
}

/// The report of a store about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The `x-amz-request-id` of the store's answer.
    pub request_id: String,
    /// Source address, without the port.
    pub source: String,
    /// The `Host` header as it arrived.
    pub host: String,
    /// The request as it arrived.
    pub arrived: Arrived,
}

/// The next item of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// The store served a request.
    Request(Traced),
    /// A keep-alive. When the store sent it, the store had reported all requests that it had served.
    Idle,
}

/// The reason why a trace ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The store closed the trace.
    #[error("the store ended its trace")]
    Over,
    /// The store sent nothing, not even a keep-alive.
    #[error("the store's trace was silent for {for_s} s")]
    Silent {
        /// The time without data, in seconds.
        for_s: u64,
    },
    /// The connection to the store broke.
    #[error("the store's trace broke off: {0}")]
    Broken(String),
    /// The data is not a trace.
    #[error("the store's trace is not valid: {0}")]
    Garbled(String),
}

/// An open trace of a store. When it is dropped, the connection is closed.
#[derive(Debug)]
pub struct Trace(Of);

#[derive(Debug)]
enum Of {
    Minio(minio::trace::Trace),
}

/// Opens the trace of the store at `access`, with an administrator's credentials. The trace shows every request that is
/// sent after this function has returned. `None` if the store has no witness.
pub async fn trace(witness: WitnessKind, view: View, access: &S3Access) -> Result<Option<Trace>, Cause> {
    match witness {
        WitnessKind::None => Ok(None),
        WitnessKind::MinioTrace => Ok(Some(Trace(Of::Minio(minio::trace::open(view, access).await?)))),
    }
}

impl Trace {
    /// The next item. The error says why the trace ended.
    pub async fn next(&mut self) -> Result<TraceEvent, Ended> {
        let Of::Minio(trace) = &mut self.0;
        trace.next().await
    }
}
