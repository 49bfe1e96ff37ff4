//! Provides the values that a step's question needs in addition to the step itself.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Secret;
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::S3Access;

use super::results::Results;
use super::scene::Scene;
use crate::apply::TOKEN_FILE;
use parallax_language::scenario::action::asking::Asking;

/// The values that a question needs in addition to the step.
pub(super) struct Known<'a> {
    pub(super) scene: &'a Scene<'a>,
    /// The results of earlier steps.
    pub(super) results: &'a Results,
    /// The token that the step creates or takes from another step. `None` if the step uses the pod's token file.
    pub(super) token: Option<Secret>,
    /// The environment variables that the vantage declares for programs.
    pub(super) variables: &'a IndexMap<String, String>,
}

impl Asking for Known<'_> {
    fn endpoint(&self, store: Option<&str>) -> Result<String, String> {
        self.scene.store(store).map(|(_, store)| store.endpoint.clone())
    }

    fn store(&self, store: Option<&str>) -> Result<S3Access, String> {
        let (fixture, store) = self.scene.store(store)?;
        self.scene.access(fixture, store)
    }

    fn credentials(&self, step: &str) -> Option<&TemporaryCredentials> {
        self.results.credentials(step)
    }

    fn form(&self, step: &str) -> Option<&BTreeMap<String, String>> {
        self.results.presigned.get(step).map(|(_, signed)| &signed.fields)
    }

    fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }

    fn token_file(&self) -> &str {
        TOKEN_FILE
    }

    fn variables(&self) -> &IndexMap<String, String> {
        self.variables
    }
}
