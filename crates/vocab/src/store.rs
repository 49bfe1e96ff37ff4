//! What a store offers in addition to S3, as its fixture declares it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The API that a store has in addition to S3. The set-up of an environment creates users and policies by this API, and
/// the messages of the API help to explain failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// The store has no other API than S3. So the set-up cannot create named policies, and the reports cannot explain
    /// the store's own messages about web identity.
    #[default]
    S3,
    /// `MinIO`: named policies by its admin API, and sign-in of users by its OpenID settings.
    Minio,
}

/// The witness of a store: how the harness learns which address sent a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessKind {
    /// The store has no witness, so nothing confirms which address sent a request. The answers of the store are judged
    /// like all others. The report gives the number of unconfirmed answers.
    #[default]
    None,
    /// The trace that `MinIO`'s admin API delivers.
    MinioTrace,
}
