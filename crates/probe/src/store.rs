//! Requests to a store that are not S3 requests: named policies and the trace. The store's fixture declares the kind of
//! the store, such as MinIO. No other file decides which module is for which kind.

use http::HeaderMap;
use parallax_vocab::answer::S3Error;
use parallax_vocab::event::Arrived;
use parallax_vocab::question::{S3Access, View};
use parallax_vocab::{Cause, StoreKind, WitnessKind};

use crate::{invalid, minio};

/// Creates or replaces the IAM policy (JSON) with the given name.
pub async fn put_policy(kind: StoreKind, view: View, access: &S3Access, name: &str, policy: &str) -> Result<(), Cause> {
    match kind {
        StoreKind::Minio => minio::admin::put_policy(view, access, name, policy).await,
        StoreKind::S3 => {
            Err(invalid("S3 has no policies by name; say in the store's fixture whose API it has: `kind`"))
        }
    }
}

/// Returns `Ok` if a store that answered on its health path `health` can authorise requests. A store may report that it
/// is healthy before it has loaded its policies. If the store cannot authorise requests yet, the cause contains the
/// store's answer.
pub async fn authorises(kind: StoreKind, health: &str, view: View, access: &S3Access) -> Result<(), Cause> {
    match kind {
        // MinIO's other health paths answer even while its users and policies are not available. A fixture that
        // declares one of them does not need the policies, so the harness does not wait for the policies.
        StoreKind::Minio if health == minio::FULLY_READY => minio::admin::knows_its_policies(view, access).await,
        StoreKind::Minio | StoreKind::S3 => Ok(()),
    }
}

/// Reads the S3 error from the headers of an answer without a body. The caller does not know the kind of the store,
/// so this function tries the headers of every kind.
pub(crate) fn error_in_headers(status: u16, headers: &HeaderMap) -> Option<S3Error> {
    minio::error_in_headers(status, headers)
}

/// What a store reports about one request that it received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The request's id: the value of `x-amz-request-id` in the store's answer.
    pub request_id: String,
    /// The source address of the request, without the port.
    pub source: String,
    /// The `Host` header of the request, as the store received it.
    pub host: String,
    /// The request itself, as the store received it.
    pub arrived: Arrived,
}

/// One item that the store sends in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// The store served a request.
    Request(Traced),
    /// A keep-alive. The store has reported all requests that it has served so far.
    Idle,
}

/// The reason why a trace ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The store closed the trace.
    #[error("the store ended its trace")]
    Over,
    /// The store sent nothing for too long, not even a keep-alive.
    #[error("the store's trace was silent for {for_s} s")]
    Silent {
        /// The time without data, in seconds.
        for_s: u64,
    },
    /// The connection to the store broke.
    #[error("the store's trace broke off: {0}")]
    Broken(String),
    /// The store sent data that is not a trace.
    #[error("the store's trace is not valid: {0}")]
    Garbled(String),
}

/// An open trace of a store. Dropping this value closes the connection.
#[derive(Debug)]
pub struct Trace(Of);

#[derive(Debug)]
enum Of {
    Minio(minio::trace::Trace),
}

/// Opens the trace of the store at `access`, with an administrator's credentials. The trace contains every request that
/// is sent after this function has returned. `None` if the store has no witness.
pub async fn trace(witness: WitnessKind, view: View, access: &S3Access) -> Result<Option<Trace>, Cause> {
    match witness {
        WitnessKind::None => Ok(None),
        WitnessKind::MinioTrace => Ok(Some(Trace(Of::Minio(minio::trace::open(view, access).await?)))),
    }
}

impl Trace {
    /// Waits for the next item of the trace. The error says why the trace ended.
    pub async fn next(&mut self) -> Result<TraceEvent, Ended> {
        let Of::Minio(trace) = &mut self.0;
        trace.next().await
    }
}
