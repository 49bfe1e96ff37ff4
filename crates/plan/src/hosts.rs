//! Host names. Scenarios use common names such as `minio.example.com`, and a DNS rule applies to the whole cluster.
//! Therefore each environment has names of its own for the hosts that it declares, unless it is alone in its cluster.
//!
//! An environment gets its own name even if no other environment declares the same host. A break of another scenario
//! may use this host as a name that nobody answers. Without an own name, that break would reach the store of this
//! environment.

/// The name that an environment uses for a declared host. In a cluster with other environments, the namespace becomes
/// the second label, so that the name still shows its purpose and its environment.
pub(super) fn effective(declared: &str, namespace: &str, alone: bool) -> String {
    match (alone, declared.split_once('.')) {
        (true, _) => declared.to_owned(),
        (false, Some((first, rest))) => format!("{first}.{namespace}.{rest}"),
        (false, None) => format!("{declared}.{namespace}"),
    }
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
}
