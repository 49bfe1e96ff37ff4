//! Readiness of fixtures in `fails`: `store.ready`, a fixture's id, a dot, and the name of an entry of its `ready`.

use super::breaks::{Expectations, layers};
use crate::fixture::ReadyWhen;
use crate::scenario::check::Places;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::document::join;
use crate::scenario::model::{CLUSTER_AUTHORITY, CLUSTER_READY};

/// Whether a key of `fails` names a readiness: ids of steps hold no dot.
pub fn is_readiness(what: &str) -> bool {
    what.contains('.')
}

/// What is waited for.
enum Awaited<'a> {
    /// The cluster itself.
    Cluster,
    /// An entry of a fixture's `ready`.
    Fixture(&'a ReadyWhen),
}

/// The causes with which a readiness can fail.
fn causes(awaited: &Awaited<'_>) -> &'static [&'static str] {
    match awaited {
        Awaited::Cluster | Awaited::Fixture(ReadyWhen::Deployment(_) | ReadyWhen::Admission(_)) => &["resource"],
        // Its pods may say what its health does not.
        Awaited::Fixture(ReadyWhen::Store) => &["dns", "connect", "tls", "status", "s3", "resource"],
    }
}

/// Checks the readinesses that a break lets fail.
pub(super) fn check(it: &Expectations<'_>, at: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let fails = join(at, "fails");
    let mut readinesses = it.spec.fails.iter().filter(|(what, _)| is_readiness(what)).peekable();
    let Some((first, _)) = readinesses.peek().copied() else { return errors };
    for (what, cause) in readinesses {
        let pointer = join(&fails, what);
        match entry(it, what) {
            Ok(awaited) => errors.extend(layers(it.document, &pointer, what, what, causes(&awaited), cause)),
            Err((message, fix)) => errors.push(it.document.key_error(&pointer, message).fix(fix)),
        }
    }
    if it.touches.fixtures.is_empty() && !it.touches.cluster {
        let message = format!("nothing that this break changes can keep `{first}` from coming");
        let error = it.document.key_error(&join(&fails, first), message);
        errors.push(error.fix("change a fixture or the cluster, or name the steps that fail"));
    }
    let fix = format!("where `{first}` does not come, the flow is not run: leave it out");
    if let Some(step) = it.spec.fails.keys().find(|what| !is_readiness(what)) {
        let error = it.document.key_error(&join(&fails, step), format!("step `{step}` is not reached"));
        errors.push(error.fix(fix.clone()));
    }
    if !it.spec.blocks.is_empty() {
        errors.push(it.document.key_error(&join(at, "blocks"), "none of the steps is reached".to_owned()).fix(fix));
    }
    errors
}

/// The entry that a readiness names, or what is wrong with the name, with the fix.
fn entry<'a>(it: &Expectations<'a>, what: &str) -> Result<Awaited<'a>, (String, String)> {
    let (id, name) = what.split_once('.').unwrap_or((what, ""));
    if id == CLUSTER_AUTHORITY {
        let unknown = || (format!("`cluster` has no readiness `{name}`"), format!("it has one: `{CLUSTER_READY}`"));
        return (what == CLUSTER_READY).then_some(Awaited::Cluster).ok_or_else(unknown);
    }
    let fixtures = &it.changed.fixtures;
    let Some(used) = fixtures.get(id) else {
        if it.baseline.fixtures.contains_key(id) {
            let fix = "what is not there is not waited for: name the steps that fail".to_owned();
            return Err((format!("fixture `{id}` is removed by this break"), fix));
        }
        let known = fixtures.keys().map(String::as_str);
        return Err((format!("there is no fixture `{id}` that could be ready"), suggest(id, known, "fixtures")));
    };
    // An unknown fixture is told at its own place, and then nothing is known of its readiness.
    let Some(fixture) = it.library.get(&used.fixture) else { return Ok(Awaited::Fixture(&ReadyWhen::Store)) };
    let entries = &fixture.file.ready;
    entries.iter().find(|entry| entry.name == name).map(|entry| Awaited::Fixture(&entry.when)).ok_or_else(|| {
        let known = entries.iter().map(|entry| entry.name.as_str());
        let fix = if entries.is_empty() {
            format!("a `{}` is not waited for: name the steps that fail", used.fixture)
        } else {
            suggest(name, known, &format!("`{id}` has"))
        };
        (format!("`{id}` has no readiness `{name}`"), fix)
    })
}
