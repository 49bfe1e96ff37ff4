//! Ids, vantages and trust.

use std::collections::HashMap;

use super::Subject;
use crate::fixture::Fixture;
use crate::scenario::check::Places;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::document::join;
use crate::scenario::matrix::MATRIX;
use crate::scenario::model::{CLUSTER_AUTHORITY, Placed, PodVantage, ROUND};
use crate::scenario::template::{VANTAGE, VARIANT, is_name};

/// How many entries a section may have: far more than a person reads, few enough for rules that compare each with each.
const ENTRIES_LIMIT: usize = 200;

/// First words of templates that stand for something else than a fixture or a step.
const RESERVED: [&str; 4] = [VANTAGE, VARIANT, MATRIX, ROUND];

/// The shortest life of a token that the apiserver takes for a projected volume, in seconds.
const SHORTEST_TOKEN_S: i64 = 600;

/// A section that is too long to be judged.
pub(super) fn too_long(subject: &Subject<'_>) -> Option<Diagnostic> {
    let it = subject.scenario;
    let sections = [
        ("flow", it.steps().len()),
        ("fixtures", it.fixtures.len()),
        ("vantages", it.vantages.len()),
        ("variants", it.variants.len()),
        ("breaks", it.breaks.len()),
    ];
    let (section, _) = sections.into_iter().find(|(_, length)| *length > ENTRIES_LIMIT)?;
    Some(too_many(subject.places, section))
}

/// A list of steps that is too long to be looked at one by one.
pub(super) fn long_flow(length: usize, places: &dyn Places) -> Option<Diagnostic> {
    (length > ENTRIES_LIMIT).then(|| too_many(places, "flow"))
}

fn too_many(places: &dyn Places, section: &str) -> Diagnostic {
    let error = places.key_error(&join("", section), format!("`{section}` has more than {ENTRIES_LIMIT} entries"));
    error.fix("make it several scenarios")
}

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = ids(subject);
    errors.extend(vantages(subject));
    if subject.scenario.flow.is_empty() {
        let error = subject.places.key_error("/flow", "`flow` is empty: nothing is asserted".to_owned());
        errors.push(
            error.fix("add a step: `- { id: name, from: VANTAGE, dns: { name: HOST }, expect: { address: … } }`"),
        );
    }
    errors
}

/// Ids are words, and unique among steps and fixtures, which share the names of templates.
fn ids(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let scenario = subject.scenario;
    let mut errors = Vec::new();
    let mut reserved = Vec::new();
    let mut word = |id: &str, error: &dyn Fn(String) -> Diagnostic| {
        if !is_name(id) {
            let message = format!("`{id}` cannot be an id");
            errors.push(error(message).fix("lower-case letters, digits and dashes, beginning with a letter"));
        }
    };
    for id in scenario.fixtures.keys() {
        word(id, &|message| subject.places.key_error(&join("/fixtures", id), message));
    }
    for id in scenario.vantages.keys() {
        word(id, &|message| subject.places.key_error(&join("/vantages", id), message));
    }
    for id in scenario.breaks.keys() {
        word(id, &|message| subject.places.key_error(&join("/breaks", id), message));
    }
    for id in scenario.variants.keys() {
        word(id, &|message| subject.places.key_error(&join("/variants", id), message));
    }
    for id in scenario.variants.keys().filter(|id| scenario.breaks.contains_key(*id)) {
        let message = format!("`{id}` is the id of a break too");
        let error = subject.places.key_error(&join("/variants", id), message);
        reserved.push(error.fix("both are chosen and reported by their ids: give one of them another"));
    }
    if scenario.fixtures.contains_key(CLUSTER_AUTHORITY) {
        let message = format!("`{CLUSTER_AUTHORITY}` is the cluster itself, so no fixture can have that id");
        let error = subject.places.key_error(&join("/fixtures", CLUSTER_AUTHORITY), message);
        reserved
            .push(error.fix(format!("give it another id: `trust: [{CLUSTER_AUTHORITY}]` means the cluster's own CA")));
    }
    let all = scenario.steps();
    let steps = all.iter().map(|it| (&it.step.id, format!("{}/id", it.at)));
    let named = scenario.fixtures.keys().map(|id| (id, join("/fixtures", id))).chain(steps);
    for (id, at) in named.filter(|(id, _)| RESERVED.contains(&id.as_str())) {
        let error =
            subject.places.key_error(&at, format!("`{id}` is a word of templates, so nothing can have that id"));
        reserved.push(error.fix(format!("`{{{{ {id}.… }}}}` would mean both: give it another id")));
    }
    for Placed { step, at, .. } in &all {
        word(&step.id, &|message| subject.places.error(&format!("{at}/id"), message));
    }
    errors.extend(reserved);

    let mut steps: HashMap<&str, usize> = HashMap::new();
    for (index, Placed { step, at, .. }) in all.iter().enumerate() {
        let at = format!("{at}/id");
        if let Some(first) = steps.get(step.id.as_str()) {
            let error = subject.places.error(&at, format!("two steps have the id `{}`", step.id));
            errors.push(
                error.fix(format!("the other is step {} of the flow; give this one an id of its own", first + 1)),
            );
        } else if scenario.fixtures.contains_key(&step.id) {
            let error = subject.places.error(&at, format!("`{}` is the id of a fixture too", step.id));
            errors.push(error.fix(format!("`{{{{ {} }}}}` would mean both: give the step another id", step.id)));
        }
        steps.entry(&step.id).or_insert(index);
    }
    errors
}

fn vantages(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (id, vantage) in &subject.scenario.vantages {
        let at = join("/vantages", id);
        let (place, trust) = match (&vantage.pod, &vantage.outside) {
            (Some(pod), None) => ("pod", &pod.trust),
            (None, Some(outside)) => ("outside", &outside.trust),
            (Some(_), Some(_)) => {
                let error = subject.places.key_error(&at, format!("vantage `{id}` is both `pod` and `outside`"));
                errors.push(error.fix("make it two vantages"));
                continue;
            }
            (None, None) => {
                let error = subject.places.key_error(&at, format!("vantage `{id}` says neither `pod` nor `outside`"));
                errors.push(error.fix(format!("write `{id}: {{ pod: {{}} }}` or `{id}: {{ outside: {{}} }}`")));
                continue;
            }
        };
        if let Some(image) = vantage.image().filter(|image| !is_name(image)) {
            let error = subject.places.error(&format!("{at}/{place}/image"), format!("`{image}` is no image's name"));
            errors.push(error.fix("write a name of images.lock, for example `clients`, not a reference"));
        }
        for (index, authority) in trust.iter().enumerate() {
            errors.extend(trusted(subject, authority, &format!("{at}/{place}/trust/{index}")));
        }
        if let Some(spec) = &vantage.pod {
            errors.extend(pod(subject, spec, &join(&at, "pod")));
        }
    }
    errors
}

/// What a pod's fields say to each other.
fn pod(subject: &Subject<'_>, spec: &PodVantage, at: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (index, authority) in spec.ca_bundle.iter().enumerate() {
        errors.extend(trusted(subject, authority, &format!("{at}/ca-bundle/{index}")));
    }
    let of_the_token = [
        ("audience", spec.audience.is_some()),
        ("token-lifetime", spec.token_lifetime.is_some()),
        ("token-mode", spec.token_mode.is_some()),
    ];
    for (key, given) in of_the_token {
        if given && spec.service_account.is_none() {
            let error = subject.places.key_error(&join(at, key), format!("`{key}` without a token to have it"));
            errors.push(error.fix("add `service-account:`, whose token is then projected into the pod"));
        }
    }
    if spec.token_lifetime.is_some_and(|it| it.as_seconds() < SHORTEST_TOKEN_S) {
        let message = "the apiserver gives no token that lives less than ten minutes".to_owned();
        errors.push(subject.places.error(&join(at, "token-lifetime"), message).fix("write 10m or more"));
    }
    errors
}

fn trusted(subject: &Subject<'_>, authority: &str, at: &str) -> Option<Diagnostic> {
    if authority == CLUSTER_AUTHORITY {
        return None;
    }
    let fixtures = &subject.scenario.fixtures;
    let is_authority = |name: &str| subject.library.get(name).is_some_and(Fixture::is_authority);
    let message = match fixtures.get(authority) {
        // An unknown fixture is told at its own place.
        Some(used) if is_authority(&used.fixture) || subject.library.get(&used.fixture).is_none() => return None,
        Some(used) => format!("`{authority}` is a `{}`, which is no certificate authority", used.fixture),
        None => format!("there is no certificate authority `{authority}`"),
    };
    let known = fixtures.iter().filter(|(_, used)| is_authority(&used.fixture)).map(|(id, _)| id.as_str());
    let known = known.chain([CLUSTER_AUTHORITY]);
    Some(subject.places.error(at, message).fix(suggest(authority, known, "certificate authorities")))
}
