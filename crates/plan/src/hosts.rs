//! Host names. Scenarios use common names such as `minio.example.com`. A DNS rule applies to the whole cluster.
//! Therefore each environment gets its own name for a host if several environments of a cluster declare the same one.

use std::collections::{BTreeMap, BTreeSet};

/// The name that an environment uses for a declared host. The namespace becomes the second label, so that the name
/// still shows its purpose and its environment.
pub(super) fn effective(declared: &str, namespace: &str, shared: bool) -> String {
    match (shared, declared.split_once('.')) {
        (false, _) => declared.to_owned(),
        (true, Some((first, rest))) => format!("{first}.{namespace}.{rest}"),
        (true, None) => format!("{declared}.{namespace}"),
    }
}

/// The names that more than one environment of a cluster declares.
pub(super) fn shared<'a>(declared: impl IntoIterator<Item = &'a Vec<String>>) -> BTreeSet<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for hosts in declared {
        for host in hosts {
            *count.entry(host).or_default() += 1;
        }
    }
    count.into_iter().filter(|(_, times)| *times > 1).map(|(host, _)| host.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_changed_only_where_it_is_shared() {
        for (declared, is_shared, expected) in [
            ("minio.example.com", false, "minio.example.com"),
            ("minio.example.com", true, "minio.presigned-url.example.com"),
            ("minio", true, "minio.presigned-url"),
        ] {
            assert_eq!(effective(declared, "presigned-url", is_shared), expected);
        }
    }

    #[test]
    fn names_that_two_environments_declare_are_shared() {
        let environments = [vec!["a.b".to_owned(), "c.d".to_owned()], vec!["a.b".to_owned()], vec![]];
        assert_eq!(shared(&environments), BTreeSet::from(["a.b".to_owned()]));
    }
}
