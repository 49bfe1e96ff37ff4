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
            /// Wraps a name that the loader has already checked.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as the scenario spells it.
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
    /// One run of the harness: `r` and eight hexadecimal digits, for example `r5f09a2c1`. It is part of the name and of
    /// the labels of everything that the run creates.
    RunId
);
id!(
    /// A step of a scenario's flow.
    StepId
);
id!(
    /// A vantage: a place from which probes run, as the scenario names it.
    VantageId
);
id!(
    /// A scenario's baseline (`presign/presigned-url`) or one of its breaks (`presign/presigned-url+no-rewrite`).
    VariantId
);
impl VariantId {
    /// The scenario: `presign/presigned-url` of `presign/presigned-url+no-rewrite`.
    #[must_use]
    pub fn scenario(&self) -> &str {
        self.parts().0
    }

    /// The name of the break, or of the declared change that must pass: `no-rewrite` of
    /// `presign/presigned-url+no-rewrite`. `None` for a baseline.
    #[must_use]
    pub fn change(&self) -> Option<&str> {
        self.parts().1
    }

    /// The scenario, and the name of the break or of the declared change.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        self.0.split_once('+').map_or((&self.0, None), |(scenario, name)| (scenario, Some(name)))
    }
}
