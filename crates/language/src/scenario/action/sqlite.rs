//! `sqlite`: reads the state of an SQLite database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::nature::AT_ONCE_MS;
use super::{EventStep, Kinded, Looks, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Read the state of an SQLite database with `parallax-writer look`, in the container that holds the database. The
/// answer has the number of rows, the highest row number, and the result of `integrity_check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqliteStep {
    /// The name of the pod whose container holds the database.
    pub pod: Template,
    /// The name of the container. This container must hold the database, and its image must be `writer`.
    pub container: Template,
    /// The path of the database file in the container.
    pub database: Template,
    /// The namespace of the pod. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
}

parts!(SqliteStep { pod, container, database, namespace });

impl Kinded for SqliteStep {
    const NATURE: Nature = Nature::look(&["resource", "exit", "mismatch"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Looks for SqliteStep {
    fn follows(&self) -> bool {
        false
    }

    fn events(&self) -> Option<&EventStep> {
        None
    }
}

impl Rules for SqliteStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Database]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if !self.database.starts_with('/') && !self.database.is_open() {
            let message = format!("`{}` is not an absolute path", self.database.as_str());
            let error = judge.error("/sqlite/database", message);
            errors.push(error.fix("write a path that begins with `/`, for example `/data/app.db`"));
        }
    }
}
