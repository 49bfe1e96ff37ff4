//! `script`: runs a program of the user.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use parallax_vocab::program::RunQuestion;
use parallax_vocab::question::S3Access;
use parallax_vocab::{Probe, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::{Asking, environment};
use super::{Asks, Implied, Kinded, Nature, Rules, Special};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::{Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// The name of the image that contains most client programs. Messages suggest this image.
pub(super) const CLIENTS_IMAGE: &str = "clients";

/// Run a program of your own at the vantage. It runs in a new folder, which is its `HOME` and `TMPDIR`. Of the
/// environment variables of the agent or the harness, it inherits only `PATH`. A pod without an image runs the program
/// in the agent's image, which has no shell. An `outside` vantage without an image runs the program on the user's
/// machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScriptStep {
    /// The program and its arguments. They do not pass through a shell; for a shell write `[sh, -c, "…"]`. `{{
    /// vantage.ca }}` is the path of a file with the certificates that the vantage trusts. The environment variable
    /// `PARALLAX_CA_BUNDLE` contains the same path.
    #[schemars(length(min = 1))]
    pub run: Vec<Template>,
    /// Environment variables for the program, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Template>,
    /// The text that the program reads on standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Template>,
    /// The id of a store's fixture. The program gets `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and
    /// `AWS_SECRET_ACCESS_KEY` for this store. Without an id, these variables are not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

parts!(ScriptStep { run, env, stdin, store });

impl Kinded for ScriptStep {
    const NATURE: Nature = Nature::probe(&["exit", "mismatch", "client"]);
    const TYPICAL_MS: u64 = 1_500;
}

impl Asks for ScriptStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        let Self { run, env, stdin, store } = self.filled(words)?;
        let of_store = store.map(|store| asking.store(Some(&store)).map(variables_of)).transpose()?;
        let mut variables = environment(asking, &IndexMap::new());
        variables.extend(of_store.into_iter().flatten());
        variables.extend(env.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))));
        Ok(Probe::Run(RunQuestion {
            argv: run.iter().map(ToString::to_string).collect(),
            env: variables,
            stdin: stdin.as_deref().map(Secret::new),
        }))
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: self.store.as_deref(),
            token: None,
            token_of: None,
            presents: None,
            signs: None,
            program: Some(self),
            runs: Some(self.run.iter().map(ToString::to_string).collect()),
        }
    }
}

/// Returns the environment variables that tell AWS SDKs and tools how to reach a store.
fn variables_of(access: S3Access) -> BTreeMap<String, Secret> {
    let S3Access { endpoint, region, access_key, secret_key, session_token: _, addressing: _ } = access;
    BTreeMap::from([
        ("AWS_ENDPOINT_URL".to_owned(), Secret::new(endpoint)),
        ("AWS_REGION".to_owned(), Secret::new(region)),
        ("AWS_ACCESS_KEY_ID".to_owned(), Secret::new(access_key)),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), secret_key),
    ])
}

impl Rules for ScriptStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Program]
    }

    fn needs_expect(&self) -> bool {
        false
    }

    fn implied(&self) -> Implied {
        Implied::Success
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if self.store.is_some() {
            judge.store("script", self.store.as_deref(), errors);
        }
        variables("/script/env", &self.env, judge, errors);
        errors.extend(judge.runs_as_guest("a program"));
        // An `outside` vantage without an image has the programs of the user's machine, so only pods are checked here.
        if let Some((id, vantage)) = judge.place()
            && vantage.pod.is_some()
            && vantage.image().is_none()
        {
            let message = format!("vantage `{id}` has no programs: its image contains only the agent");
            errors.push(judge.error("/from", message).fix(judge.image_fix(CLIENTS_IMAGE)));
        }
    }
}

/// Checks that the names of environment variables are valid.
pub(super) fn variables(at: &str, env: &IndexMap<String, Template>, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    for name in env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0', ' '])) {
        let error = judge
            .key_error(&format!("{at}/{name}"), format!("`{name}` is not a valid name of an environment variable"));
        errors.push(error.fix("use only letters, digits and underscores"));
    }
}
