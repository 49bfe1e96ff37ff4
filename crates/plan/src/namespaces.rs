//! The namespaces of the environments, and their names.

use std::collections::BTreeSet;

/// The maximum length of the name of a namespace (RFC 1123 label).
const NAMESPACE_LIMIT: usize = 63;

/// How the environments of a plan get their namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces<'a> {
    /// Each environment has a namespace of its own. The name is made from the scenario's name.
    Each,
    /// Like `Each`, but each variant has an environment of its own, even if the variant could share one. So no variant
    /// can find what another variant left in its environment.
    Unshared,
    /// Each environment has a namespace of its own. Its name begins with this prefix, so that it differs from every
    /// existing namespace of a cluster that the harness does not own.
    Prefixed(&'a str),
    /// All environments use this existing namespace, one after the other. In the plan, each environment is alone in a
    /// cluster, so that environments with the same host names or objects do not conflict.
    One(&'a str),
}

impl Namespaces<'_> {
    /// Returns the name of an environment's namespace. `taken` contains the names that are already used, and the
    /// function adds the new name.
    pub(super) fn name(self, path: &str, break_id: Option<&str>, taken: &mut BTreeSet<String>) -> String {
        match self {
            Self::Each | Self::Unshared => namespace("", path, break_id, taken),
            Self::Prefixed(prefix) => namespace(prefix, path, break_id, taken),
            Self::One(name) => name.to_owned(),
        }
    }
}

/// The name of an environment's namespace, made from the prefix, the scenario's name and the break's id:
/// `presigned-url`, `presigned-url-no-rewrite`. If a scenario of another folder has taken the name, the folder's name
/// comes first. If this name is taken too, the name gets a number at its end.
fn namespace(prefix: &str, path: &str, break_id: Option<&str>, taken: &mut BTreeSet<String>) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let with_break = |base: &str| match break_id {
        Some(id) => format!("{prefix}{base}-{id}"),
        None => format!("{prefix}{base}"),
    };
    let mut candidates = [with_break(name), with_break(&path.replace('/', "-"))].into_iter();
    let mut number = 1;
    loop {
        let mut candidate = candidates.next().unwrap_or_else(|| {
            number += 1;
            let base = with_break(name);
            format!("{}-{number}", &base[..base.len().min(NAMESPACE_LIMIT - 8)])
        });
        candidate.truncate(NAMESPACE_LIMIT);
        // The name of a scenario's folder may contain a version with dots, but the name of a namespace must not contain
        // dots.
        let candidate = candidate.replace('.', "-");
        let candidate = candidate.trim_end_matches('-').to_owned();
        if taken.insert(candidate.clone()) {
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_keeps_names_apart_from_those_that_exist() {
        let names = |namespaces: Namespaces<'_>| {
            let taken = &mut BTreeSet::new();
            [("a/s", None), ("a/s", Some("x")), ("b/s", None)].map(|(path, id)| namespaces.name(path, id, taken))
        };
        assert_eq!(names(Namespaces::Each), ["s", "s-x", "b-s"]);
        assert_eq!(
            names(Namespaces::Prefixed("parallax-r1-")),
            ["parallax-r1-s", "parallax-r1-s-x", "parallax-r1-b-s"]
        );
        assert_eq!(names(Namespaces::One("team")), ["team", "team", "team"]);
    }
}
