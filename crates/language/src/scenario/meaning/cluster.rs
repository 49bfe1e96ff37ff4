//! Steps that ask or change the cluster itself: what they name, and what they say about it.

use super::steps::Judge;
use crate::fixture::Fixture;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::duration::Span;
use crate::scenario::model::{KillStep, LogStep, PatchStep, RotateStep};
use crate::scenario::target::{EventTarget, LogTarget, WORLD};

/// The operations of a JSON patch (RFC 6902), and whether they carry a value.
const OPERATIONS: [(&str, bool); 6] =
    [("add", true), ("remove", false), ("replace", true), ("move", false), ("copy", false), ("test", true)];

impl Judge<'_> {
    pub(super) fn cluster_fields(&self, errors: &mut Vec<Diagnostic>) {
        let step = self.step;
        if let Some(log) = &step.log {
            self.log(log, errors);
        }
        if let Some(event) = &step.event
            && !event.of.contains("{{")
            && let Err(fix) = EventTarget::parse(&event.of)
        {
            let error = self.error("/event/of", format!("`{}` is no object with events", event.of));
            errors.push(error.fix(fix));
        }
        if let Some(patch) = &step.patch {
            self.patch(patch, errors);
        }
        if let Some(delete) = &step.delete {
            self.within("delete", delete.within, errors);
        }
        if let Some(scale) = &step.scale {
            self.workload("scale", scale.deployment.as_deref(), scale.stateful_set.as_deref(), errors);
            self.within("scale", scale.within, errors);
        }
        if let Some(restart) = &step.restart {
            self.workload("restart", restart.deployment.as_deref(), restart.stateful_set.as_deref(), errors);
            self.within("restart", restart.within, errors);
        }
        if let Some(kill) = &step.kill {
            self.kill(kill, errors);
        }
        if let Some(end) = &step.end {
            self.within("end", end.within, errors);
            self.pod("end", &end.pod, errors);
        }
        if let Some(rotate) = &step.rotate {
            self.rotate(rotate, errors);
        }
        if let Some(sqlite) = &step.sqlite
            && !sqlite.database.starts_with('/')
            && !sqlite.database.contains("{{")
        {
            let error = self.error("/sqlite/database", format!("`{}` is no path in a container", sqlite.database));
            errors.push(error.fix("begin it with `/`, for example `/data/app.db`"));
        }
        if let Some(replica) = &step.replica {
            self.store("replica", replica.store.as_deref(), errors);
            if replica.of.starts_with('/') || replica.of.is_empty() {
                let error = self.error("/replica/of", format!("`{}` names no bucket", replica.of));
                errors.push(error.fix("write `bucket/prefix`, or `bucket` alone"));
            }
        }
    }

    fn log(&self, log: &LogStep, errors: &mut Vec<Diagnostic>) {
        if log.of == WORLD {
            let of_containers = [
                ("container", log.container.is_some()),
                ("namespace", log.namespace.is_some()),
                ("previous", log.previous),
            ];
            for (key, _) in of_containers.into_iter().filter(|(_, given)| *given) {
                let error = self.key_error(&format!("/log/{key}"), format!("the world has no `{key}`"));
                errors.push(error.fix(format!("remove `{key}`")));
            }
        } else if !log.of.contains("{{")
            && let Err(fix) = LogTarget::parse(&log.of)
        {
            let error = self.error("/log/of", format!("`{}` is nothing that has a log", log.of));
            errors.push(error.fix(fix));
        }
        if let Ok(LogTarget::Beside(id)) = LogTarget::parse(&log.of) {
            for (key, given) in [("container", log.container.is_some()), ("previous", log.previous)] {
                if given {
                    let message = format!("a container beside the cluster has one log, which `{key}` does not divide");
                    errors.push(self.key_error(&format!("/log/{key}"), message).fix("leave it out"));
                }
            }
            let (fixtures, library) = (&self.subject.scenario.fixtures, self.subject.library);
            let beside = |name: &str| library.get(name).is_none_or(|it| !it.file.containers.is_empty());
            if !fixtures.get(&id).is_some_and(|used| beside(&used.fixture)) {
                let known = fixtures.iter().filter(|(_, used)| beside(&used.fixture)).map(|(id, _)| id.as_str());
                let error = self.error("/log/of", format!("`{id}` has no container beside the cluster"));
                errors.push(error.fix(suggest(&id, known, "fixtures with one")));
            }
        }
        let no_line = self.step.expect.as_ref().is_some_and(|expect| expect.no_line.is_some());
        if no_line && self.step.eventually.is_some() {
            let error = self.key_error("/eventually", "what is written in a log does not go away again".to_owned());
            errors.push(error.fix("remove `eventually`: a line is there, or it is not"));
        }
    }

    fn patch(&self, patch: &PatchStep, errors: &mut Vec<Diagnostic>) {
        let given: Vec<(&'static str, &str)> = [("merge", patch.merge.is_some()), ("json", patch.json.is_some())]
            .into_iter()
            .filter_map(|(name, given)| given.then_some((name, "")))
            .collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                let error = self.key_error("/patch", "`patch` says nothing to change".to_owned());
                errors.push(error.fix("give it `merge:` (the fields that differ) or `json:` (a list of operations)"));
            }
            _ => {
                let error = self.key_error("/patch/json", "`patch` has both `merge` and `json`".to_owned());
                errors.push(error.fix("make it two steps"));
            }
        }
        if patch.merge.as_ref().is_some_and(|merge| merge.as_object().is_none_or(serde_json::Map::is_empty)) {
            let error = self.key_error("/patch/merge", "`merge` holds no field".to_owned());
            errors.push(error.fix("write the fields that differ, for example `merge: { spec: { replicas: 2 } }`"));
        }
        if patch.json.as_ref().is_some_and(Vec::is_empty) {
            let error = self.key_error("/patch/json", "`json` has no operations".to_owned());
            errors.push(error.fix("write `[{ op: replace, path: /spec/replicas, value: 2 }]`"));
        }
        for (index, operation) in patch.json.iter().flatten().enumerate() {
            self.operation(&format!("/patch/json/{index}"), operation, errors);
        }
    }

    fn operation(&self, at: &str, operation: &serde_json::Value, errors: &mut Vec<Diagnostic>) {
        let names = OPERATIONS.map(|(name, _)| name);
        let Some(op) = operation["op"].as_str() else {
            let error = self.key_error(at, "an operation has no `op`".to_owned());
            errors.push(error.fix(format!("give it one of {}", list(&names))));
            return;
        };
        let Some((_, takes_value)) = OPERATIONS.iter().find(|(name, _)| *name == op) else {
            let error = self.error(&format!("{at}/op"), format!("there is no operation `{op}`"));
            errors.push(error.fix(suggest(op, names, "operations")));
            return;
        };
        match operation["path"].as_str() {
            Some(path) if path.starts_with('/') => {}
            Some(path) => {
                let error = self.error(&format!("{at}/path"), format!("`{path}` is not a path"));
                errors.push(error.fix("a path is a JSON pointer: `/spec/replicas`"));
            }
            None => {
                let error = self.key_error(at, format!("the operation `{op}` has no `path`"));
                errors.push(error.fix("add `path:`, a JSON pointer: `/spec/replicas`"));
            }
        }
        if *takes_value && operation.get("value").is_none() {
            errors.push(self.key_error(at, format!("the operation `{op}` has no `value`")).fix("add `value:`"));
        }
        if matches!(op, "move" | "copy") && !operation["from"].is_string() {
            let error = self.key_error(at, format!("the operation `{op}` has no `from`"));
            errors.push(error.fix("add `from:`, a JSON pointer"));
        }
    }

    fn workload(&self, act: &str, deployment: Option<&str>, set: Option<&str>, errors: &mut Vec<Diagnostic>) {
        match (deployment, set) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                let error = self.key_error(&format!("/{act}"), format!("`{act}` does not say of what"));
                errors.push(error.fix("add `deployment: NAME` or `stateful-set: NAME`"));
            }
            (Some(_), Some(_)) => {
                let error = self.key_error(&format!("/{act}/stateful-set"), format!("`{act}` names two workloads"));
                errors.push(error.fix("make it two steps"));
            }
        }
    }

    fn kill(&self, kill: &KillStep, errors: &mut Vec<Diagnostic>) {
        self.within("kill", kill.within, errors);
        self.pod("kill", &kill.pod, errors);
    }

    /// One pod, by name or labels.
    fn pod(&self, act: &str, pod: &str, errors: &mut Vec<Diagnostic>) {
        let named = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if !pod.contains("{{") && !named(pod) {
            let error = self.error(&format!("/{act}/pod"), format!("`{pod}` is no pod"));
            errors
                .push(error.fix("write its name, or labels that select it: `app=minio` (several: `app=db,role=main`)"));
        }
    }

    fn rotate(&self, rotate: &RotateStep, errors: &mut Vec<Diagnostic>) {
        self.certificate(&rotate.certificate, errors);
        if let Some(issuer) = &rotate.issuer {
            let fixtures = &self.subject.scenario.fixtures;
            let authorities = |name: &str| self.subject.library.get(name).is_some_and(Fixture::is_authority);
            let known: Vec<&str> =
                fixtures.iter().filter(|(_, it)| authorities(&it.fixture)).map(|(id, _)| id.as_str()).collect();
            if !known.contains(&issuer.as_str()) {
                let error = self.error("/rotate/issuer", format!("there is no certificate authority `{issuer}`"));
                errors.push(error.fix(suggest(issuer, known, "certificate authorities")));
            }
        }
        if let (Some(begins), Some(ends)) = (rotate.not_before, rotate.not_after)
            && begins >= ends
        {
            let message = format!("the certificate ends ({ends}) before it begins ({begins})");
            let error = self.key_error("/rotate/not-after", message);
            errors.push(error.fix("both are relative to the start of the run"));
        }
        if rotate.names.as_ref().is_some_and(Vec::is_empty) {
            let error = self.key_error("/rotate/names", "a certificate for no name serves nobody".to_owned());
            errors.push(error.fix("name at least one host, or leave `names` out to keep the fixture's"));
        }
    }

    /// `fixture.certificate`, both of which must be there.
    fn certificate(&self, named: &str, errors: &mut Vec<Diagnostic>) {
        let (fixtures, library) = (&self.subject.scenario.fixtures, self.subject.library);
        let all = fixtures.iter().filter_map(|(id, used)| Some((id, library.get(&used.fixture)?)));
        let all = all.flat_map(|(id, it)| it.file.certificates.keys().map(move |name| format!("{id}.{name}")));
        let all: Vec<String> = all.collect();
        if all.iter().any(|it| it == named) {
            return;
        }
        let fixture = named.split_once('.').map(|(fixture, _)| fixture);
        let message = match fixture.map(|id| (id, fixtures.get(id))) {
            None => format!("`{named}` does not name a fixture's certificate"),
            Some((id, None)) => format!("there is no fixture `{id}`"),
            // An unknown fixture is told at its own place.
            Some((_, Some(used))) if library.get(&used.fixture).is_none() => return,
            Some((id, Some(_))) => format!("fixture `{id}` has no certificate `{}`", &named[id.len() + 1..]),
        };
        let fix = if all.is_empty() {
            "no fixture of this scenario has a certificate".to_owned()
        } else {
            suggest(named, all.iter().map(String::as_str), "certificates")
        };
        errors.push(self.error("/rotate/certificate", message).fix(fix));
    }

    fn within(&self, act: &str, within: Option<Span>, errors: &mut Vec<Diagnostic>) {
        if let Some(within) = within.filter(|within| within.as_millis() <= 0) {
            let error = self.error(&format!("/{act}/within"), format!("a deadline of {within} has passed already"));
            errors.push(error.fix("write how long it may take at most, for example `30s`"));
        }
    }
}
