//! The properties of a store beyond S3, as its fixture declares them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API that a store has besides S3. The set-up uses it, and the explanations know its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// Only S3: no named policies, and nothing is known about how it signs users in.
    #[default]
    S3,
    /// `MinIO`: named policies through its admin API, and sign-in by its OpenID settings.
    Minio,
}

/// What reports which address sent a request to a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessKind {
    /// Nothing: the report gives the number of unconfirmed answers.
    #[default]
    None,
    /// The trace of `MinIO`'s admin API.
    MinioTrace,
}
