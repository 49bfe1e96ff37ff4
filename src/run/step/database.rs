//! The step `sqlite`: reads a database by a program that runs in the container with the database.

use kube::Api;
use parallax_vocab::{Cause, millis};
use serde_json::Value;

use super::{Attempt, Tried};
use crate::apply::ApplyError;
use crate::probe::exec::{self, NotRan};
use crate::run::error::RunError;
use parallax_judge::{Judgement, Looked};
use parallax_language::scenario::model::SqliteStep;

/// The path of the program, in the image `writer`, that reads the database.
const PROGRAM: &str = "/parallax-writer";

pub(super) async fn run(it: &Attempt<'_>, sqlite: &SqliteStep) -> Result<Tried, RunError> {
    let namespace = sqlite.namespace.as_deref().unwrap_or_else(|| it.namespace());
    let pods = Api::namespaced(it.stage.applier.client().clone(), namespace);
    let command = [PROGRAM, "look", "--database", &sqlite.database];
    let ran = Box::pin(exec::run(&pods, &sqlite.pod, &sqlite.container, &command, it.left)).await;
    let resource = format!("container {} of pod {} in namespace {namespace}", sqlite.container, sqlite.pod);
    let failed = |cause| Tried::judged(Judgement { matchers: Vec::new(), cause: Some(cause) });
    let ran = match ran {
        Ok(ran) => ran,
        Err(NotRan::Failed(detail)) => return Ok(failed(Cause::Resource { resource, detail })),
        Err(NotRan::Lost(reason)) => return Err(ApplyError::Watch { what: resource, reason }.into()),
        Err(NotRan::Late { waited }) => {
            // Either the program hangs, or the apiserver does not answer. In the second case, the database may be
            // intact, so the result is an error of the harness.
            it.answers(&resource).await?;
            let waited_ms = millis(waited);
            let detail = format!("`{PROGRAM} look` still runs in {resource}");
            return Ok(failed(Cause::Deadline { waited_ms, detail }));
        }
    };
    if ran.exit != 0 {
        let detail = ran.stderr.trim().to_owned();
        return Ok(failed(Cause::Exit { exit: ran.exit, detail }));
    }
    let Ok(seen) = serde_json::from_str(&ran.stdout) else {
        let detail = format!("`{PROGRAM} look` writes no JSON: {}", ran.stdout.trim());
        return Ok(failed(Cause::Resource { resource, detail }));
    };
    let looked = Looked::Database(Value::clone(&seen));
    let notes = vec![ran.stdout.trim().to_owned()];
    Ok(Tried { notes, other: Some(seen), ..Tried::looked(it.expect()?.as_ref(), looked) })
}
