//! Identifiers of runs, steps, vantages and variants.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::versions::Versions;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Makes an id from a text. This function does not check the text, because the names in a scenario are
            /// checked when the scenario is loaded.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self::new(name)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// The id of a run: `r` and eight hexadecimal digits, for example `r5f09a2c1`. Everything that the run creates has
    /// this id in its name and in its labels.
    RunId
);
id!(
    /// The id of a step in a scenario's flow.
    StepId
);
id!(
    /// The name of a vantage in a scenario.
    VantageId
);
id!(
    /// The id of a variant. The id of a baseline is the id of its scenario, for example `presign/presigned-url`. The id
    /// of a break or of a declared change is the id of the scenario, a `+`, and the name of the break or of the change:
    /// `presign/presigned-url+no-rewrite`. If a run has a variant at several versions of a system, the id of the scenario
    /// is followed by `@` and these versions: `presign/presigned-url@k8s-1.33.13+no-rewrite`.
    VariantId
);
impl VariantId {
    /// The id of the scenario that the variant belongs to: `presign/presigned-url` for the variant
    /// `presign/presigned-url+no-rewrite`.
    #[must_use]
    pub fn scenario(&self) -> &str {
        self.parts().0
    }

    /// The name of the break or of the declared change: `no-rewrite` for the variant
    /// `presign/presigned-url+no-rewrite`. `None` for a baseline.
    #[must_use]
    pub fn change(&self) -> Option<&str> {
        self.parts().1
    }

    /// The id of the scenario, and the name of the break or of the declared change (`None` for a baseline).
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        self.0.split_once('+').map_or((&self.0, None), |(scenario, name)| (scenario, Some(name)))
    }

    /// The id of this variant in a run that has it at several versions. The id must not name versions already.
    #[must_use]
    pub fn at(&self, versions: &Versions) -> Self {
        let (scenario, change) = self.parts();
        let change = change.map(|it| format!("+{it}")).unwrap_or_default();
        Self(format!("{scenario}@{}{change}", versions.id()))
    }

    /// The versions that the id names; `None` if it names none.
    #[must_use]
    pub fn versions(&self) -> Option<Versions> {
        self.scenario().split_once('@').and_then(|(_, versions)| Versions::of_id(versions))
    }

    /// The id without versions, as the project has it.
    #[must_use]
    pub fn without_versions(&self) -> Self {
        if self.versions().is_none() {
            return self.clone();
        }
        let (scenario, change) = self.parts();
        let scenario = scenario.split_once('@').map_or(scenario, |(scenario, _)| scenario);
        Self(change.map_or_else(|| scenario.to_owned(), |it| format!("{scenario}+{it}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::System;

    #[test]
    fn an_id_with_versions_is_the_id_without_them_and_the_versions() {
        let versions = Versions::default().with(System::K8s, "1.33.13");
        for (plain, at) in [("presign/a", "presign/a@k8s-1.33.13"), ("presign/a+b", "presign/a@k8s-1.33.13+b")] {
            let plain = VariantId::from(plain);
            assert_eq!(plain.at(&versions).as_str(), at);
            assert_eq!(plain.at(&versions).versions().as_ref(), Some(&versions));
            assert_eq!(plain.at(&versions).without_versions(), plain);
            assert_eq!((plain.versions(), plain.without_versions()), (None, plain.clone()));
            assert_eq!(plain.at(&versions).change(), plain.change());
        }
    }
}
