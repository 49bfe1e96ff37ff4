//! The systems under test whose version can be chosen, and the versions that a run was asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Defines [`System`] from a table with one row for each system. Options, ids, records, the schema and the list of
/// images use this table, so a further system is one more row.
macro_rules! systems {
    ($($system:ident, $name:literal, $image:literal, $title:literal, $example:literal;)+) => {
        /// A system under test whose version a user can choose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum System {
            $(
                #[doc = $title]
                #[serde(rename = $name)]
                $system,
            )+
        }

        impl System {
            /// Every system, in the order in which options, ids and reports name them.
            pub const ALL: &[Self] = &[$(Self::$system),+];

            /// The name of its option without the dashes. Ids and records use this name, too. It contains no `-`, since
            /// a `-` ends it in an id.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$system => $name),+ }
            }

            /// The name in images.lock of the image that contains the system.
            pub const fn image(self) -> &'static str {
                match self { $(Self::$system => $image),+ }
            }

            /// What has the version, in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$system => $title),+ }
            }

            /// A version of it, for help texts.
            pub const fn example(self) -> &'static str {
                match self { $(Self::$system => $example),+ }
            }
        }
    };
}

systems! {
    K8s, "k8s", "k3s", "Kubernetes of the clusters that the run starts", "1.33";
    Minio, "minio", "minio", "MinIO", "2025-09-07";
    Versitygw, "versitygw", "versitygw", "Versity S3 Gateway", "1.7";
    Seaweedfs, "seaweedfs", "seaweedfs", "SeaweedFS", "4.47";
    Garage, "garage", "garage", "Garage", "2.4";
    Rgw, "rgw", "rgw", "Ceph RGW", "16.2";
}

impl System {
    /// The system with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.name() == name)
    }
}

/// The versions that a run uses in place of the defaults. A system that has no entry is at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Versions(BTreeMap<System, String>);

impl Versions {
    /// The chosen version of a system; `None` for the default.
    pub fn get(&self, system: System) -> Option<&str> {
        self.0.get(&system).map(String::as_str)
    }

    /// These versions with another version of one system.
    #[must_use]
    pub fn with(mut self, system: System, version: impl Into<String>) -> Self {
        self.0.insert(system, version.into());
        self
    }

    /// Each system with its chosen version. Defaults are left out.
    pub fn named(&self) -> impl Iterator<Item = (System, &str)> {
        self.0.iter().map(|(system, version)| (*system, version.as_str()))
    }

    /// Whether the run uses the default of each system.
    pub fn are_defaults(&self) -> bool {
        self.0.is_empty()
    }

    /// The arguments of a command line that ask for these versions.
    pub fn arguments(&self) -> Vec<String> {
        self.named().flat_map(|(system, version)| [format!("--{}", system.name()), version.to_owned()]).collect()
    }

    /// The form of the versions in the id of a variant, for example `k8s-1.33.13,minio-RELEASE.2025-09-07T16-13-09Z`.
    pub fn id(&self) -> String {
        self.named().map(|(system, version)| format!("{}-{version}", system.name())).collect::<Vec<_>>().join(",")
    }

    /// Reads the form that [`Self::id`] makes. `None` for any other text.
    pub fn of_id(id: &str) -> Option<Self> {
        let part = |part: &str| {
            let (name, version) = part.split_once('-')?;
            Some((System::of_name(name)?, version.to_owned()))
        };
        id.split(',').map(part).collect()
    }
}

impl FromIterator<(System, String)> for Versions {
    fn from_iter<T: IntoIterator<Item = (System, String)>>(versions: T) -> Self {
        Self(versions.into_iter().collect())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.named().map(|(system, version)| format!("{} {version}", system.name())).collect();
        f.write_str(if words.is_empty() { "the defaults" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

impl JsonSchema for Versions {
    fn schema_name() -> Cow<'static, str> {
        "Versions".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let property = |system: &System| {
            let (title, name) = (system.title(), system.name());
            let words = format!("The version of {title} (`--{name}`). Without this key, it is the default.");
            (name.to_owned(), serde_json::json!({ "description": words, "type": "string" }))
        };
        let properties: serde_json::Map<String, serde_json::Value> = System::ALL.iter().map(property).collect();
        json_schema!({
            "description": "The versions that a run uses in place of the defaults.",
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_id_that_they_make() {
        let minio = "RELEASE.2025-09-07T16-13-09Z";
        for (versions, id, words) in [
            (&[(System::K8s, "1.33.13")][..], "k8s-1.33.13", "k8s 1.33.13"),
            (&[(System::Minio, minio)], "minio-RELEASE.2025-09-07T16-13-09Z", "minio RELEASE.2025-09-07T16-13-09Z"),
            (&[(System::Minio, "x"), (System::K8s, "1.35.4")], "k8s-1.35.4,minio-x", "k8s 1.35.4, minio x"),
            (
                &[(System::Rgw, "16.2.15"), (System::Versitygw, "1.7.0")],
                "versitygw-1.7.0,rgw-16.2.15",
                "versitygw 1.7.0, rgw 16.2.15",
            ),
        ] {
            let versions: Versions = versions.iter().map(|(system, it)| (*system, (*it).to_owned())).collect();
            assert_eq!((versions.id().as_str(), versions.to_string().as_str()), (id, words));
            assert_eq!(Versions::of_id(id), Some(versions));
        }
        assert_eq!(Versions::default().to_string(), "the defaults");
        for wrong in ["", "1.33", "k3s-1.33", "k8s-1.33,", "k8s"] {
            assert_eq!(Versions::of_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_system_is_found_by_its_name_and_its_name_ends_before_a_version_in_an_id() {
        for system in System::ALL {
            assert_eq!(System::of_name(system.name()), Some(*system));
            assert_eq!(serde_json::json!(system), system.name());
            let versions = Versions::default().with(*system, "1-2");
            assert_eq!(Versions::of_id(&versions.id()), Some(versions), "{system:?}");
        }
        assert_eq!(System::of_name("k3s"), None, "this is the name of the image");
    }

    #[test]
    fn a_record_names_each_version_under_the_name_of_its_option() {
        // Records of earlier versions of Parallax have these keys.
        let json = serde_json::json!({ "k8s": "1.33.13", "minio": "RELEASE.2025-09-07T16-13-09Z" });
        let versions: Versions = serde_json::from_value(json.clone()).expect("versions");
        assert_eq!((versions.get(System::K8s), versions.get(System::Garage)), (Some("1.33.13"), None));
        assert_eq!(serde_json::json!(versions), json);
        assert_eq!(serde_json::json!(Versions::default()), serde_json::json!({}));
        let unknown = serde_json::from_value::<Versions>(serde_json::json!({ "k9s": "1" }));
        assert!(unknown.is_err_and(|error| error.to_string().contains("unknown variant `k9s`")));
    }
}
