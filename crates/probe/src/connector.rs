//! An HTTP client for the AWS SDK that connects with the probe's own dialler. So the SDK's requests leave the same
//! evidence as the requests of other probes. A failure below HTTP keeps its typed cause and does not become text in
//! an SDK error.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::RuntimeComponents;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use parallax_vocab::Cause;

use crate::dial::Dialler;
use crate::http::exchange;
use crate::invalid;
use crate::target::Target;

/// The largest part of an answer's body that the SDK receives, in bytes. The body of a larger object is truncated. The
/// documents that the SDK itself parses are never this large.
const KEEP_BYTES: usize = 8 * 1024 * 1024;

/// The cause or the answer of the SDK's last request. The S3 probe reads this value in addition to the SDK's result.
#[derive(Debug, Default)]
pub(crate) struct LastRequest {
    /// The cause of the failure of the SDK's last request, if there was no answer to it.
    pub(crate) cause: Option<Cause>,
    /// The status and the headers of the answer to the SDK's last request, if there was one.
    pub(crate) head: Option<(u16, HeaderMap)>,
}

/// The HTTP client that the SDK uses for one question.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    dialler: Dialler,
    last: Arc<Mutex<LastRequest>>,
}

impl Connector {
    pub(crate) fn new(dialler: Dialler) -> Self {
        Self { dialler, last: Arc::default() }
    }

    /// Returns the cause or the answer of the SDK's last request, and clears the stored value. So a later call never
    /// returns the result of an older request.
    pub(crate) fn take_last(&self) -> LastRequest {
        std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, last: LastRequest) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    async fn send(&self, request: HttpRequest) -> Result<Response<Vec<u8>>, Cause> {
        let request = request.try_into_http1x().map_err(|why| invalid(format!("not a request: {why}")))?;
        let (head, body) = request.into_parts();
        let body = body.bytes().map(Bytes::copy_from_slice);
        let body = body.ok_or_else(|| invalid("the SDK's request body is a stream and not in memory"))?;
        let target = Target::of(&head.uri)?;
        let request = Request::from_parts(head, Full::new(body));
        let received = exchange(&self.dialler, &target, request, KEEP_BYTES).await?;
        self.remember(LastRequest { cause: None, head: Some((received.status, received.headers.clone())) });
        let mut response = Response::new(received.body);
        *response.status_mut() = http::StatusCode::from_u16(received.status).map_err(|why| invalid(why.to_string()))?;
        *response.headers_mut() = received.headers;
        Ok(response)
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            match this.send(request).await {
                Ok(response) => HttpResponse::try_from(response.map(SdkBody::from))
                    .map_err(|why| ConnectorError::other(Box::new(why), None)),
                Err(cause) => {
                    let text = cause.to_string();
                    this.remember(LastRequest { cause: Some(cause), head: None });
                    Err(ConnectorError::io(text.into()))
                }
            }
        })
    }
}
