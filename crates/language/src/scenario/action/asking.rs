//! What the run provides when a step becomes a question.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::Secret;
use parallax_vocab::answer::TemporaryCredentials;
use parallax_vocab::question::{S3Access, TokenSource};

use crate::scenario::model::CredentialsOf;
use crate::scenario::template::Template;

/// What the run provides when a step becomes a question.
pub trait Asking {
    /// The endpoint of a store: of the named one, or of the only one.
    ///
    /// # Errors
    /// Says why there is no such store.
    fn endpoint(&self, store: Option<&str>) -> Result<String, String>;

    /// Access to a store with its own credentials: to the named one, or to the only one.
    ///
    /// # Errors
    /// Says why there is none.
    fn store(&self, store: Option<&str>) -> Result<S3Access, String>;

    /// The temporary credentials that an earlier `sts` step received.
    fn credentials(&self, step: &str) -> Option<&TemporaryCredentials>;

    /// The fields of the form that an earlier `presign` step signed.
    fn form(&self, step: &str) -> Option<&BTreeMap<String, String>>;

    /// The token that was made for the step; `None` if it uses the pod's token file.
    fn token(&self) -> Option<&Secret>;

    /// The path of the token that is projected into a pod.
    fn token_file(&self) -> &str;

    /// The environment variables that the vantage declares for the programs that run there.
    fn variables(&self) -> &IndexMap<String, String>;
}

/// Where the token of a step comes from.
pub(super) fn token_source(asking: &dyn Asking) -> TokenSource {
    match asking.token() {
        Some(token) => TokenSource::Value(token.clone()),
        None => TokenSource::File(asking.token_file().to_owned()),
    }
}

/// Access to a store, with the temporary credentials of step `of` if it is given. `dropped` leaves out the session
/// token.
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

/// The environment of a program: what the vantage declares, and what the step adds.
pub(super) fn environment(asking: &dyn Asking, more: &IndexMap<String, Template>) -> BTreeMap<String, Secret> {
    let declared = asking.variables().iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    let more = more.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
    declared.chain(more).collect()
}

/// Texts by name.
pub(super) fn texts(map: &IndexMap<String, Template>) -> BTreeMap<String, String> {
    map.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}
