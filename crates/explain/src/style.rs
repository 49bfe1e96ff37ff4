//! Sentences about requests in virtual-host style, in which the host name begins with the bucket. Also finds out
//! whether a question has this style.

use parallax_vocab::probes::Signed;
use parallax_vocab::question::{Addressing, Question};
use url::Url;

/// The advice to use path style instead, with the names of this setting in the AWS CLI and in SDKs.
const PATH_STYLE: &str = "let the client use path style (`addressing_style = path`, `forcePathStyle`)";

/// A request whose host name begins with the bucket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Virtual {
    /// The bucket: the first label of the host name.
    pub(super) bucket: String,
    /// The rest of the host name: the domain of the store.
    pub(super) domain: String,
    /// Whether the question itself states virtual-host style. If the question contains only a URL, the style is a guess
    /// from the form of the URL.
    is_certain: bool,
}

impl Virtual {
    /// Returns the bucket and the domain of a request in virtual-host style. `None` if the request has path style, or
    /// if its style is not known. A presigned URL counts as virtual-host style if its path has one segment, because
    /// path style needs two segments, for the bucket and the key.
    pub(super) fn of(question: &Question) -> Option<Self> {
        match question.probe.facts().signed? {
            Signed::S3(s3) if s3.access.addressing == Addressing::Virtual => {
                let domain = Url::parse(&s3.access.endpoint).ok()?.host_str()?.to_owned();
                Some(Self { bucket: s3.operation.bucket().to_owned(), domain, is_certain: true })
            }
            Signed::S3(_) => None,
            Signed::Http(http) => {
                let url = Url::parse(&http.url).ok()?;
                let is_signed = url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("x-amz-signature"));
                let mut segments = url.path_segments()?.filter(|it| !it.is_empty());
                let has_one_segment = segments.next().is_some() && segments.next().is_none();
                // The store sees the header `Host`. If this header differs from the host of the URL, the URL's host is
                // that of a proxy.
                let host = match &http.host {
                    Some(sent) => sent.split(':').next().unwrap_or_default(),
                    None => url.host_str()?,
                };
                let (bucket, domain) = host.split_once('.')?;
                (is_signed && has_one_segment && domain.contains('.')).then(|| Self {
                    bucket: bucket.to_owned(),
                    domain: domain.to_owned(),
                    is_certain: false,
                })
            }
        }
    }

    /// Whether `host` is the virtual host of the request. If the request goes to a proxy, the host of the URL is a
    /// different one.
    pub(super) fn is_host(&self, host: &str) -> bool {
        host.strip_prefix(&*self.bucket).and_then(|it| it.strip_prefix('.')) == Some(&*self.domain)
    }

    /// Returns the sentence for the case that DNS does not know the virtual host of a request.
    pub(super) fn no_such_name(&self, host: &str, inside: bool) -> String {
        let Self { bucket, domain, .. } = self;
        let (whom, fix) = if inside {
            let pattern = domain.replace('.', "[.]");
            (
                "for pods",
                format!(
                    "CoreDNS needs a rule for all names below {domain} (ConfigMap coredns-custom in kube-system, a key that ends in .override: `rewrite name regex ^[^.]+[.]{pattern}[.]$ SERVICE.NAMESPACE.svc.cluster.local answer auto`), in place before CoreDNS starts or followed by its restart"
                ),
            )
        } else {
            ("outside the cluster", format!("publish `*.{domain}` there, beside {domain}"))
        };
        let style = if self.is_certain {
            format!("it is the host of the bucket `{bucket}` in virtual-host style")
        } else {
            format!("if `{bucket}` is a bucket, it is that bucket's host in virtual-host style")
        };
        format!("{host} does not exist {whom}: {style}; {fix}, or {PATH_STYLE}")
    }

    /// Returns the sentence for the case that the store answers `NoSuchBucket`. `says` is the beginning of the
    /// sentence: how the store refused the request.
    pub(super) fn no_such_bucket(&self, says: &str) -> String {
        let Self { bucket, domain, is_certain } = self;
        let style = if *is_certain {
            format!("the bucket `{bucket}` is in the host name (virtual-host style)")
        } else {
            format!("if `{bucket}` is the bucket, it is in the host name (virtual-host style)")
        };
        format!(
            "{says}: {style}, and a store that does not know its domain takes the first segment of the path for the bucket; tell the store its domain {domain} (docs/troubleshooting.md names the setting of each store), create the bucket if it is missing, or {PATH_STYLE}"
        )
    }
}

/// Returns the end of the sentence about a certificate that is not valid for `host`. `names` are the names of the
/// certificate. `None` if these names do not suggest that `host` begins with a bucket (virtual-host style).
pub(super) fn name_mismatch(host: &str, names: &[String]) -> Option<String> {
    let (label, domain) = host.split_once('.')?;
    if names.iter().any(|name| name == domain) {
        return Some(format!(
            "if `{label}` is a bucket (virtual-host style), add `*.{domain}` to the certificate, or {PATH_STYLE}; otherwise add the name that clients use"
        ));
    }
    let wildcard =
        names.iter().filter_map(|name| name.strip_prefix("*.")).find(|it| domain.ends_with(&format!(".{it}")))?;
    Some(format!(
        "`*` stands for exactly one label, and {host} has more before {wildcard}; if they are a bucket with a dot in its name, {PATH_STYLE}, or rename the bucket"
    ))
}

#[cfg(test)]
mod tests {
    use parallax_vocab::question::{HttpQuestion, Probe, View};

    use super::*;

    #[test]
    fn only_a_url_with_one_segment_shows_that_its_host_begins_with_the_bucket() {
        let signed = "X-Amz-Signature=00";
        let table = [
            (format!("https://photos.minio.example.com/a.txt?{signed}"), Some(("photos", "minio.example.com"))),
            (format!("https://photos.minio.example.com:9000/a.txt?{signed}"), Some(("photos", "minio.example.com"))),
            (format!("https://photos.minio.example.com/2026/a.txt?{signed}"), None),
            (format!("https://minio.example.com/photos/a.txt?{signed}"), None),
            (format!("https://example.com/a.txt?{signed}"), None),
            (format!("https://photos.minio.example.com/?{signed}"), None),
            // This is the URL of a bucket in path style. Without knowledge of the store, it looks like virtual-host
            // style.
            (format!("https://minio.example.com/photos?{signed}"), Some(("minio", "example.com"))),
            ("https://www.example.com/a.txt".to_owned(), None),
        ];
        for (url, expected) in table {
            let probe = Probe::Http(HttpQuestion::new("GET", url.clone()));
            let found = Virtual::of(&Question { view: View::default(), deadline_ms: 1, probe });
            let found = found.as_ref().map(|it| (it.bucket.as_str(), it.domain.as_str()));
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn the_store_sees_the_bucket_in_the_host_header() {
        for (sent, expected) in [("photos.minio.example.com:443", Some("photos")), ("minio.com", None)] {
            let url = "https://proxy.example.com/a.txt?X-Amz-Signature=00";
            let question = HttpQuestion { host: Some(sent.to_owned()), ..HttpQuestion::new("GET", url) };
            let probe = Probe::Http(question);
            let found = Virtual::of(&Question { view: View::default(), deadline_ms: 1, probe });
            assert_eq!(found.as_ref().map(|it| it.bucket.as_str()), expected, "{sent}");
            let says = found.map(|it| it.no_such_bucket("404"));
            assert!(says.is_none_or(|it| it.contains("if `photos` is the bucket")), "{sent}");
        }
    }

    #[test]
    fn a_certificate_without_the_bucket_s_host_is_told_from_one_of_another_name() {
        for (host, names, says) in [
            ("photos.minio.example.com", &["minio.example.com"][..], Some("add `*.minio.example.com`")),
            ("my.photos.minio.example.com", &["minio.example.com", "*.minio.example.com"], Some("exactly one label")),
            ("photos.minio.example.com", &["files.example.com"], None),
            ("minio.example.com", &["files.example.com"], None),
        ] {
            let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
            let found = name_mismatch(host, &names);
            assert_eq!(found.is_some(), says.is_some(), "{host} {names:?}: {found:?}");
            let found = found.unwrap_or_default();
            assert!(found.contains(says.unwrap_or_default()), "{host} {names:?}: {found}");
        }
    }
}
