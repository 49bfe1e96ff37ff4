//! Host names. Scenarios use common names such as `minio.example.com`. A DNS rule applies to the whole cluster.
//! Therefore each environment has names of its own for the hosts that it declares, unless it is alone in its cluster.
//!
//! This holds also for a name that only one environment declares. Otherwise, a break of another scenario that uses the
//! same name as one that nobody answers would reach the store of that environment.

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
