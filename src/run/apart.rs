//! Separates the variants that share an environment. A variant may see events and log lines from before the first
//! flow and from its own flow, but not from other variants' flows. So it sees what it would see in its own
//! environment.

use std::collections::BTreeSet;

use parallax_language::scenario::model::Step;
use time::OffsetDateTime;

use super::environment::Stage;
use super::error::RunError;
use crate::apply::ApplyError;
use crate::probe::events;

/// An environment before its first flow.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    at: OffsetDateTime,
    /// The events that existed; empty if no flow looks at events or if there is only one variant.
    events: BTreeSet<String>,
}

/// What one variant may see of its environment.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    /// When the environment's first flow began.
    pub(super) first: OffsetDateTime,
    /// When this variant's flow began.
    began: OffsetDateTime,
    /// Events of earlier variants' flows, which this variant must not see.
    pub(super) hidden: BTreeSet<String>,
}

impl Fresh {
    /// Records the state of an environment in which no flow has begun.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        let events = if stage.several_flows() { known(stage).await? } else { BTreeSet::new() };
        Ok(Self { at: OffsetDateTime::now_utc(), events })
    }

    /// The first variant may see everything.
    pub(super) fn first(&self) -> Apart {
        Apart { first: self.at, began: self.at, hidden: BTreeSet::new() }
    }

    /// What a variant may see if its flow begins now, after other flows in the same environment.
    pub(super) async fn next(&self, stage: &Stage<'_>) -> Result<Apart, RunError> {
        let hidden = known(stage).await?.difference(&self.events).cloned().collect();
        Ok(Apart { first: self.at, began: OffsetDateTime::now_utc(), hidden })
    }
}

impl Apart {
    /// The span in which other flows ran.
    pub(super) fn others(&self) -> std::ops::Range<OffsetDateTime> {
        self.first..self.began
    }
}

/// The existing events in all namespaces in which the flows look for events; empty if no flow looks at events.
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
