//! Readiness conditions in `fails`, such as `store.ready`. A condition is written as the id of a fixture, a dot, and
//! the name of an entry of the fixture's `ready` section.

use super::breaks::{Expectations, layers};
use crate::fixture::ReadyWhen;
use crate::scenario::check::Places;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::document::join;
use crate::scenario::model::{CLUSTER_AUTHORITY, CLUSTER_READY};

/// Whether a key of `fails` refers to a readiness condition. Ids of steps contain no dot.
pub fn is_readiness(what: &str) -> bool {
    what.contains('.')
}

/// What a readiness condition in `fails` refers to.
enum Subject<'a> {
    /// The cluster itself (`cluster.ready`).
    Cluster,
    /// An entry of a fixture's `ready` section.
    Fixture(&'a ReadyWhen),
}

/// Returns the causes with which a readiness condition can fail.
fn causes(awaited: &Subject<'_>) -> &'static [&'static str] {
    match awaited {
        Subject::Cluster
        | Subject::Fixture(ReadyWhen::Deployment(_) | ReadyWhen::Objects | ReadyWhen::Admission(_)) => &["resource"],
        // The store's pods can show a cause that the store's health path does not show, so `resource` is possible too.
        Subject::Fixture(ReadyWhen::Store) => &["dns", "connect", "tls", "status", "s3", "resource"],
    }
}

/// Checks the readiness conditions that a break declares as failing.
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
        let message = format!("this break changes nothing that `{first}` depends on");
        let error = it.document.key_error(&join(&fails, first), message);
        errors.push(error.fix("change a fixture or the cluster, or declare the steps that fail"));
    }
    let fix = format!("the flow is not run if `{first}` fails; remove it");
    if let Some(step) = it.spec.fails.keys().find(|what| !is_readiness(what)) {
        let error = it.document.key_error(&join(&fails, step), format!("step `{step}` is not run"));
        errors.push(error.fix(fix.clone()));
    }
    if !it.spec.blocks.is_empty() {
        errors.push(it.document.key_error(&join(at, "blocks"), "no step is run".to_owned()).fix(fix));
    }
    errors
}

/// Returns what a readiness condition such as `store.ready` refers to, or an error with its fix.
fn entry<'a>(it: &Expectations<'a>, what: &str) -> Result<Subject<'a>, (String, String)> {
    let (id, name) = what.split_once('.').unwrap_or((what, ""));
    if id == CLUSTER_AUTHORITY {
        let unknown = || (format!("`cluster` has no readiness condition `{name}`"), format!("write `{CLUSTER_READY}`"));
        return (what == CLUSTER_READY).then_some(Subject::Cluster).ok_or_else(unknown);
    }
    let fixtures = &it.changed.fixtures;
    let Some(used) = fixtures.get(id) else {
        if it.baseline.fixtures.contains_key(id) {
            let fix = "a removed fixture has no readiness; declare the steps that fail".to_owned();
            return Err((format!("fixture `{id}` is removed by this break"), fix));
        }
        let known = fixtures.keys().map(String::as_str);
        return Err((format!("there is no fixture `{id}`"), suggest(id, known, "fixtures")));
    };
    // An unknown fixture is reported where the fixture is declared. Nothing is known about the readiness conditions of
    // an unknown fixture, so the condition is accepted.
    let Some(fixture) = it.library.get(&used.fixture) else { return Ok(Subject::Fixture(&ReadyWhen::Store)) };
    let entries = &fixture.file.ready;
    entries.iter().find(|entry| entry.name == name).map(|entry| Subject::Fixture(&entry.when)).ok_or_else(|| {
        let known = entries.iter().map(|entry| entry.name.as_str());
        let fix = if entries.is_empty() {
            format!("the fixture `{}` has no readiness conditions; declare the steps that fail", used.fixture)
        } else {
            suggest(name, known, &format!("readiness conditions of `{id}`"))
        };
        (format!("`{id}` has no readiness condition `{name}`"), fix)
    })
}
