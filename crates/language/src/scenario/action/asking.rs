//! The trait through which a step gets values of the run (endpoints, credentials, tokens) for its question.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Secret;
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::{S3Access, TokenSource};

use crate::scenario::model::CredentialsOf;
use crate::scenario::template::Template;

/// Gives a step the values of the run that its question needs.
pub trait Asking {
    /// Returns the endpoint URL of the store with this fixture id. `None` means the only store of the scenario.
    ///
    /// # Errors
    /// Returns a message that says why there is no such store.
    fn endpoint(&self, store: Option<&str>) -> Result<String, String>;

    /// Returns the endpoint and the store's own credentials for the store with this fixture id. `None` means the only
    /// store of the scenario.
    ///
    /// # Errors
    /// Returns a message that says why there is no such store.
    fn store(&self, store: Option<&str>) -> Result<S3Access, String>;

    /// Returns the temporary credentials that the earlier `sts` step `step` received; `None` if it received none.
    fn credentials(&self, step: &str) -> Option<&TemporaryCredentials>;

    /// Returns the fields of the form that the earlier `presign` step `step` signed; `None` if it signed none.
    fn form(&self, step: &str) -> Option<&BTreeMap<String, String>>;

    /// Returns the token that the harness made for this step; `None` if the step uses the pod's token file.
    fn token(&self) -> Option<&Secret>;

    /// Returns the path, in the pod, of the file with the projected ServiceAccount token.
    fn token_file(&self) -> &str;

    /// The environment variables that the vantage declares for the programs that run there.
    fn variables(&self) -> &IndexMap<String, String>;
}

/// Returns where a step finds its token: in the question itself, or in a file of the pod.
pub(super) fn token_source(asking: &dyn Asking) -> TokenSource {
    match asking.token() {
        Some(token) => TokenSource::Value(token.clone()),
        None => TokenSource::File(asking.token_file().to_owned()),
    }
}

/// Returns the endpoint and the credentials of a store. If `of` refers to an `sts` step, the temporary credentials of
/// this step replace the store's own credentials. If `dropped` is true, the session token is left out.
pub(super) fn access(
    asking: &dyn Asking,
    store: Option<&str>,
    of: Option<&CredentialsOf>,
    dropped: bool,
) -> Result<S3Access, String> {
    let access = asking.store(store)?;
    let Some(step) = of else { return Ok(access) };
    let gained = asking.credentials(step).ok_or_else(|| format!("step `{step}` gained no credentials"))?;
    Ok(S3Access {
        access_key: gained.access_key.clone(),
        secret_key: gained.secret_key.clone(),
        session_token: (!dropped).then(|| gained.session_token.clone()),
        ..access
    })
}

/// The environment variables of a program: those of the vantage and those of the step. A variable of the step replaces
/// the vantage's variable of the same name.
pub(super) fn environment(asking: &dyn Asking, more: &IndexMap<String, Template>) -> BTreeMap<String, Secret> {
    let declared = asking.variables().iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    let more = more.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    declared.chain(more).collect()
}

/// Converts each template of the map to a text.
pub(super) fn texts(map: &IndexMap<String, Template>) -> BTreeMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}
