//! Checks each step by itself: its vantage, its matchers, and the rules of its kind.

use super::Subject;
use crate::fixture::Fixture;
use crate::scenario::action::{Effect, Implied};
use crate::scenario::diagnostic::{Diagnostic, list, suggest};
use crate::scenario::duration::Span;
use crate::scenario::model::{
    Matcher, NumberBound, Placed, SERVER_NODE, Shape, SpanBound, Stance, Step, VantageSpec, WrittenExpect,
};
use crate::scenario::template::Template;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for Placed { step, at, group } in subject.scenario.steps() {
        let judge = Judge { subject, step, group, at };
        judge.vantage(&mut errors);
        step.action.rules().check(&judge, &mut errors);
        judge.fields(&mut errors);
        judge.expect(&mut errors);
    }
    errors
}

/// The check of one step. The code of each kind of step reports mistakes through this type.
pub struct Judge<'a> {
    /// The scenario that contains the step.
    pub subject: &'a Subject<'a>,
    /// The step that is checked.
    pub step: &'a Step,
    /// The `repeat` step that contains this step; `None` outside a `repeat`.
    pub group: Option<&'a Step>,
    at: String,
}

impl<'a> Judge<'a> {
    /// Returns a check of the same step that reports mistakes in the part of the step below `key`.
    #[must_use]
    pub fn below(&self, key: &str) -> Self {
        Self { subject: self.subject, step: self.step, group: self.group, at: format!("{}/{key}", self.at) }
    }

    /// Returns the diagnostic for a mistake in the value at `below`, a JSON pointer relative to the step.
    pub fn error(&self, below: &str, message: String) -> Diagnostic {
        self.subject.places.error(&format!("{}{below}", self.at), message)
    }

    /// Returns the diagnostic for a mistake in the key at `below`, a JSON pointer relative to the step.
    pub fn key_error(&self, below: &str, message: String) -> Diagnostic {
        self.subject.places.key_error(&format!("{}{below}", self.at), message)
    }

    /// Returns the id and the declaration of the step's vantage. `None` if the step has no vantage, or if the vantage
    /// is unknown. Another check reports an unknown vantage.
    pub fn place(&self) -> Option<(&'a String, &'a VantageSpec)> {
        self.subject.scenario.vantages.get_key_value(self.step.from.as_deref()?)
    }

    /// Returns an error if the step runs a program in an application's own pod. The agent runs no programs there,
    /// because they would take the memory of the application, and could change its files.
    pub fn runs_as_guest(&self, program: &str) -> Option<Diagnostic> {
        let (id, _) = self.place().filter(|(_, vantage)| vantage.attach.is_some())?;
        let message = format!("vantage `{id}` is an application's own pod, in which no step runs {program}");
        let fix = "ask from there by `dns`, `tls`, `http`, `s3`, `presign` or `sts`, or run it in a `pod` vantage with an image";
        Some(self.error("/from", message).fix(fix))
    }

    /// Returns the fix that adds the image `image` to the vantage of the step.
    pub fn image_fix(&self, image: &str) -> String {
        let (id, pod) = self.place().map_or(("…", true), |(id, vantage)| (id.as_str(), vantage.pod.is_some()));
        let place = if pod { "pod" } else { "outside" };
        format!("add an image to the vantage: `{id}: {{ {place}: {{ image: {image}, … }} }}`")
    }

    /// Checks that the time limit of a step is positive.
    pub fn within(&self, act: &str, within: Option<Span>, errors: &mut Vec<Diagnostic>) {
        if let Some(within) = within.filter(|within| within.as_millis() <= 0) {
            let error = self.error(&format!("/{act}/within"), format!("a time limit of {within} has already passed"));
            errors.push(error.fix("write a positive time limit, for example `30s`"));
        }
    }

    /// Checks `pod`, the text by which a step selects one pod. It must be the pod's name, or labels that select the
    /// pod.
    pub fn pod(&self, act: &str, pod: &Template, errors: &mut Vec<Diagnostic>) {
        let named = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        if !pod.is_open() && !named(pod) {
            let error =
                self.error(&format!("/{act}/pod"), format!("`{}` is neither a name nor labels of a pod", pod.as_str()));
            errors.push(
                error.fix(
                    "write the name of the pod, or labels that select it, such as `app=minio` or `app=db,role=main`",
                ),
            );
        }
    }

    /// Checks that `node` is the name of an agent node of the cluster. A reference to the server node is an error,
    /// because the cluster would end with the server.
    pub fn agent(&self, act: &str, node: &Template, errors: &mut Vec<Diagnostic>) {
        let agents = &self.subject.scenario.cluster.agents;
        let known = || agents.iter().map(|it| it.name.as_str());
        if !node.is_open() && !known().any(|it| it == node.as_str()) {
            let message = match node.as_str() {
                SERVER_NODE => format!("`{SERVER_NODE}` is the server, and the cluster would end with it"),
                other => format!("the cluster has no further node `{other}`"),
            };
            errors.push(self.error(&format!("/{act}/node"), message).fix(suggest(node, known(), "further nodes")));
        }
    }

    /// Checks `named`, a text of the form `FIXTURE.CONTAINER`. It must refer to a container that the fixture runs
    /// outside the cluster.
    pub fn beside(&self, act: &str, named: &str, errors: &mut Vec<Diagnostic>) {
        let (fixtures, library) = (&self.subject.scenario.fixtures, self.subject.library);
        // An unknown fixture is reported where the fixture is declared.
        let all = fixtures.iter().filter_map(|(id, used)| Some((id, library.get(&used.fixture)?)));
        let all = all.flat_map(|(id, it)| it.file.containers.keys().map(move |name| format!("{id}.{name}")));
        let all: Vec<String> = all.collect();
        if !all.iter().any(|it| it == named) {
            let message = format!("`{named}` does not name a container of a fixture outside the cluster");
            let fix = suggest(named, all.iter().map(String::as_str), "containers outside the cluster");
            errors.push(self.error(&format!("/{act}/beside"), message).fix(fix));
        }
    }

    /// Checks the S3 store of a step. `named` is the id of the store; `None` means the only store. `at` is the path,
    /// within the step, of the mapping that contains the key `store`.
    pub fn store(&self, at: &str, named: Option<&str>, errors: &mut Vec<Diagnostic>) {
        let action = at.rsplit('/').next().unwrap_or(at);
        let fixtures = &self.subject.scenario.fixtures;
        let library = self.subject.library;
        let is_store = |name: &str| library.get(name).is_some_and(Fixture::is_store);
        let stores: Vec<&str> =
            fixtures.iter().filter(|(_, used)| is_store(&used.fixture)).map(|(id, _)| id.as_str()).collect();
        match named {
            Some(name) if stores.contains(&name) => {}
            Some(name) => {
                let message = match fixtures.get(name) {
                    // An unknown fixture is reported where the fixture is declared.
                    Some(used) if library.get(&used.fixture).is_none() => return,
                    Some(used) => format!("`{name}` is a `{}`, which is not an S3 store", used.fixture),
                    None => format!("there is no S3 store `{name}`"),
                };
                errors.push(self.error(&format!("/{at}/store"), message).fix(suggest(name, stores, "stores")));
            }
            None if stores.len() == 1 => {}
            None if stores.is_empty() => {
                // An unknown fixture could be the store, so the error is reported only if all fixtures are known.
                if fixtures.values().all(|used| library.get(&used.fixture).is_some()) {
                    let error = self.key_error(
                        &format!("/{at}"),
                        format!("`{action}` needs an S3 store, but the scenario has none"),
                    );
                    errors.push(error.fix("add one under `fixtures`, for example `store: { use: minio, … }`"));
                }
            }
            None => {
                let error = self
                    .key_error(&format!("/{at}"), format!("`{action}` has no `store`, but the scenario has several"));
                errors.push(error.fix(format!("add `store:` with one of {}", list(&stores))));
            }
        }
    }

    fn vantage(&self, errors: &mut Vec<Diagnostic>) {
        let (kind, from_vantage) = (self.step.kind(), self.step.nature().from_vantage);
        let vantages = &self.subject.scenario.vantages;
        let known = vantages.keys().map(String::as_str);
        match &self.step.from {
            None if from_vantage => {
                let error = self.error("/id", format!("step `{}` has no vantage", self.step.id));
                errors.push(error.fix(format!("add `from:` with a vantage{}", known_list(known))));
            }
            Some(_) if !from_vantage => {
                let error = self.key_error("/from", format!("`{kind}` does not use a vantage"));
                errors.push(error.fix("remove `from`"));
            }
            Some(from) if !vantages.contains_key(from) => {
                let error = self.error("/from", format!("there is no vantage `{from}`"));
                errors.push(error.fix(suggest(from, known, "vantages")));
            }
            _ => {}
        }
    }

    /// Checks the fields that steps of every kind can have, such as `eventually`.
    fn fields(&self, errors: &mut Vec<Diagnostic>) {
        let (step, kind, nature) = (self.step, self.step.kind(), self.step.nature());
        if step.vulnerable.is_some() && step.expect.is_none() && !nature.asserts {
            let error = self.key_error("/vulnerable", "`vulnerable` needs an expectation".to_owned());
            errors.push(error.fix("add `expect:` with what a successful attack returns"));
        }
        if let Some(shows) = &step.shows {
            if shows.otherwise.is_some() && shows.missing.is_some() {
                let error =
                    self.key_error("/shows/missing", "what does not work at all cannot work otherwise".to_owned());
                errors.push(error.fix("keep one of `otherwise` and `missing`"));
            }
            if step.expect.is_none() && !nature.asserts {
                let error = self.key_error("/shows", "`shows` needs an expectation".to_owned());
                errors.push(error.fix("add `expect:` with what is answered"));
            }
        }
        // Steps of the kinds `background` and `repeat` check `eventually` and `consistently` themselves. Therefore this
        // function requires no expectation of them.
        let others = matches!(nature.effect, Effect::Starts | Effect::Groups);
        let no_expectation = step.expect.is_none() && !nature.asserts && !others;
        if let Some(eventually) = step.eventually {
            if eventually.as_millis() <= 0 {
                let error = self.error("/eventually", format!("a time limit of {eventually} has already passed"));
                errors.push(error.fix("write a positive time limit, for example `30s`"));
            } else if matches!(nature.effect, Effect::Changes | Effect::Waits) {
                let error = self.key_error("/eventually", format!("`{kind}` is done only once"));
                errors.push(error.fix("remove `eventually`; the step already waits until the change is complete"));
            } else if no_expectation {
                let error = self.key_error("/eventually", "`eventually` needs an expectation to wait for".to_owned());
                errors.push(error.fix("add `expect:`, or remove `eventually`"));
            }
        }
        if step.stays.is_some() && step.eventually.is_none() {
            let error = self.key_error("/stays", "`stays` needs `eventually`".to_owned());
            errors.push(error.fix("add `eventually:`, for example `eventually: 10s`"));
        }
        if let Some(consistently) = step.consistently {
            if consistently.as_millis() <= 0 {
                let error = self.error("/consistently", format!("an expectation cannot hold for {consistently}"));
                errors.push(error.fix("write a positive span, for example `5s`"));
            } else if no_expectation {
                let error = self.key_error("/consistently", "`consistently` needs an expectation".to_owned());
                errors.push(error.fix("add `expect:`, or remove `consistently`"));
            }
        }
    }

    fn expect(&self, errors: &mut Vec<Diagnostic>) {
        let (kind, rules) = (self.step.kind(), self.step.action.rules());
        let takes = Matcher::reading(&rules.brings());
        let names: Vec<&str> = takes.iter().map(|it| it.name()).collect();
        let Some(expect) = &self.step.expect else {
            // A captured value must exist, so a step that only captures asserts something. The exception is a step
            // whose answer may be a refusal, because a refusal also has a status and a body.
            let may_be_refused = takes.contains(&Matcher::Status) && rules.implied() != Implied::Success;
            let looks_up = !self.step.capture.is_empty() && !may_be_refused;
            if rules.needs_expect() && !self.step.nature().is_act() && !looks_up {
                let error =
                    self.error("/id", format!("step `{}` has no expectation, so it asserts nothing", self.step.id));
                let or = if self.step.nature().answers() && !may_be_refused {
                    ", or `capture:` if it only looks something up"
                } else {
                    ""
                };
                errors.push(error.fix(format!("add `expect:` with any of {}{or}", list(&names))));
            }
            return;
        };
        let given = expect.given();
        if given.is_empty() {
            let error = self.key_error("/expect", "`expect` is empty, so it asserts nothing".to_owned());
            errors.push(error.fix(format!("`{kind}` accepts the matchers {}", list(&names))));
        }
        for matcher in given.iter().filter(|matcher| !takes.contains(matcher)) {
            let what = rules.operation().map_or_else(|| kind.to_string(), |operation| format!("{kind} {operation}"));
            let message = format!("`{what}` does not accept the matcher `{matcher}`");
            let fix = if self.step.nature().effect == Effect::Groups {
                "move it to a step of its `flow`".to_owned()
            } else if takes.is_empty() {
                "remove `expect`; the step fails if the change does not succeed".to_owned()
            } else {
                format!("accepted matchers: {}", list(&names))
            };
            errors.push(self.key_error(&format!("/expect/{matcher}"), message).fix(fix));
        }
        self.values(expect, errors);
        self.bounds(expect, errors);
    }

    fn values(&self, expect: &WrittenExpect, errors: &mut Vec<Diagnostic>) {
        if let Some((name, _)) = expect.headers.iter().flatten().find(|(name, _)| name.chars().any(char::is_uppercase))
        {
            let error =
                self.key_error(&format!("/expect/headers/{name}"), format!("the header `{name}` is not in lower case"));
            errors.push(error.fix(format!("write `{}`; header names are not case-sensitive", name.to_lowercase())));
        }
        let odd = |address: &&Template| !address.is_open() && address.parse::<std::net::IpAddr>().is_err();
        if let Some(address) = expect.address.as_ref().filter(odd) {
            let error = self.error("/expect/address", format!("`{}` is not an IP address", address.as_str()));
            errors.push(error.fix("write an IP address or a template, for example \"{{ store.cluster-ip }}\""));
        }
        let given = expect.given();
        if let Some(none) = given.iter().find(|it| it.stance() == Stance::NoAnswer && given.len() > 1) {
            let error = self.key_error(
                &format!("/expect/{none}"),
                format!("`{none}` expects that there is no answer, so no other matcher is possible"),
            );
            errors.push(error.fix(format!("remove `{none}`, or remove the other matchers")));
        }
        if expect.absent == Some(false) {
            let error = self.error("/expect/absent", "`absent: false` asserts nothing".to_owned());
            errors.push(error.fix("write the part that the object must contain: `object: { … }`"));
        } else if expect.absent.is_some() && expect.object.is_some() {
            let error = self.key_error("/expect/object", "an object that must be absent has no fields".to_owned());
            errors.push(error.fix("remove `absent` or `object`"));
        }
    }

    fn bounds(&self, expect: &WrittenExpect, errors: &mut Vec<Diagnostic>) {
        for wanted in expect.wanted() {
            let wrong = match wanted.shape() {
                Shape::Span(bound) => wrong_span(bound),
                Shape::Number(bound) => wrong_number(bound),
                Shape::Words(_) | Shape::Whole | Shape::Plain | Shape::Each(_) | Shape::Fields(_) | Shape::Part(_) => {
                    None
                }
            };
            errors.extend(
                wrong.map(|(message, fix)| self.key_error(&format!("/expect/{}", wanted.matcher()), message).fix(fix)),
            );
        }
    }
}

/// Checks the bound of a span. Returns the message and the fix for a mistake; `None` if the bound is right.
fn wrong_span(SpanBound { at_least, below }: SpanBound) -> Option<(String, &'static str)> {
    match (at_least, below) {
        (None, None) => Some(("a bound without limits always holds".to_owned(), "write `below:`, `at-least:` or both")),
        (Some(least), Some(below)) if least >= below => {
            Some((format!("no value is at least {least} and below {below}"), "`below` must be greater than `at-least`"))
        }
        (None, Some(below)) if below.as_millis() <= 0 => {
            Some((format!("no span is below {below}"), "write a positive span, for example `1s`"))
        }
        _ => None,
    }
}

/// Checks the bound of a number. Returns the message and the fix for a mistake; `None` if the bound is right.
fn wrong_number(bound: NumberBound) -> Option<(String, &'static str)> {
    let wrong = match bound {
        NumberBound { below: None, at_least: None } => "a bound without limits always holds".to_owned(),
        NumberBound { below: Some(below), at_least: Some(least) } if least >= below => {
            format!("no value is at least {least} and below {below}")
        }
        _ => return None,
    };
    Some((wrong, "write `below:`, `at-least:` or both; `below` must be the greater"))
}

fn known_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { String::new() } else { format!(": {}", list(&names)) }
}
