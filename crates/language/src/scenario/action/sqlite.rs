//! `sqlite`: a look at a database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::parts;
use crate::scenario::template::Template;
/// Look at an SQLite database through the container that holds it, by `parallax-writer look`: rows, highest row,
/// `integrity_check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SqliteStep {
    /// Name of the pod.
    pub pod: Template,
    /// Name of the container, one of the image `writer`.
    pub container: Template,
    /// Path of the database in it.
    pub database: Template,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
}

parts!(SqliteStep { pod, container, database, namespace });

impl Kinded for SqliteStep {
    const NATURE: Nature = Nature::look(&["resource", "exit", "mismatch"]);
}

impl Rules for SqliteStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Database]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if !self.database.starts_with('/') && !self.database.is_open() {
            let message = format!("`{}` is no path in a container", self.database.as_str());
            let error = judge.error("/sqlite/database", message);
            errors.push(error.fix("begin it with `/`, for example `/data/app.db`"));
        }
    }
}
