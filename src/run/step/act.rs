//! Steps that change something: carries out the change of a step, and records it for the rest of the flow.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use parallax_vocab::Cause;

use super::void::Void;
use super::{Attempt, Tried};
use crate::act::{self, ActError, Done, Scope, Victim, Workload};
use crate::apply::ApplyError;
use crate::run::environment::Stage;
use crate::run::error::RunError;
use crate::run::{concealed, reached};
use parallax_judge::Judgement;
use parallax_language::scenario::action::{Alters, Changing, EndTarget, KillTarget, StartTarget};
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{
    self, ApplyStep, Changes, DeleteStep, EndStep, KillStep, PatchStep, RestartStep, RotateStep, ScaleStep, StartStep,
    Step, Subresource, WaitStep,
};
use parallax_language::scenario::parts::Parts;
use parallax_language::scenario::target::Which;
use parallax_language::scenario::template::{Template, Tree};

/// The time limit of a step that changes something; `None` for other steps.
pub(in crate::run) fn within(step: &Step) -> Option<Duration> {
    step.action.changes().map(|it| it.reach().within.map_or(act::WITHIN, Span::to_duration))
}

/// Carries out the change of a step, by the kind of the step.
pub(super) async fn run(it: &Attempt<'_>, change: Changing<'_>) -> Result<Tried, RunError> {
    match change {
        Changing::Apply(step) => carry_out(it, step).await,
        Changing::Patch(step) => carry_out(it, step).await,
        Changing::Delete(step) => carry_out(it, step).await,
        Changing::Scale(step) => carry_out(it, step).await,
        Changing::Restart(step) => carry_out(it, step).await,
        Changing::Wait(step) => carry_out(it, step).await,
        Changing::Kill(step) => carry_out(it, step).await,
        Changing::End(step) => carry_out(it, step).await,
        Changing::Start(step) => carry_out(it, step).await,
        Changing::Rotate(step) => carry_out(it, step).await,
    }
}

/// Replaces the references in a step by values and carries out the step's change. If the cluster refuses the change, or
/// if the effect does not happen in time, the step fails, and its cause says which of the two happened.
async fn carry_out<T: Acts>(it: &Attempt<'_>, step: &T) -> Result<Tried, RunError> {
    let step = it.fill(step)?;
    it.effects.note(it.step.kind(), &step, it.namespace());
    // The future is boxed, so that the buffers of the watches do not enlarge every future that awaits it.
    match Box::pin(step.act(it)).await {
        Ok(done) => {
            let Done { value, summary, said, moments, void } = done;
            let void = void.map(|why| Void { why, fix: None });
            Ok(Tried { value, notes: vec![summary], other: Some(said), moments, void, ..Tried::default() })
        }
        Err(RunError::Act(ActError::Cause(cause))) => Ok(refused(cause)),
        Err(RunError::Apply(ApplyError::Refused { resource, source, .. })) => {
            Ok(refused(Cause::Resource { resource, detail: source.to_string() }))
        }
        Err(other) => Err(other),
    }
}

/// A kind of step that changes the environment. Before `act` is called, the references (`{{ }}`) in the step are
/// replaced by values.
trait Acts: Parts + Alters {
    /// Carries out the change and waits until it has taken effect.
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError>;
}

impl Attempt<'_> {
    /// The namespace in the step's own field (`said`). If the step has no such field, the namespace of the variant.
    fn namespace_or<'n>(&'n self, said: Option<&'n Template>) -> &'n str {
        said.map_or_else(|| self.namespace(), Template::as_str)
    }

    /// Waits until the vantages in pods reach the given Services. Returns a text about the ports that were not reached
    /// in time. The caller adds the text to the end of the step's summary. Such a port does not make the step fail,
    /// because only a later step shows whether the scenario needs the port.
    async fn unreached(&self, services: &[Service]) -> Result<String, RunError> {
        let Stage { applier, pods, .. } = self.stage;
        let unreached = reached::applied(applier.client(), pods, services).await?;
        let ports: Vec<String> = unreached.iter().map(|it| format!("; {it}")).collect();
        Ok(ports.concat())
    }

    fn scope<'n>(&'n self, namespace: &'n str) -> Scope<'n> {
        let within = within(self.step).unwrap_or(act::WITHIN);
        Scope { cluster: self.stage.scene.cluster, namespace, within }
    }
}

impl Acts for ApplyStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let mut applied = Vec::new();
        for object in &self.objects {
            concealed::register(&it.stage.context.redactor, object.value());
            let object = it.stage.applier.apply(object.value(), it.namespace(), it.place).await?;
            it.effects.applied(&object, it.stage.had(&object, it.apart.first));
            applied.push(serde_json::to_value(&object).unwrap_or_default());
        }
        let services = applied.iter().filter(|it| it["apiVersion"] == "v1" && it["kind"] == "Service");
        let services: Vec<Service> = services.filter_map(|it| serde_json::from_value(it.clone()).ok()).collect();
        let summary = format!("{} objects are applied{}", applied.len(), it.unreached(&services).await?);
        Ok(Done { summary, said: serde_json::json!({ "objects": applied }), ..Done::default() })
    }
}

impl Acts for PatchStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let places = (it.namespace_or(self.namespace.as_ref()), it.namespace());
        let of = (self.api_version.as_str(), self.kind.as_str());
        let (title, api) = it.stage.applier.locate_to_change(of, places, &self.name).await?;
        let (change, json) = match &self.changes {
            Changes::Merge(merge) => (merge.value().clone(), false),
            Changes::Json(operations) => (operations.iter().map(Tree::value).cloned().collect(), true),
        };
        let part = self.subresource.map(Subresource::name);
        Ok(act::patch(&api, &title, &self.name, part, (&change, json)).await?)
    }
}

impl Acts for DeleteStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let scope = it.scope(it.namespace_or(self.namespace.as_ref()));
        let of = (self.api_version.as_str(), self.kind.as_str());
        let places = (scope.namespace, it.namespace());
        let (title, api) = it.stage.applier.locate_to_change(of, places, &self.name).await?;
        Ok(act::delete(&scope, &api, &title, &self.name).await?)
    }
}

impl Acts for ScaleStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let replicas = self.replicas.number().map_err(|why| it.wrong(why))?;
        let scope = it.scope(it.namespace_or(self.namespace.as_ref()));
        Ok(act::scale(&scope, &workload(&self.workload), replicas).await?)
    }
}

impl Acts for RestartStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let scope = it.scope(it.namespace_or(self.namespace.as_ref()));
        Ok(act::restart(&scope, &workload(&self.workload)).await?)
    }
}

impl Acts for WaitStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let scope = it.scope(it.namespace_or(self.namespace.as_ref()));
        let (done, services) = act::wait(&scope, &workload(&self.workload)).await?;
        Ok(Done { summary: format!("{}{}", done.summary, it.unreached(&services).await?), ..done })
    }
}

impl Acts for KillStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        Ok(match &self.target {
            KillTarget::Container { pod, container, namespace, signal } => {
                let scope = it.scope(it.namespace_or(namespace.as_ref()));
                let victim = Victim { pod: Which::parse(pod), container: container.to_string(), signal: *signal };
                act::kill(&scope, &victim).await?
            }
            KillTarget::Node(node) => act::kill_node(&it.scope(it.namespace()), node).await?,
            KillTarget::Beside(beside) => act::kill_beside(&it.scope(it.namespace()), beside).await?,
        })
    }
}

impl Acts for EndStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        Ok(match &self.target {
            EndTarget::Pod { pod, namespace } => {
                let scope = it.scope(it.namespace_or(namespace.as_ref()));
                act::end(&scope, &Which::parse(pod), self.how).await?
            }
            EndTarget::Node(node) => act::end_node(&it.scope(it.namespace()), node, self.how).await?,
        })
    }
}

impl Acts for StartStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let scope = it.scope(it.namespace());
        Ok(match &self.target {
            StartTarget::Node(node) => act::start_node(&scope, node).await?,
            StartTarget::Beside(beside) => act::start_beside(&scope, beside).await?,
        })
    }
}

impl Acts for RotateStep {
    async fn act(&self, it: &Attempt<'_>) -> Result<Done, RunError> {
        let scene = &it.stage.scene;
        let planned = self.certificate.split_once('.').and_then(|(fixture, name)| {
            let contributions = scene.plan.fixtures.get(fixture)?;
            Some((fixture, contributions.certificates.iter().find(|it| it.name == name)?))
        });
        // The check of the scenario file cannot exclude this error. A variant may give the fixture other parameters,
        // and with these parameters the fixture may declare no certificate of this name.
        let (fixture, planned) =
            planned.ok_or_else(|| it.wrong(format!("there is no certificate `{}`", self.certificate)))?;
        let context = it.stage.context;
        let issuers = &scene.environment.certificates.issuers;
        let leaf = act::reissue(planned, self, issuers, context.start).map_err(ActError::from)?;
        // The harness itself connects to the store, for example to read its trace. From now on, the harness must
        // accept both the old and the new certificate of the store.
        it.stage.trust_also(fixture, &planned.name, &leaf.der);
        let redact = |secret: &parallax_vocab::Secret| context.redactor.register(secret);
        Ok(act::rotate(it.stage.applier, it.namespace(), &planned.secret, &leaf, &redact).await?)
    }
}

fn refused(cause: Cause) -> Tried {
    Tried::judged(Judgement { matchers: Vec::new(), cause: Some(cause) })
}

fn workload(said: &model::Workload) -> Workload {
    match said {
        model::Workload::Deployment(name) => Workload::Deployment(name.to_string()),
        model::Workload::StatefulSet(name) => Workload::StatefulSet(name.to_string()),
    }
}
