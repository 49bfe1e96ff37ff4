//! `addressing`: where the URLs of a store have the bucket.

use parallax_vocab::question;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::scenario::parts::no_parts;

/// Where a URL has the bucket. The AWS CLI and boto3 call this setting `addressing_style`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// In the path (path style): `https://host/bucket/key`.
    #[default]
    Path,
    /// In the host name (virtual-host style): `https://bucket.host/key`.
    Virtual,
}

no_parts!(Addressing);

impl From<Addressing> for question::Addressing {
    fn from(addressing: Addressing) -> Self {
        match addressing {
            Addressing::Path => Self::Path,
            Addressing::Virtual => Self::Virtual,
        }
    }
}
