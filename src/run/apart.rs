//! What a variant may see of an environment that others used before it: all that was written before any flow began, and what was
//! written since its own began. So it sees what it would see alone.

use std::collections::BTreeSet;

use parallax_language::scenario::Action;
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
    /// The events that were there, where any flow looks at events and others come after it.
    events: BTreeSet<String>,
}

/// What one variant sees of its environment.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    /// When the environment's first flow began.
    pub(super) first: OffsetDateTime,
    /// When this variant's began.
    began: OffsetDateTime,
    /// Events of flows before it.
    pub(super) hidden: BTreeSet<String>,
}

impl Fresh {
    /// Looks at an environment in which no flow has begun.
    pub(super) async fn of(stage: &Stage<'_>) -> Result<Self, RunError> {
        let events = if stage.scene.plan.variants.len() > 1 { known(stage).await? } else { BTreeSet::new() };
        Ok(Self { at: OffsetDateTime::now_utc(), events })
    }

    /// What the first variant sees: everything.
    pub(super) fn first(&self) -> Apart {
        Apart { first: self.at, began: self.at, hidden: BTreeSet::new() }
    }

    /// What a variant sees that begins now, after others.
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

/// The events that are there, of all namespaces that the flows look into; none where no flow looks at events.
async fn known(stage: &Stage<'_>) -> Result<BTreeSet<String>, RunError> {
    let plan = stage.scene.plan;
    let steps = plan.variants.iter().flat_map(|it| it.variant.scenario.steps());
    let of_step = |step: &Step| match &step.action {
        Action::Event(it) => Some(it.namespace.as_ref().map(ToString::to_string)),
        _ => None,
    };
    let looks: Vec<Option<String>> = steps.filter_map(|it| of_step(it.step)).collect();
    // Of what lives in no namespace events are in this one.
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
