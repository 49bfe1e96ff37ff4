//! Identifiers of runs, steps, vantages and variants.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Makes an id from a name that was already checked when the scenario was loaded.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The id as text, as the scenario writes it.
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
    /// The id of a run: `r` and eight hexadecimal digits, for example `r5f09a2c1`. The name and the labels of
    /// everything that the run creates contain it.
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
    /// The id of a variant: `presign/presigned-url` for the baseline of that scenario,
    /// `presign/presigned-url+no-rewrite` for its break or declared change `no-rewrite`.
    VariantId
);
impl VariantId {
    /// The id of the scenario: `presign/presigned-url` for the variant `presign/presigned-url+no-rewrite`.
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
}
