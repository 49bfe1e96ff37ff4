//! `script`: a program of the user's own.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Implied, Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;

/// The image in which most programs are.
pub(super) const CLIENTS_IMAGE: &str = "clients";

/// Run a program of one's own at the vantage, in a fresh folder that is its `HOME` and `TMPDIR`. It inherits nothing but
/// `PATH`. At a vantage without an image: in the agent's image, which has no shell, or `outside` on the user's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScriptStep {
    /// Program and arguments. No shell is between: for one, write `[sh, -c, "…"]`. `{{ vantage.ca }}` is the path of a file
    /// with the certificates that the vantage trusts; so is the variable `PARALLAX_CA_BUNDLE`.
    #[schemars(length(min = 1))]
    pub run: Vec<Template>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Template>,
    /// What it reads on standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Template>,
    /// Id of a store's fixture: `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are set to
    /// reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

parts!(ScriptStep { run, env, stdin, store });

impl Kinded for ScriptStep {
    const NATURE: Nature = Nature::probe(&["exit", "mismatch", "client"]);
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
        // Outside without an image is the user's own machine.
        if let Some((id, vantage)) = judge.place()
            && vantage.pod.is_some()
            && vantage.image().is_none()
        {
            let message = format!("there is no program in vantage `{id}`: it holds the agent alone");
            errors.push(judge.error("/from", message).fix(judge.image_fix(CLIENTS_IMAGE)));
        }
    }
}

/// Names of variables that an environment can have.
pub(super) fn variables(at: &str, env: &IndexMap<String, Template>, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
    for name in env.keys().filter(|name| name.is_empty() || name.contains(['=', '\0', ' '])) {
        let error = judge.key_error(&format!("{at}/{name}"), format!("`{name}` cannot be the name of a variable"));
        errors.push(error.fix("letters, digits and underscores"));
    }
}
