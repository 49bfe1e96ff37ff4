//! `replica`: reads the objects of a replica.

use std::collections::BTreeMap;

use parallax_vocab::Probe;
use parallax_vocab::question::{S3Operation, S3Question};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::nature::AT_ONCE_MS;
use super::{Asks, Kinded, Nature, Rules, Special};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::meaning::Judge;
use crate::scenario::model::Source;
use crate::scenario::parts::{Parts as _, parts};
use crate::scenario::template::{Template, Words};

/// Read the state of a replica from the vantage. A replica is a copy of a database in a bucket below a prefix, as
/// litestream writes it. The answer has the number of objects below the prefix, and the age of the newest object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReplicaStep {
    /// Where the replica is: `bucket` or `bucket/prefix`.
    pub of: Template,
    /// The id of the store's fixture. It can be left out if the scenario has only one store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

parts!(ReplicaStep { of, store });

impl Kinded for ReplicaStep {
    const NATURE: Nature = Nature::probe(&["dns", "connect", "tls", "status", "s3", "mismatch", "client"]);
    const TYPICAL_MS: u64 = AT_ONCE_MS;
}

impl Asks for ReplicaStep {
    fn question(&self, words: &Words<'_>, asking: &dyn Asking) -> Result<Probe, String> {
        let Self { of, store } = self.filled(words)?;
        let (bucket, prefix) = of.split_once('/').unwrap_or((&of, ""));
        let operation = S3Operation::Survey { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        let access = asking.store(store.as_deref())?;
        Ok(Probe::S3(S3Question { access, operation, headers: BTreeMap::new() }))
    }

    fn special(&self) -> Special<'_> {
        Special {
            store: self.store.as_deref(),
            token: None,
            token_of: None,
            presents: None,
            signs: None,
            program: None,
            runs: None,
        }
    }
}

impl Rules for ReplicaStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Replica]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        judge.store("replica", self.store.as_deref(), errors);
        if self.of.starts_with('/') || self.of.is_empty() {
            let error = judge.error("/replica/of", format!("`{}` does not name a bucket", self.of.as_str()));
            errors.push(error.fix("write `bucket` or `bucket/prefix`"));
        }
    }
}
