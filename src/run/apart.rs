//! Separates the variants that share an environment from each other. A variant may see the events and log lines from
//! before the first flow and from its own flow, but not those from the flows of other variants. So each variant sees
//! the same as in an environment of its own.

use std::collections::BTreeSet;

use parallax_language::scenario::model::Step;
use time::OffsetDateTime;

use super::environment::Stage;
use super::error::RunError;
use crate::apply::ApplyError;
use crate::probe::events;

/// The state of an environment before its first flow. `at` is the time at which the state was read.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    at: OffsetDateTime,
    /// Keys of the events that existed at the time `at`. Only the flows after the first one need these keys. So the set
    /// is empty if no second flow can follow, or if no flow reads events.
    events: BTreeSet<String>,
}

/// Which events and log lines one variant may see in its environment.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    /// The time at which the environment's first flow began.
    pub(super) first: OffsetDateTime,
    /// The time at which this variant's flow began.
    began: OffsetDateTime,
    /// Keys of the events from earlier variants' flows, which this variant must not see.
    pub(super) hidden: BTreeSet<String>,
}

impl Fresh {
    /// Records the state of an environment in which no flow has begun.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        let events = if stage.several_flows() { known(stage).await? } else { BTreeSet::new() };
        Ok(Self { at: OffsetDateTime::now_utc(), events })
    }

    /// Returns what the environment's first variant may see: all events and log lines.
    pub(super) fn first(&self) -> Apart {
        Apart { first: self.at, began: self.at, hidden: BTreeSet::new() }
    }

    /// Returns which events and log lines a variant may see if its flow begins now, after other flows in the same
    /// environment.
    pub(super) async fn next(&self, stage: &Stage<'_>) -> Result<Apart, RunError> {
        let hidden = known(stage).await?.difference(&self.events).cloned().collect();
        Ok(Apart { first: self.at, began: OffsetDateTime::now_utc(), hidden })
    }
}

impl Apart {
    /// The time range in which the flows of earlier variants ran. Log lines from this range are hidden.
    pub(super) fn others(&self) -> std::ops::Range<OffsetDateTime> {
        self.first..self.began
    }
}

/// Keys of the events that exist now in every namespace from which a flow reads events. The set is empty if no flow
/// reads events.
async fn known(stage: &Stage<'_>) -> Result<BTreeSet<String>, RunError> {
    let plan = stage.scene.plan;
    let steps = plan.variants.iter().flat_map(|it| it.variant.scenario.steps());
    let of_step = |step: &Step| step.action.looks()?.events().map(|it| it.namespace.as_ref().map(ToString::to_string));
    let looks: Vec<Option<String>> = steps.filter_map(|it| of_step(it.step)).collect();
    // Events of cluster-scoped objects are recorded in the namespace `default`.
    let named = looks.iter().filter_map(|it| it.as_deref()).chain(["default"]);
    let namespaces: BTreeSet<&str> = named.chain([plan.namespace.as_str()]).collect();
    let mut known = BTreeSet::new();
    for namespace in namespaces.into_iter().filter(|_| !looks.is_empty()) {
        let found = events::known(stage.applier.client(), namespace).await;
        let doing = || format!("list the events of {namespace}");
        known.extend(found.map_err(|source| ApplyError::Api { doing: doing(), source })?);
    }
    Ok(known)
}
