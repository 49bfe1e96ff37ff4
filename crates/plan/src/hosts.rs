//! Host names. Scenarios use common names such as `minio.example.com`, and a DNS rule applies to the whole cluster.
//! Therefore an environment that shares its cluster uses names of its own for the hosts that it declares.
//!
//! An environment gets its own name even if no other environment declares the same host. A break of another scenario
//! may use this host as a name that does not exist. If the environment kept the declared name, that break would reach
//! the store of this environment.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// The longest host name of a container (`HOST_NAME_MAX` of Linux). The engine sets the host name of a container beside
/// the cluster to the name by which clients reach the container.
const HOST_LIMIT: usize = 64;

/// The name that an environment uses for a declared host. If the environment shares its cluster, the namespace becomes
/// the second label. So the name shows both the purpose of the host and its environment. If the name would be too long,
/// the end of the namespace is replaced by a part of the namespace's digest.
pub(super) fn effective(declared: &str, namespace: &str, alone: bool) -> String {
    if alone {
        return declared.to_owned();
    }
    let with = |label: &str| match declared.split_once('.') {
        Some((first, rest)) => format!("{first}.{label}.{rest}"),
        None => format!("{declared}.{label}"),
    };
    let whole = with(namespace);
    if whole.len() <= HOST_LIMIT {
        return whole;
    }
    let digest = digest(&SHA256, namespace.as_bytes());
    let end = digest.as_ref().iter().take(4).fold("-".to_owned(), |mut end, byte| {
        let _ = write!(end, "{byte:02x}");
        end
    });
    let kept = namespace.len().saturating_sub(whole.len() - HOST_LIMIT + end.len());
    let begin = namespace.get(..kept).unwrap_or_default().trim_end_matches('-');
    with(format!("{begin}{end}").trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_only_by_an_environment_that_is_alone() {
        for (declared, alone, expected) in [
            ("minio.example.com", true, "minio.example.com"),
            ("minio.example.com", false, "minio.presigned-url.example.com"),
            ("minio", false, "minio.presigned-url"),
        ] {
            assert_eq!(effective(declared, "presigned-url", alone), expected);
        }
    }

    #[test]
    fn a_namespace_makes_no_name_longer_than_the_host_name_of_a_container() {
        let of = |namespace: &str| effective("minio.example.com", namespace, false);
        let fits = "a".repeat(HOST_LIMIT - "minio..example.com".len());
        assert_eq!(of(&fits), format!("minio.{fits}.example.com"));
        let (one, other) = (of(&format!("{fits}-one")), of(&format!("{fits}-other")));
        assert!(one.len() <= HOST_LIMIT && other.len() <= HOST_LIMIT, "{one} {other}");
        assert_ne!(one, other);
        assert!(one.starts_with("minio.aaaa") && one.ends_with(".example.com"), "{one}");
        let long = effective(&format!("{}.example.com", "h".repeat(60)), "namespace", false);
        assert!(!long.contains("..") && !long.contains(".-"), "{long}");
    }
}
