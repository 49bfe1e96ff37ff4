//! `log`: reads the log of containers.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Action, EventStep, Kinded, Looks, Nature, Rules};
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::meaning::Judge;
use crate::scenario::model::{Source, Stance, StepRef};
use crate::scenario::parts::parts;
use crate::scenario::target::{Aimed, LogTarget};
use crate::scenario::template::Template;
/// Read the log of containers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogStep {
    /// The workload whose log is read: `deployment/minio`, `stateful-set/db` or `pod/db-0`. `beside/store` is the
    /// container that the fixture `store` runs outside the cluster. `node/far` is the node `far` itself; until an agent
    /// node has joined, its log shows the errors of its kubelet. `world` is the name server outside the cluster, which
    /// every pod asks through CoreDNS. Its log has a line for each question: `10.89.0.3 asked for
    /// sts.us-east-1.amazonaws.com A: no-such-name`. All environments of a cluster share this name server, so a `line`
    /// must contain a name that only this environment asks for.
    pub of: Aimed<LogTarget>,
    /// The name of the container. It can be left out if the pods have only one container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Template>,
    /// The namespace of the workload. The default is the variant's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// `true`: read the log of the previous instance of the container, from before its last restart. While a container
    /// waits to start again after its second or a later end, the previous instance is the one that ended last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous: bool,
    /// Read only lines that were written after an earlier step had ended. Give the id of that step. Without `since`,
    /// all lines are read, except those written while another variant ran in the same environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<StepRef>,
}

parts!(LogStep { of, container, namespace, previous, since });

impl Kinded for LogStep {
    const NATURE: Nature = Nature::look(&["resource", "mismatch"]);
    const TYPICAL_MS: u64 = 900;
}

impl Looks for LogStep {
    fn follows(&self) -> bool {
        true
    }

    fn events(&self) -> Option<&EventStep> {
        None
    }

    fn owners(&self) -> Option<&'static str> {
        match self.of.written()? {
            Ok(LogTarget::Beside(_)) => Some("the log of a container outside the cluster"),
            Ok(LogTarget::Node(_)) => Some("the log of a node"),
            Ok(LogTarget::World) => Some("the log of the name server outside the cluster"),
            Ok(LogTarget::Deployment(_) | LogTarget::StatefulSet(_) | LogTarget::Pod(_)) | Err(_) => None,
        }
    }
}

impl Action {
    /// Whether the step reads the log of the name server outside the cluster, which all environments of a cluster ask.
    pub fn reads_world(&self) -> bool {
        matches!(self, Self::Log(it) if matches!(it.of.written(), Some(Ok(LogTarget::World))))
    }
}

impl Rules for LogStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Log]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        match self.of.written() {
            None | Some(Ok(LogTarget::Deployment(_) | LogTarget::StatefulSet(_) | LogTarget::Pod(_))) => {}
            Some(Ok(LogTarget::Beside(id))) => self.check_beside(id, judge, errors),
            Some(Ok(LogTarget::Node(name))) => self.check_node(name, judge, errors),
            Some(Ok(LogTarget::World)) => self.check_world(judge, errors),
            Some(Err(fix)) => {
                let error = judge.error("/log/of", format!("`{}` is not a valid target of `log`", self.of.text()));
                errors.push(error.fix(fix));
            }
        }
        let no_line = judge.step.expect.as_ref().is_some_and(|expect| expect.takes(Stance::Silence));
        if no_line && judge.step.eventually.is_some() {
            let error = judge
                .key_error("/eventually", "a line in a log does not disappear, so waiting has no effect".to_owned());
            errors.push(error.fix("remove `eventually`"));
        }
    }
}

impl LogStep {
    /// Reports `container` and `previous` for a container outside the cluster and for a node, which is a container too.
    /// These keys have no effect, because the container engine keeps exactly one log for each of its containers.
    fn one_log(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        for (key, given) in [("container", self.container.is_some()), ("previous", self.previous)] {
            if given {
                let message = format!("such a container has one log, so `{key}` has no effect");
                errors.push(judge.key_error(&format!("/log/{key}"), message).fix(format!("remove `{key}`")));
            }
        }
    }

    fn check_world(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        let of_containers = [
            ("container", self.container.is_some()),
            ("namespace", self.namespace.is_some()),
            ("previous", self.previous),
        ];
        for (key, _) in of_containers.into_iter().filter(|(_, given)| *given) {
            let error =
                judge.key_error(&format!("/log/{key}"), format!("`world` is not a workload, so `{key}` has no effect"));
            errors.push(error.fix(format!("remove `{key}`")));
        }
    }

    fn check_node(&self, name: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.one_log(judge, errors);
        let nodes = &judge.subject.scenario.cluster;
        if !nodes.nodes().any(|it| it == name) {
            let error = judge.error("/log/of", format!("the cluster has no node `{name}`"));
            errors.push(error.fix(suggest(name, nodes.nodes(), "nodes")));
        }
    }

    fn check_beside(&self, id: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        self.one_log(judge, errors);
        let (fixtures, library) = (&judge.subject.scenario.fixtures, judge.subject.library);
        let beside = |name: &str| library.get(name).is_none_or(|it| !it.file.containers.is_empty());
        if !fixtures.get(id).is_some_and(|used| beside(&used.fixture)) {
            let known = fixtures.iter().filter(|(_, used)| beside(&used.fixture)).map(|(id, _)| id.as_str());
            let error = judge.error("/log/of", format!("`{id}` has no container outside the cluster"));
            errors.push(error.fix(suggest(id, known, "fixtures with such a container")));
        }
    }
}
