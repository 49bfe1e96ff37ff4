//! What a store has beyond S3, as its fixture declares it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API that a store has in addition to S3. The set-up creates users and policies by this API, and failures are
/// explained from the API's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// No other API than S3: the store has no named policies, and nothing is known about how users sign in.
    #[default]
    S3,
    /// `MinIO`: named policies by its admin API, and sign-in of users by its OpenID settings.
    Minio,
}

/// The witness of a store: what tells which address sent a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessKind {
    /// No witness. Answers of such a store are judged like all others, and the report gives the number of unconfirmed
    /// answers.
    #[default]
    None,
    /// The trace that `MinIO`'s admin API delivers.
    MinioTrace,
}
