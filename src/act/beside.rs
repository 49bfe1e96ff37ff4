//! The steps `kill` and `start` for a container that a fixture runs outside the cluster.

use parallax_probe::unix_ms;
use parallax_vocab::course::Moment;
use serde_json::json;

use super::{ActError, Done, Scope};
use crate::cluster::{Beside, NotSo};

/// What the steps of this module do, in words. In a cluster that the harness did not start, these steps fail, and their
/// error message quotes this text.
const PURPOSE: &str = "end or start a container outside it";

/// Kills a container outside the cluster.
///
/// # Errors
///
/// Fails if the container does not run.
pub async fn kill_beside(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let at = unix_ms();
    let own = scope.cluster.own(PURPOSE)?;
    let killed = scope.in_time(&title(name), own.kill_beside(which(scope, name))).await?;
    killed.map_err(|NotSo| ActError::cause(&title(name), "it does not run"))?;
    Ok(done(name, at, "is killed"))
}

/// Starts a container outside the cluster.
///
/// # Errors
///
/// Fails if the container runs already.
pub async fn start_beside(scope: &Scope<'_>, name: &str) -> Result<Done, ActError> {
    let at = unix_ms();
    let own = scope.cluster.own(PURPOSE)?;
    let started = scope.in_time(&title(name), own.start_beside(which(scope, name))).await?;
    let address = started.map_err(|NotSo| ActError::cause(&title(name), "it runs already"))?;
    let done = done(name, at, "is started");
    Ok(Done { said: json!({ "container": name, "address": address }), ..done })
}

fn which<'a>(scope: &Scope<'a>, name: &'a str) -> Beside<'a> {
    Beside { namespace: scope.namespace, name }
}

fn title(name: &str) -> String {
    format!("container {name} beside the cluster")
}

fn done(name: &str, unix_ms: u64, what: &str) -> Done {
    let summary = format!("{} {what}", title(name));
    let moments = vec![Moment { unix_ms, what: summary.clone() }];
    Done { summary, said: json!({ "container": name }), moments, ..Done::default() }
}
