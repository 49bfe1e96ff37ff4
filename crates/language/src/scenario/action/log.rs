//! `log`: what containers wrote.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kinded, Nature, Rules};
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::meaning::Judge;
use crate::scenario::model::{Source, StepRef};
use crate::scenario::parts::parts;
use crate::scenario::target::{LogTarget, WORLD};
use crate::scenario::template::Template;
/// Read what containers wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogStep {
    /// Whose: `deployment/minio`, `stateful-set/db`, `pod/db-0`; `beside/store`, the container that this fixture put beside the
    /// cluster; or `world`, the name server that knows what is outside the cluster, with a line for each question:
    /// `10.89.0.3 asked for sts.us-east-1.amazonaws.com A: no-such-name`. Every pod of the cluster asks it, through CoreDNS.
    pub of: Template,
    /// Name of the container; where pods have one only, it is that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Template>,
    /// Its namespace; the variant's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Template>,
    /// What the container's instance before the present one wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub previous: bool,
    /// Only what was written after this earlier step had ended. Where it is left out, everything but what was written while
    /// other variants had the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<StepRef>,
}

parts!(LogStep { of, container, namespace, previous, since });

impl Kinded for LogStep {
    const NATURE: Nature = Nature::look(&["resource", "mismatch"]);
}

impl Rules for LogStep {
    fn brings(&self) -> Vec<Source> {
        vec![Source::Log]
    }

    fn check(&self, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        if self.of.as_str() == WORLD {
            let of_containers = [
                ("container", self.container.is_some()),
                ("namespace", self.namespace.is_some()),
                ("previous", self.previous),
            ];
            for (key, _) in of_containers.into_iter().filter(|(_, given)| *given) {
                let error = judge.key_error(&format!("/log/{key}"), format!("the world has no `{key}`"));
                errors.push(error.fix(format!("remove `{key}`")));
            }
        } else if !self.of.is_open()
            && let Err(fix) = LogTarget::parse(&self.of)
        {
            let error = judge.error("/log/of", format!("`{}` is nothing that has a log", self.of.as_str()));
            errors.push(error.fix(fix));
        }
        if let Ok(LogTarget::Beside(id)) = LogTarget::parse(&self.of) {
            self.check_beside(&id, judge, errors);
        }
        let no_line = judge.step.expect.as_ref().is_some_and(|expect| expect.no_line.is_some());
        if no_line && judge.step.eventually.is_some() {
            let error = judge.key_error("/eventually", "what is written in a log does not go away again".to_owned());
            errors.push(error.fix("remove `eventually`: a line is there, or it is not"));
        }
    }
}

impl LogStep {
    fn check_beside(&self, id: &str, judge: &Judge<'_>, errors: &mut Vec<Diagnostic>) {
        for (key, given) in [("container", self.container.is_some()), ("previous", self.previous)] {
            if given {
                let message = format!("a container beside the cluster has one log, which `{key}` does not divide");
                errors.push(judge.key_error(&format!("/log/{key}"), message).fix("leave it out"));
            }
        }
        let (fixtures, library) = (&judge.subject.scenario.fixtures, judge.subject.library);
        let beside = |name: &str| library.get(name).is_none_or(|it| !it.file.containers.is_empty());
        if !fixtures.get(id).is_some_and(|used| beside(&used.fixture)) {
            let known = fixtures.iter().filter(|(_, used)| beside(&used.fixture)).map(|(id, _)| id.as_str());
            let error = judge.error("/log/of", format!("`{id}` has no container beside the cluster"));
            errors.push(error.fix(suggest(id, known, "fixtures with one")));
        }
    }
}
