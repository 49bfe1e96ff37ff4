//! MinIO's interfaces beyond S3: its admin API, its trace of requests, and the response headers in which it gives the
//! reason of a refusal.

pub(crate) mod admin;
pub(crate) mod trace;

use http::HeaderMap;
use parallax_vocab::answer::S3Error;

/// A health path of MinIO. On this path, MinIO answers 200 only if it can serve the requests of its users.
pub(crate) const FULLY_READY: &str = "/minio/health/cluster";

/// The S3 error in the headers of an answer that has no body, such as the answer to HEAD. MinIO sends these headers
/// (`cmd/api-response.go`, `writeErrorResponseHeadersOnly`).
pub(crate) fn error_in_headers(status: u16, headers: &HeaderMap) -> Option<S3Error> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-minio-error-code").filter(|_| status >= 400)?.to_owned();
    let message = header("x-minio-error-desc").unwrap_or_default().trim_matches('"').to_owned();
    Some(S3Error { code, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_body_says_its_code_in_headers() {
        let mut headers = HeaderMap::new();
        assert_eq!(error_in_headers(403, &headers), None);
        headers.insert("x-minio-error-code", "AccessDenied".parse().expect("a value"));
        headers.insert("x-minio-error-desc", "\"Request has expired\"".parse().expect("a value"));
        let expected = S3Error { code: "AccessDenied".to_owned(), message: "Request has expired".to_owned() };
        assert_eq!(error_in_headers(403, &headers), Some(expected));
        assert_eq!(error_in_headers(200, &headers), None);
    }
}
