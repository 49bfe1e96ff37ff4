//! Checks the ids in a scenario, its vantages and agent nodes, and the certificate authorities that these vantages and
//! nodes trust.

use std::collections::HashMap;

use super::Subject;
use crate::fixture::Fixture;
use crate::scenario::check::Places;
use crate::scenario::diagnostic::{Diagnostic, suggest};
use crate::scenario::document::join;
use crate::scenario::matrix::MATRIX;
use crate::scenario::model::{AttachVantage, CLUSTER_AUTHORITY, Placed, PodVantage, ROUND, SERVER_NODE};
use crate::scenario::template::{VANTAGE, VARIANT, is_name};

/// The largest number of entries in a section. A person cannot read more entries. Up to this number, the rules that
/// compare every pair of entries are still fast.
const ENTRIES_LIMIT: usize = 200;

/// The first words of templates that do not refer to a fixture or a step, such as `vantage` in `{{ vantage.ca }}`. No
/// fixture or step may have one of these words as its id.
const RESERVED: [&str; 4] = [VANTAGE, VARIANT, MATRIX, ROUND];

/// The shortest lifetime of a projected token that the apiserver accepts, in seconds.
const SHORTEST_TOKEN_S: i64 = 600;

/// The largest length of the name of a workload (a DNS subdomain name).
const LONGEST_NAME: usize = 253;

/// Returns an error if a section of the scenario has too many entries to be checked.
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

/// Returns an error if a list of `length` steps is too long to be checked step by step.
pub(super) fn long_flow(length: usize, places: &dyn Places) -> Option<Diagnostic> {
    (length > ENTRIES_LIMIT).then(|| too_many(places, "flow"))
}

fn too_many(places: &dyn Places, section: &str) -> Diagnostic {
    let error = places.key_error(&join("", section), format!("`{section}` has more than {ENTRIES_LIMIT} entries"));
    error.fix("split the scenario into several")
}

pub(super) fn check(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = ids(subject);
    errors.extend(vantages(subject));
    errors.extend(agents(subject));
    if subject.scenario.flow.is_empty() {
        let error = subject.places.key_error("/flow", "`flow` is empty, so it asserts nothing".to_owned());
        errors.push(
            error.fix("add a step: `- { id: name, from: VANTAGE, dns: { name: HOST }, expect: { address: … } }`"),
        );
    }
    errors
}

/// Checks that ids are valid names. A template `{{ ID }}` can refer to a step or a fixture, so a step and a fixture
/// must not have the same id.
fn ids(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let scenario = subject.scenario;
    let mut errors = Vec::new();
    let mut reserved = Vec::new();
    let mut word = |id: &str, error: &dyn Fn(String) -> Diagnostic| {
        if !is_name(id) {
            let message = format!("`{id}` is not a valid id");
            errors.push(error(message).fix("use lower-case letters, digits and dashes, and begin with a letter"));
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
        let message = format!("`{id}` is also the id of a break");
        let error = subject.places.key_error(&join("/variants", id), message);
        reserved.push(error.fix("change one of the two ids; runs are selected and reported by them"));
    }
    if scenario.fixtures.contains_key(CLUSTER_AUTHORITY) {
        let message = format!("`{CLUSTER_AUTHORITY}` is the cluster itself, so a fixture cannot have this id");
        let error = subject.places.key_error(&join("/fixtures", CLUSTER_AUTHORITY), message);
        reserved.push(error.fix(format!("change the id; `trust: [{CLUSTER_AUTHORITY}]` means the cluster's own CA")));
    }
    let all = scenario.steps();
    let steps = all.iter().map(|it| (&it.step.id, format!("{}/id", it.at)));
    let named = scenario.fixtures.keys().map(|id| (id, join("/fixtures", id))).chain(steps);
    for (id, at) in named.filter(|(id, _)| RESERVED.contains(&id.as_str())) {
        let error = subject.places.key_error(&at, format!("`{id}` is reserved for templates, so it cannot be an id"));
        reserved.push(error.fix(format!("change the id; `{{{{ {id}.… }}}}` would be ambiguous")));
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
            errors.push(error.fix(format!("the other is step {} of the flow; change one of the two ids", first + 1)));
        } else if scenario.fixtures.contains_key(&step.id) {
            let error = subject.places.error(&at, format!("`{}` is also the id of a fixture", step.id));
            errors.push(error.fix(format!("change the id of the step; `{{{{ {} }}}}` would be ambiguous", step.id)));
        }
        steps.entry(&step.id).or_insert(index);
    }
    errors
}

fn vantages(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (id, vantage) in &subject.scenario.vantages {
        let at = join("/vantages", id);
        let places = [
            ("pod", vantage.pod.is_some()),
            ("attach", vantage.attach.is_some()),
            ("outside", vantage.outside.is_some()),
        ];
        let declared: Vec<&str> = places.into_iter().filter(|it| it.1).map(|it| it.0).collect();
        let place = match declared[..] {
            [place] => place,
            [] => {
                let message = format!("vantage `{id}` has none of `pod`, `attach` and `outside`");
                let error = subject.places.key_error(&at, message);
                errors.push(error.fix(format!(
                    "write `{id}: {{ pod: {{}} }}`, `{id}: {{ attach: {{ to: deploy/NAME }} }}` or `{id}: {{ outside: {{}} }}`"
                )));
                continue;
            }
            [first, second, ..] => {
                let error = subject.places.key_error(&at, format!("vantage `{id}` is both `{first}` and `{second}`"));
                errors.push(error.fix("split it into two vantages"));
                continue;
            }
        };
        let trust = vantage.trust();
        let of_guest = vantage.attach.as_ref().and_then(|it| it.image.as_deref());
        if let Some(image) = vantage.image().or(of_guest).filter(|image| !is_name(image)) {
            let error = subject
                .places
                .error(&format!("{at}/{place}/image"), format!("`{image}` is not a valid name of an image"));
            let example = if place == "attach" { "agent" } else { "clients" };
            errors
                .push(error.fix(format!(
                    "write a name from images.lock, for example `{example}`, and not an image reference"
                )));
        }
        for (index, authority) in trust.iter().enumerate() {
            errors.extend(check_trust(subject, authority, &format!("{at}/{place}/trust/{index}")));
        }
        if let Some(spec) = &vantage.pod {
            errors.extend(pod(subject, spec, &join(&at, "pod")));
        }
        if let Some(spec) = &vantage.attach {
            errors.extend(attach(subject, spec, &join(&at, "attach")));
        }
    }
    errors
}

/// Checks that the fields of a pod vantage are consistent with each other.
fn pod(subject: &Subject<'_>, spec: &PodVantage, at: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for (index, authority) in spec.ca_bundle.iter().enumerate() {
        errors.extend(check_trust(subject, authority, &format!("{at}/ca-bundle/{index}")));
    }
    let of_the_token = [
        ("audience", spec.audience.is_some()),
        ("token-lifetime", spec.token_lifetime.is_some()),
        ("token-mode", spec.token_mode.is_some()),
    ];
    for (key, given) in of_the_token {
        if given && spec.service_account.is_none() {
            let error = subject
                .places
                .key_error(&join(at, key), format!("`{key}` has no effect, because the pod has no projected token"));
            errors.push(error.fix("add `service-account:`; its token is then projected into the pod"));
        }
    }
    if let Some(node) = spec.node.as_deref().filter(|node| !subject.scenario.cluster.nodes().any(|it| it == *node)) {
        let error = subject.places.error(&join(at, "node"), format!("the cluster has no node `{node}`"));
        errors.push(error.fix(suggest(node, subject.scenario.cluster.nodes(), "nodes")));
    }
    let late = subject.scenario.cluster.agents.iter().filter(|it| it.late);
    if let Some(node) = late.map(|it| &it.name).find(|it| spec.node.as_ref() == Some(it)) {
        let message = format!("node `{node}` does not exist yet when the pods of vantages are created");
        let error = subject.places.error(&join(at, "node"), message);
        errors.push(error.fix("name another node, or remove `late` from this one"));
    }
    if spec.token_lifetime.is_some_and(|it| it.as_seconds() < SHORTEST_TOKEN_S) {
        let message = "the apiserver issues no token that is valid for less than ten minutes".to_owned();
        errors.push(subject.places.error(&join(at, "token-lifetime"), message).fix("write 10m or more"));
    }
    errors
}

/// Checks that the field `to` of an `attach` vantage gives a workload, and that the fields are consistent with each
/// other.
fn attach(subject: &Subject<'_>, spec: &AttachVantage, at: &str) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let is_letter = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
    let can_exist = |name: &str| !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(is_letter);
    if !spec.workload().is_some_and(|(_, name)| can_exist(name)) {
        let error = subject.places.error(&join(at, "to"), format!("`{}` names no workload", spec.to));
        errors.push(error.fix("write `deploy/NAME`, `statefulset/NAME`, `daemonset/NAME` or `pod/NAME`"));
    }
    if spec.asks_as.is_some() && !spec.trust.is_empty() {
        let message = "`trust` has no effect, because the probes trust what the application trusts".to_owned();
        let error = subject.places.key_error(&join(at, "trust"), message);
        errors.push(error.fix("remove `trust` or `as`, or write two vantages, one with each"));
    }
    errors
}

/// Checks the names of agent nodes, and the certificate authorities that these nodes trust.
fn agents(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let names: Vec<&str> = subject.scenario.cluster.nodes().collect();
    let mut errors = Vec::new();
    for (index, name) in names.iter().enumerate().skip(1) {
        let at = format!("/cluster/agents/{}/name", index - 1);
        if !is_name(name) {
            let error = subject.places.error(&at, format!("`{name}` is not a valid name of a node"));
            errors.push(error.fix("use lower-case letters, digits and dashes, and begin with a letter"));
        } else if names[..index].contains(name) {
            let error = subject.places.error(&at, format!("two nodes have the name `{name}`"));
            errors.push(error.fix(format!("use another name; the server is `{SERVER_NODE}`")));
        }
    }
    for (index, agent) in subject.scenario.cluster.agents.iter().enumerate() {
        let authority = agent.trust.as_deref();
        errors.extend(authority.and_then(|it| check_trust(subject, it, &format!("/cluster/agents/{index}/trust"))));
    }
    errors
}

fn check_trust(subject: &Subject<'_>, authority: &str, at: &str) -> Option<Diagnostic> {
    if authority == CLUSTER_AUTHORITY {
        return None;
    }
    let fixtures = &subject.scenario.fixtures;
    let is_authority = |name: &str| subject.library.get(name).is_some_and(Fixture::is_authority);
    let message = match fixtures.get(authority) {
        // An unknown fixture is reported where the fixture is declared.
        Some(used) if is_authority(&used.fixture) || subject.library.get(&used.fixture).is_none() => return None,
        Some(used) => format!("`{authority}` is a `{}`, which is not a certificate authority", used.fixture),
        None => format!("there is no certificate authority `{authority}`"),
    };
    let known = fixtures.iter().filter(|(_, used)| is_authority(&used.fixture)).map(|(id, _)| id.as_str());
    let known = known.chain([CLUSTER_AUTHORITY]);
    Some(subject.places.error(at, message).fix(suggest(authority, known, "certificate authorities")))
}
