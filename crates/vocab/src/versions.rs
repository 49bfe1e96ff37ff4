//! The versions of the systems under test that a run was asked for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The versions that a run uses in place of the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// The version of Kubernetes (`--k8s`), for example `1.33.13`; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k8s: Option<String>,
    /// The version of `MinIO` (`--minio`), for example `RELEASE.2025-09-07T16-13-09Z`; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minio: Option<String>,
}

impl Versions {
    /// Each version with the name of its option, without the dashes. Defaults are left out.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("k8s", self.k8s.as_deref()), ("minio", self.minio.as_deref())];
        all.into_iter().filter_map(|(name, version)| Some((name, version?)))
    }

    /// Whether the run uses the default of each system.
    pub fn are_defaults(&self) -> bool {
        self.named().next().is_none()
    }

    /// The arguments of a command line that ask for these versions.
    pub fn arguments(&self) -> Vec<String> {
        self.named().flat_map(|(name, version)| [format!("--{name}"), version.to_owned()]).collect()
    }

    /// The form of the versions in the id of a variant, for example `k8s-1.33.13,minio-RELEASE.2025-09-07T16-13-09Z`.
    pub fn id(&self) -> String {
        self.named().map(|(name, version)| format!("{name}-{version}")).collect::<Vec<_>>().join(",")
    }

    /// Reads the form that [`Self::id`] makes. `None` for any other text.
    pub fn of_id(id: &str) -> Option<Self> {
        let mut versions = Self::default();
        for part in id.split(',') {
            let (name, version) = part.split_once('-')?;
            let slot = match name {
                "k8s" => &mut versions.k8s,
                "minio" => &mut versions.minio,
                _ => return None,
            };
            *slot = Some(version.to_owned());
        }
        Some(versions)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.named().map(|(name, version)| format!("{name} {version}")).collect();
        f.write_str(if words.is_empty() { "the defaults" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_id_that_they_make() {
        let some = |text: &str| Some(text.to_owned());
        for (k8s, minio, id, words) in [
            (some("1.33.13"), None, "k8s-1.33.13", "k8s 1.33.13"),
            (
                None,
                some("RELEASE.2025-09-07T16-13-09Z"),
                "minio-RELEASE.2025-09-07T16-13-09Z",
                "minio RELEASE.2025-09-07T16-13-09Z",
            ),
            (some("1.35.4"), some("x"), "k8s-1.35.4,minio-x", "k8s 1.35.4, minio x"),
        ] {
            let versions = Versions { k8s, minio };
            assert_eq!((versions.id().as_str(), versions.to_string().as_str()), (id, words));
            assert_eq!(Versions::of_id(id), Some(versions));
        }
        assert_eq!(Versions::default().to_string(), "the defaults");
        for wrong in ["", "1.33", "k3s-1.33", "k8s-1.33,", "k8s"] {
            assert_eq!(Versions::of_id(wrong), None, "{wrong}");
        }
    }
}
