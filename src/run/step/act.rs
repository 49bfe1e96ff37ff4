//! `apply`, `patch`, `delete`, `scale`, `restart`, `kill`, `end` and `rotate`: from a step to an act, and what follows from it
//! for the rest of the flow.

use std::time::Duration;

use parallax_vocab::Cause;

use super::{Attempt, Tried};
use crate::act::{self, ActError, Done, Scope, Victim, Workload};
use crate::apply::ApplyError;
use crate::judge::Judgement;
use crate::run::concealed;
use crate::run::error::RunError;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{DeleteStep, PatchStep, RotateStep, Step};
use parallax_language::scenario::target::Which;

/// How long a step may take that acts; none for one that does not.
pub(in crate::run) fn within(step: &Step) -> Option<Duration> {
    let said = [
        step.delete.as_ref().and_then(|it| it.within),
        step.scale.as_ref().and_then(|it| it.within),
        step.restart.as_ref().and_then(|it| it.within),
        step.kill.as_ref().and_then(|it| it.within),
        step.end.as_ref().and_then(|it| it.within),
    ];
    let said = said.into_iter().flatten().next().map(Span::to_duration);
    step.action().is_act().then(|| said.unwrap_or(act::WITHIN))
}

/// Does what the step says. What the cluster refuses, and what does not come about, is the step's cause.
pub(super) async fn run(it: &Attempt<'_>) -> Result<Tried, RunError> {
    // Boxed: what acts watch with would stand in every future around this one.
    match Box::pin(it.act()).await {
        Ok(done) => {
            let Done { value, told, said, moments, void } = done;
            Ok(Tried { value, told: vec![told], other: Some(said), moments, void, ..Tried::default() })
        }
        Err(RunError::Act(ActError::Cause(cause))) => Ok(refused(cause)),
        Err(RunError::Apply(ApplyError::Refused { resource, source, .. })) => {
            Ok(refused(Cause::Resource { resource, detail: source.to_string() }))
        }
        Err(other) => Err(other),
    }
}

impl Attempt<'_> {
    async fn act(&self) -> Result<Done, RunError> {
        let wrong = |reason| self.wrong(reason);
        let step = self.filled_in()?;
        self.deeds.note(&step, self.namespace());
        let namespace = |said: &Option<String>| said.clone().unwrap_or_else(|| self.namespace().to_owned());
        let scope = |namespace| Scope {
            client: self.stage.applier.client(),
            namespace,
            within: within(&step).unwrap_or(act::WITHIN),
        };
        if let Some(apply) = &step.apply {
            return self.apply(&apply.objects).await;
        }
        if let Some(patch) = &step.patch {
            return self.patch(patch, &namespace(&patch.namespace)).await;
        }
        if let Some(delete) = &step.delete {
            let namespace = namespace(&delete.namespace);
            return self.delete(delete, &scope(&namespace)).await;
        }
        if let Some(scale) = &step.scale {
            let namespace = namespace(&scale.namespace);
            let workload = workload(scale.deployment.as_ref(), scale.stateful_set.as_ref()).map_err(wrong)?;
            return Ok(act::scale(&scope(&namespace), &workload, scale.replicas).await?);
        }
        if let Some(restart) = &step.restart {
            let namespace = namespace(&restart.namespace);
            let workload = workload(restart.deployment.as_ref(), restart.stateful_set.as_ref()).map_err(wrong)?;
            return Ok(act::restart(&scope(&namespace), &workload).await?);
        }
        if let Some(kill) = &step.kill {
            let namespace = namespace(&kill.namespace);
            let victim =
                Victim { pod: Which::parse(&kill.pod), container: kill.container.clone(), signal: kill.signal };
            let (engine, node) = (self.stage.context.site.engine(), &self.stage.scene.cluster.node.name);
            return Ok(act::kill(&scope(&namespace), engine, node, &victim).await?);
        }
        if let Some(end) = &step.end {
            let namespace = namespace(&end.namespace);
            let (engine, node) = (self.stage.context.site.engine(), &self.stage.scene.cluster.node.name);
            return Ok(act::end(&scope(&namespace), engine, node, &Which::parse(&end.pod), end.how).await?);
        }
        match &step.rotate {
            Some(rotate) => self.rotate(rotate).await?.map_err(wrong),
            None => Err(wrong("it does not act".to_owned())),
        }
    }

    async fn apply(&self, objects: &[serde_json::Value]) -> Result<Done, RunError> {
        let mut applied = Vec::new();
        for object in objects {
            concealed::register(&self.stage.context.redactor, object);
            let object = self.stage.applier.apply(object, self.namespace(), self.place).await?;
            applied.push(serde_json::to_value(&object).unwrap_or_default());
        }
        let told = format!("{} objects are applied", applied.len());
        Ok(Done { told, said: serde_json::json!({ "objects": applied }), ..Done::default() })
    }

    async fn patch(&self, it: &PatchStep, namespace: &str) -> Result<Done, RunError> {
        let (title, api) = self.stage.applier.locate(&it.api_version, &it.kind, namespace, &it.name).await?;
        let operations = it.json.clone().map(serde_json::Value::Array);
        let (change, json) = match (&it.merge, operations) {
            (Some(merge), _) => (merge.clone(), false),
            (None, operations) => (operations.unwrap_or_default(), true),
        };
        Ok(act::patch(&api, &title, &it.name, &change, json).await?)
    }

    async fn delete(&self, it: &DeleteStep, scope: &Scope<'_>) -> Result<Done, RunError> {
        let (title, api) = self.stage.applier.locate(&it.api_version, &it.kind, scope.namespace, &it.name).await?;
        Ok(act::delete(scope, &api, &title, &it.name).await?)
    }

    /// The inner error says what the loader should have refused.
    async fn rotate(&self, it: &RotateStep) -> Result<Result<Done, String>, RunError> {
        let scene = &self.stage.scene;
        let planned = it.certificate.split_once('.').and_then(|(fixture, name)| {
            let contributions = scene.plan.fixtures.get(fixture)?;
            Some((fixture, contributions.certificates.iter().find(|it| it.name == name)?))
        });
        let Some((fixture, planned)) = planned else {
            return Ok(Err(format!("there is no certificate `{}`", it.certificate)));
        };
        let context = self.stage.context;
        let issuers = &scene.environment.certificates.issuers;
        let leaf = act::reissue(planned, it, issuers, context.start).map_err(ActError::from)?;
        // Set-up traffic must reach the store under whichever of its certificates it serves when it is asked.
        self.stage.trust_also(fixture, &planned.name, &leaf.der);
        let redact = |secret: &parallax_vocab::Secret| context.redactor.register(secret);
        let done = act::rotate(self.stage.applier, self.namespace(), &planned.secret, &leaf, &redact).await?;
        Ok(Ok(done))
    }
}

fn refused(cause: Cause) -> Tried {
    Tried::judged(Judgement { matchers: Vec::new(), cause: Some(cause) })
}

fn workload(deployment: Option<&String>, set: Option<&String>) -> Result<Workload, String> {
    match (deployment, set) {
        (Some(name), _) => Ok(Workload::Deployment(name.clone())),
        (None, Some(name)) => Ok(Workload::StatefulSet(name.clone())),
        (None, None) => Err("it does not say of what".to_owned()),
    }
}
