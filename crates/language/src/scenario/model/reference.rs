//! Types for references to steps. Three parts of the loader find references by these types and not by the names of YAML
//! keys: the matrix, the calculation of blocked steps, and the check that the referenced step exists.

use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::parts::{Part, Parts, See};
use crate::scenario::template::Words;

/// The keyword that marks the id of another step in the schema that the loader uses. The published schema does not
/// contain it.
pub const STEP_REFERENCE: &str = "x-step-reference";

/// The kinds of output that an earlier step provides for a later step that refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// No output. The later step needs only that the earlier step has passed.
    Done,
    /// The temporary credentials that the earlier step received.
    Credentials,
    /// The token that the earlier step used.
    Token,
    /// The certificate chain that the server sent to the earlier step.
    Chain,
    /// The fields of the form that the earlier step signed.
    Fields,
    /// The prober that the earlier step started.
    Prober,
}

impl Leaves {
    /// Returns the message for a step that does not provide this kind of output, and the fix. `None` if every step
    /// provides it, or if another check reports the mistake.
    pub fn lacking(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Credentials => Some(("returns no credentials", "use the id of an `sts` step")),
            Self::Token => Some((
                "has no token that can be used",
                "use the id of a `jwt` or `sts` step with `token:`; a token that is projected into a pod does not leave the pod",
            )),
            Self::Chain => Some(("returns no certificate chain", "use the id of a `tls` or `http` step")),
            Self::Fields => Some(("signs no form", "use the id of a `presign` step with `post`")),
            Self::Done | Self::Prober => None,
        }
    }
}

/// Defines a type for the id of an earlier step. Each use of the macro also gives the kind of output that the step must
/// provide.
macro_rules! step_reference {
    ($(#[$doc:meta])* $name:ident, $leaves:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", STEP_REFERENCE: true })
            }
        }

        impl Parts for $name {
            fn see<'p>(&'p self, at: &mut String, to: &mut See<'_, 'p>) {
                to(at, Part::Step(&self.0, $leaves));
            }

            fn filled(&self, _: &Words<'_>) -> Result<Self, String> {
                Ok(self.clone())
            }
        }
    };
}

step_reference!(
    /// The id of a step that must have passed.
    StepRef,
    Leaves::Done
);
step_reference!(
    /// The id of a step that returned credentials.
    CredentialsOf,
    Leaves::Credentials
);
step_reference!(
    /// The id of a step that used a token.
    TokenOf,
    Leaves::Token
);
step_reference!(
    /// The id of a step that saw a server's certificate chain.
    ChainOf,
    Leaves::Chain
);
step_reference!(
    /// The id of a step that signed a form.
    FieldsOf,
    Leaves::Fields
);
step_reference!(
    /// The id of a step that started a prober.
    ProberOf,
    Leaves::Prober
);
