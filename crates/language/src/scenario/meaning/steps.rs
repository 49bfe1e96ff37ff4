//! Each step alone: one action, its vantage, its fields, its matchers.

use super::Subject;
use crate::scenario::action::Action;
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::model::{Expect, Placed, PodVantage, Signer, Step};

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, .. } in subject.scenario.steps() {
        let judge = Judge { subject, step, at };
        judge.judge(&mut errors);
    }
    errors
}

/// One step under judgement.
pub(super) struct Judge<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) step: &'a Step,
    at: String,
}

impl Judge<'_> {
    fn judge(&self, errors: &mut Vec<Diagnostic>) {
        let actions = self.step.actions();
        let id = &self.step.id;
        match actions.as_slice() {
            [action] => {
                self.vantage(*action, errors);
                self.fields(*action, errors);
                self.expect(*action, errors);
            }
            [] => {
                let keys: Vec<&str> = Action::ALL.iter().map(|action| action.key()).collect();
                let error = self.error("/id", format!("step `{id}` does nothing"));
                errors.push(error.fix(format!("give it one of {}", list(&keys))));
            }
            [first, more @ ..] => {
                for action in more {
                    let error = self.key_error(
                        &format!("/{action}"),
                        format!("step `{id}` does two things: `{first}` and `{action}`"),
                    );
                    errors.push(error.fix("make it two steps"));
                }
            }
        }
    }

    fn vantage(&self, action: Action, errors: &mut Vec<Diagnostic>) {
        let vantages = &self.subject.scenario.vantages;
        let known = vantages.keys().map(String::as_str);
        match &self.step.from {
            None if action.needs_vantage() => {
                let error = self.error("/id", format!("step `{}` does not say where it looks from", self.step.id));
                errors.push(error.fix(format!("add `from:` with a vantage{}", known_list(known))));
            }
            Some(_) if !action.needs_vantage() => {
                let error = self.key_error("/from", format!("`{action}` looks from no vantage"));
                errors.push(error.fix("remove `from`"));
            }
            Some(from) if !vantages.contains_key(from) => {
                let error = self.error("/from", format!("there is no vantage `{from}`"));
                errors.push(error.fix(suggest(from, known, "vantages")));
            }
            _ => {}
        }
    }

    fn fields(&self, action: Action, errors: &mut Vec<Diagnostic>) {
        let step = self.step;
        if let Some(background) = &step.background {
            let probe = background.probe();
            let asked = Judge { subject: self.subject, step: &probe, at: format!("{}/background", self.at) };
            for action in probe.actions() {
                asked.fields(action, errors);
            }
        }
        if let Some(http) = &step.http {
            self.http("http", http, errors);
        }
        if let Some(s3) = &step.s3 {
            self.s3("s3", s3, errors);
        }
        if let Some(presign) = &step.presign {
            self.presign("presign", presign, errors);
        }
        if let Some(script) = &step.script {
            self.script(script, errors);
        }
        if let Some(client) = &step.client {
            self.client(client, errors);
        }
        if step.sts.is_some() || step.jwt.is_some() {
            self.token(errors);
        }
        if step.vulnerable.is_some() && step.expect.is_none() && !matches!(action, Action::S3 | Action::Sts) {
            let error = self.key_error("/vulnerable", "`vulnerable` on a step that expects nothing".to_owned());
            errors.push(error.fix("add `expect:` with what shows that the attack succeeds"));
        }
        if let Some(apply) = &step.apply {
            self.manifests(&apply.objects, errors);
        }
        self.cluster_fields(errors);
        if let Some(eventually) = step.eventually {
            if eventually.as_millis() <= 0 {
                let error = self.error("/eventually", format!("a deadline of {eventually} has passed already"));
                errors.push(error.fix("write how long to wait at most, for example `30s`"));
            } else if action.leaves_it_changed() {
                let error = self.key_error("/eventually", format!("`{action}` is done once"));
                errors.push(error.fix("remove `eventually`: it waits by itself until it is done"));
            } else if step.expect.is_none()
                && !matches!(action, Action::S3 | Action::Sts | Action::Background | Action::Repeat)
            {
                let error = self.key_error("/eventually", "`eventually` without anything to wait for".to_owned());
                errors.push(error.fix("add `expect:`, or remove `eventually`"));
            }
        }
        if let Some(consistently) = step.consistently {
            if consistently.as_millis() <= 0 {
                let error = self.error("/consistently", format!("nothing can be seen to hold for {consistently}"));
                errors.push(error.fix("write how long it must hold, for example `5s`"));
            } else if step.expect.is_none() && !matches!(action, Action::S3 | Action::Background | Action::Repeat) {
                let error =
                    self.key_error("/consistently", "`consistently` without anything that must hold".to_owned());
                errors.push(error.fix("add `expect:`, or remove `consistently`"));
            }
        }
    }

    /// A token is the pod's own, or one that can be made.
    fn token(&self, errors: &mut Vec<Diagnostic>) {
        let (action, token) = match (&self.step.sts, &self.step.jwt) {
            (Some(sts), _) => ("sts", &sts.token),
            (None, Some(jwt)) => ("jwt", &jwt.token),
            (None, None) => return,
        };
        if let Some(sts) = &self.step.sts {
            self.store("sts", sts.store.as_deref(), errors);
            if sts.endpoint.as_ref().is_some_and(|it| !it.starts_with("https://") && !it.contains("{{")) {
                let error = self.error("/sts/endpoint", "a token is sent by `https` only".to_owned());
                errors.push(error.fix("write `https://host[:port]`"));
            }
        }
        let token_of = self.step.sts.as_ref().and_then(|it| it.token_of.as_ref());
        if token_of.or_else(|| self.step.jwt.as_ref().and_then(|it| it.token_of.as_ref())).is_some() {
            if token.is_some() {
                let message = format!("`{action}` has both `token` and `token-of`");
                errors.push(self.key_error(&format!("/{action}/token-of"), message).fix("keep one of the two"));
            }
            return;
        }
        let Some(token) = token else {
            let vantages = &self.subject.scenario.vantages;
            let from = self.step.from.as_ref().and_then(|id| vantages.get(id).map(|spec| (id, spec)));
            let projected = |pod: &PodVantage| pod.service_account.is_some();
            if let Some((id, _)) = from.filter(|(_, spec)| !spec.pod.as_ref().is_some_and(projected)) {
                let message = format!("vantage `{id}` has no projected token");
                errors.push(self.key_error(&format!("/{action}"), message).fix(format!(
                    "give the vantage one, `pod: {{ service-account: app }}`, or the step: `{action}: {{ token: {{ service-account: app }} }}`"
                )));
            }
            return;
        };
        let signer = token.signer.unwrap_or_default();
        if let Some(issuer) = &token.issuer {
            self.token_issuer(action, issuer, errors);
            if token.signer.is_some() {
                let message = "`issuer` says who signs, and so does `signer`".to_owned();
                errors.push(self.key_error(&format!("/{action}/token/signer"), message).fix("keep one of the two"));
            }
        }
        let by_apiserver = signer == Signer::Apiserver && token.issuer.is_none();
        if token.pod.is_some() && !by_apiserver {
            let message = "only the apiserver binds a token to a pod".to_owned();
            errors.push(self.key_error(&format!("/{action}/token/pod"), message).fix("leave out who else signs"));
        }
        let shortest_s = if by_apiserver { 600 } else { i64::MIN };
        if token.expires.is_some_and(|it| it.as_seconds() < shortest_s) {
            let message = "the apiserver gives no token that lives less than ten minutes".to_owned();
            let error = self.error(&format!("/{action}/token/expires"), message);
            errors.push(error.fix("write 10m or more, or have the harness mint it: `signer: cluster`"));
        }
        if (signer == Signer::SharedSecret) != token.secret.is_some() {
            let message = "`secret` and `signer: shared-secret` go together".to_owned();
            errors.push(self.key_error(&format!("/{action}/token"), message).fix("add the other, or remove both"));
        }
    }

    /// A fixture with a signing key.
    fn token_issuer(&self, action: &str, issuer: &str, errors: &mut Vec<Diagnostic>) {
        let (fixtures, library) = (&self.subject.scenario.fixtures, self.subject.library);
        let signs = |name: &str| library.get(name).is_none_or(|it| it.file.signing_key);
        if fixtures.get(issuer).is_some_and(|used| signs(&used.fixture)) {
            return;
        }
        let known = fixtures.iter().filter(|(_, used)| signs(&used.fixture)).map(|(id, _)| id.as_str());
        let error = self.error(&format!("/{action}/token/issuer"), format!("`{issuer}` has no key that signs tokens"));
        errors.push(error.fix(suggest(issuer, known, "fixtures with one")));
    }

    fn manifests(&self, objects: &[serde_json::Value], errors: &mut Vec<Diagnostic>) {
        for (index, object) in objects.iter().enumerate() {
            let at = format!("/apply/objects/{index}");
            for key in ["apiVersion", "kind"] {
                if !object[key].is_string() {
                    errors.push(self.key_error(&at, format!("an object has no `{key}`")).fix(format!("add `{key}:`")));
                }
            }
            if !object["metadata"]["name"].is_string() {
                let error = self.key_error(&at, "an object has no name".to_owned());
                errors.push(error.fix("add `metadata: { name: … }`"));
            }
        }
        if objects.is_empty() {
            let error = self.key_error("/apply/objects", "`apply` has no objects".to_owned());
            errors.push(error.fix("list at least one"));
        }
    }

    fn expect(&self, action: Action, errors: &mut Vec<Diagnostic>) {
        if self.step.background.as_ref().is_some_and(|it| it.probe().actions().len() != 1) {
            // Told where probers are judged; what it may expect is not known.
            return;
        }
        let takes = self.step.matchers();
        let Some(expect) = &self.step.expect else {
            // Success is what a write is expected to have; what a look is expected to see must be said.
            let client = self.step.client.as_ref();
            let s3 = self.step.s3.as_ref().or_else(|| client.and_then(|client| client.s3.as_ref()));
            let operation = s3.and_then(|s3| s3.operations().first().map(|(name, _)| *name));
            // One without an operation is told for that alone, and so is a client without a task.
            let optional = matches!(
                action,
                Action::Presign | Action::Sts | Action::Script | Action::Background | Action::Repeat | Action::Measure
            ) || action.is_act()
                || s3.is_some() && !matches!(operation, Some("get" | "head" | "list"))
                || client.is_some_and(|client| client.http.is_none() && client.s3.is_none());
            if !optional {
                let error =
                    self.error("/id", format!("step `{}` expects nothing, so it asserts nothing", self.step.id));
                errors.push(error.fix(format!("add `expect:` with any of {}", list(&takes))));
            }
            return;
        };
        let given = expect.given();
        if given.is_empty() {
            let error = self.key_error("/expect", "`expect` is empty, so nothing is asserted".to_owned());
            errors.push(error.fix(format!("`{action}` takes {}", list(&takes))));
        }
        for matcher in given.iter().filter(|matcher| !takes.contains(matcher)) {
            let message = format!("`{}` cannot expect `{matcher}`", self.what(action));
            let fix = if action == Action::Repeat {
                "move it to a step of its `flow`".to_owned()
            } else if takes.is_empty() {
                "remove `expect`: it fails when it cannot be done".to_owned()
            } else {
                format!("it takes {}", list(&takes))
            };
            errors.push(self.key_error(&format!("/expect/{matcher}"), message).fix(fix));
        }
        self.values(expect, errors);
    }

    fn values(&self, expect: &Expect, errors: &mut Vec<Diagnostic>) {
        if let Some((name, _)) = expect.headers.iter().flatten().find(|(name, _)| name.chars().any(char::is_uppercase))
        {
            let error =
                self.key_error(&format!("/expect/headers/{name}"), format!("the header `{name}` is not in lower case"));
            errors.push(error.fix(format!("write `{}`: HTTP does not tell them apart", name.to_lowercase())));
        }
        let odd = |address: &&String| !address.contains("{{") && address.parse::<std::net::IpAddr>().is_err();
        if let Some(address) = expect.address.as_ref().filter(odd) {
            let error = self.error("/expect/address", format!("`{address}` is not an address"));
            errors.push(error.fix("write an IP address or a template, for example \"{{ store.cluster-ip }}\""));
        }
        if expect.dns.is_some() && expect.address.is_some() {
            let error = self.key_error("/expect/address", "a name that does not resolve has no address".to_owned());
            errors.push(error.fix("keep one of `dns` and `address`"));
        }
        if expect.client.is_some() && expect.given().len() > 1 {
            let error =
                self.key_error("/expect/client", "a client that tells no answer has nothing else to judge".to_owned());
            errors.push(error.fix("keep `client` alone, or what the answer must be"));
        }
        if expect.absent == Some(false) {
            let error = self.error("/expect/absent", "`absent: false` says nothing about the object".to_owned());
            errors.push(error.fix("write the part that must be there: `object: { … }`"));
        } else if expect.absent.is_some() && expect.object.is_some() {
            let error = self.key_error("/expect/object", "an object that must be absent has no fields".to_owned());
            errors.push(error.fix("keep one of `absent` and `object`"));
        }
        if expect.claims.as_ref().is_some_and(|claims| claims.as_object().is_none_or(serde_json::Map::is_empty)) {
            let error = self.key_error("/expect/claims", "`claims` holds no claim".to_owned());
            errors.push(error.fix("write what the token must say, for example `claims: { aud: [sts.amazonaws.com] }`"));
        }
        let holds_nothing = |object: &serde_json::Value| object.as_object().is_none_or(serde_json::Map::is_empty);
        if expect.object.as_ref().is_some_and(holds_nothing) {
            let error = self.key_error("/expect/object", "`object` holds no field".to_owned());
            errors
                .push(error.fix("write the part that must be there, for example `object: { spec: { replicas: 1 } }`"));
        }
    }

    /// The action with its operation: `s3 put`.
    fn what(&self, action: Action) -> String {
        let operation = match action {
            Action::S3 => self.step.s3.as_ref().and_then(|s3| s3.operations().first().map(|(name, _)| *name)),
            Action::Http => self.step.http.as_ref().and_then(|http| http.methods().first().map(|(name, _)| *name)),
            _ => None,
        };
        operation.map_or_else(|| action.to_string(), |operation| format!("{action} {operation}"))
    }

    pub(super) fn error(&self, below: &str, message: String) -> Diagnostic {
        self.subject.places.error(&format!("{}{below}", self.at), message)
    }

    pub(super) fn key_error(&self, below: &str, message: String) -> Diagnostic {
        self.subject.places.key_error(&format!("{}{below}", self.at), message)
    }
}

fn known_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { String::new() } else { format!(": {}", list(&names)) }
}
