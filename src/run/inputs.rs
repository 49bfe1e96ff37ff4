//! Reads the values that scenarios take from outside the run: secrets from environment variables, and certificates of
//! existing authorities.
//!
//! **Architecture Invariant:** a plan contains only the names of environment variables and of files. The values and the
//! contents are read here, when the environment that needs them is set up.

use std::path::Path;

use parallax_vocab::Secret;
use parallax_vocab::settings::only_certificates;

use super::skipped::skip;
use super::{Context, Options};
use crate::apply::{ApplyError, Given};
use parallax_language::fixture::{Contributions, Input, ProjectFile, Trusted};
use parallax_language::text_of_project;
use parallax_plan::{EnvironmentPlan, Plan};

/// The secrets that an environment lacks, as sentences. Each sentence contains the environment variable of a secret,
/// and the place in the scenario that needs the secret. An empty variable counts as a variable that is not set.
pub(super) fn missing(plan: &EnvironmentPlan) -> Vec<String> {
    let lacking = wanted(plan).filter(|it| value(it).is_none());
    lacking.map(|it| format!("the environment variable {} is not set ({})", it.env, it.at)).collect()
}

/// Reads the secrets and certificates that an environment takes from outside the run.
pub(super) fn read(options: &Options, plan: &EnvironmentPlan) -> Result<Given, ApplyError> {
    let mut given = Given::default();
    given.secrets.extend(wanted(plan).filter_map(|it| Some((it.env.clone(), value(it)?))));
    for (id, it) in &plan.fixtures {
        let trusted = match &it.trusts {
            None => continue,
            Some(Trusted::System) => of_machine(id, options.theirs.as_ref().and_then(|it| it.trusted.clone()))?,
            Some(Trusted::File(file)) => of_file(&options.project, file)?,
        };
        given.trusted.insert(id.clone(), trusted);
    }
    Ok(given)
}

/// Returns the plan without the environments that cannot run in a cluster that the harness starts. Reports each of
/// their variants as skipped, with the reasons.
pub(super) fn within_the_network(context: &Context, mut plan: Plan) -> Plan {
    for cluster in &mut plan.clusters {
        cluster.environments.retain(|environment| {
            let reasons = lacking_in_the_network(environment);
            if !reasons.is_empty() {
                environment.variants.iter().for_each(|it| skip(context, &it.id, &reasons));
            }
            reasons.is_empty()
        });
    }
    plan.clusters.retain(|it| !it.environments.is_empty());
    plan
}

/// The reasons why an environment cannot run in a cluster that the harness starts. Such a cluster has no connection to
/// the outside. So the environment cannot use a store, an authority or an application that exists outside the run.
/// Another reason is a secret that is missing.
fn lacking_in_the_network(plan: &EnvironmentPlan) -> Vec<String> {
    let is_outside = |it: &Contributions| {
        it.trusts == Some(Trusted::System) || it.store.as_ref().is_some_and(|it| it.prefix.is_some())
    };
    let outside = plan
        .fixtures
        .iter()
        .find(|(_, it)| is_outside(it))
        .map(|(id, _)| format!("fixture `{id}` uses what exists outside the run's own network: use --kubeconfig"));
    let vantages = plan.variants.iter().flat_map(|it| &it.variant.scenario.vantages);
    let existing = { vantages }.find_map(|(id, it)| Some((id, it.attach.as_ref().filter(|it| it.existing)?)));
    let existing = existing.map(|(id, it)| {
        let to = &it.to;
        format!("vantage `{id}` asks from {to}, which exists outside the run's own clusters: use --kubeconfig and --namespace")
    });
    outside.into_iter().chain(existing).chain(missing(plan)).collect()
}

fn wanted(plan: &EnvironmentPlan) -> impl Iterator<Item = &Input> {
    plan.fixtures.values().flat_map(|it| &it.credentials).flat_map(|it| it.inputs.values())
}

fn value(input: &Input) -> Option<Secret> {
    std::env::var(&input.env).ok().filter(|it| !it.is_empty()).map(Secret::new)
}

/// The certificates that this machine trusts. `id` is the fixture that needs them.
fn of_machine(id: &str, trusted: Option<String>) -> Result<String, ApplyError> {
    trusted.ok_or_else(|| ApplyError::Input {
        place: id.to_owned(),
        what: "this machine".to_owned(),
        reason: "has no file of trusted certificates".to_owned(),
        fix: format!("install ca-certificates, set SSL_CERT_FILE, or give the fixture `{id}` a `file`"),
    })
}

/// Returns the certificates in a file, and nothing else that the file contains. The returned text is put into
/// `ConfigMaps` and questions, and a file with certificates often also contains a private key.
fn of_file(project: &Path, file: &ProjectFile) -> Result<String, ApplyError> {
    let no_certificate = || "contains no certificate in PEM format".to_owned();
    let text = text_of_project(project, &file.path).and_then(|it| only_certificates(&it).ok_or_else(no_certificate));
    text.map_err(|reason| {
        let fix = format!("name in {} a file of the project with the authority's certificates in PEM format", file.at);
        ApplyError::Input { place: file.at.clone(), what: file.path.clone(), reason, fix }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use parallax_language::fixture::Credentials;

    #[test]
    fn a_variable_that_is_not_set_is_missing_in_each_cluster() {
        let plan = |env: &str| {
            let input = Input { env: env.to_owned(), at: "s.yaml:7".to_owned() };
            let inputs = [("key".to_owned(), input)].into();
            let (name, secret) = ("own".to_owned(), "own".to_owned());
            let keys = Credentials { name, secret, inputs, keys: BTreeMap::new(), files: BTreeMap::new() };
            let fixture = Contributions { credentials: vec![keys], ..Contributions::default() };
            EnvironmentPlan { fixtures: [("app".to_owned(), fixture)].into(), ..EnvironmentPlan::default() }
        };
        assert_eq!(lacking_in_the_network(&plan("PATH")), Vec::<String>::new());
        let lacking = ["the environment variable PARALLAX_TEST_NOT_SET is not set (s.yaml:7)"];
        assert_eq!(lacking_in_the_network(&plan("PARALLAX_TEST_NOT_SET")), lacking);
        assert_eq!(missing(&plan("PARALLAX_TEST_NOT_SET")), lacking);
    }

    #[test]
    fn an_existing_workload_is_not_in_a_cluster_that_the_harness_starts() {
        let planned = |attach: &str| {
            let text = format!(
                "name: s\nsummary: A name does not exist\nvantages:\n  app: {{ attach: {attach} }}\nflow:\n  \
                 - {{ id: asked, from: app, dns: {{ name: a.example.com }}, expect: {{ dns: no-such-name }} }}\n"
            );
            let library = parallax_language::fixture::Library::shipped();
            let loaded = parallax_language::scenario::Loaded::read(&library, "s", "s.yaml", text.as_bytes());
            let loaded = loaded.unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            let all = loaded.variants.iter().map(|it| it.id.clone()).collect();
            let plan = parallax_plan::build(&library, &[loaded], &all).expect("a plan");
            lacking_in_the_network(&plan.clusters[0].environments[0])
        };
        assert_eq!(planned("{ to: deploy/shop }"), Vec::<String>::new());
        let lacking = planned("{ to: deploy/shop, existing: true }");
        assert_eq!(
            lacking,
            [
                "vantage `app` asks from deploy/shop, which exists outside the run's own clusters: use --kubeconfig and --namespace"
            ]
        );
    }

    #[test]
    fn a_machine_without_certificates_has_a_fix() {
        let failure = of_machine("ca", None).expect_err("no certificates").failure();
        assert_eq!(failure.what, "ca: this machine has no file of trusted certificates");
        assert_eq!(
            failure.fix.as_deref(),
            Some("install ca-certificates, set SSL_CERT_FILE, or give the fixture `ca` a `file`")
        );
    }

    #[test]
    fn a_key_beside_a_certificate_stays_in_its_file() {
        let one = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----";
        let key = "-----BEGIN PRIVATE KEY-----\nYg==\n-----END PRIVATE KEY-----";
        let project = tempfile::tempdir().expect("a folder");
        let read = |text: &str| {
            std::fs::write(project.path().join("ca.pem"), text).expect("written");
            of_file(project.path(), &ProjectFile { path: "ca.pem".to_owned(), at: "s.yaml:4".to_owned() })
        };
        let both = read(&format!("{key}\n{one}")).expect("a certificate");
        // The returned text ends with a line break, although the file does not. So the certificates of another
        // authority can be appended to the text.
        assert_eq!(both, format!("{one}\n"));
        let failure = read(key).expect_err("only a key").failure();
        assert_eq!(failure.what, "s.yaml:4: ca.pem contains no certificate in PEM format");
        assert_eq!(
            failure.fix.as_deref(),
            Some("name in s.yaml:4 a file of the project with the authority's certificates in PEM format")
        );
    }
}
