//! Tests of a system under test that does not behave as its scenario declares. The exit code must be 1. For each
//! difference, the output must contain the place in the scenario file, a sentence of explanation, the expected value
//! and the observed value.

use super::bench::{Project, lists, no_engine, reserve};

/// A scenario with two mistakes: a status that MinIO does not return, and a vantage without the CA.
const ALTERED: &str = r#"name: altered
summary: A wrong status, and a client without the CA
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca }, buckets: [photos] }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [] } }
  host: { outside: { trust: [ca] } }
flow:
  - { id: put, from: host, s3: { put: photos/a.txt, body: hello } }
  - { id: url, from: host, presign: { get: photos/a.txt, expires: 5m } }
  - { id: outside, from: host, http: { get: "{{ url }}" }, expect: { status: 201, body: hello } }
  - { id: inside, from: app, http: { get: "{{ url }}" }, expect: { status: 200, body: hello } }
"#;

/// A scenario without a DNS rule for the host of its store, so pods cannot resolve the name.
const NOWHERE: &str = r#"name: nowhere
summary: A name that pods do not know
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca } }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: name, from: app, dns: { name: "{{ store.host }}" }, expect: { address: "{{ store.cluster-ip }}" } }
"#;

/// A scenario with two breaks. Each break declares the cause that the other break has.
const SWAPPED: &str = r#"name: swapped
summary: Two breaks whose causes are swapped
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: minio.example.com, tls: { issuer: ca } }
  names: { use: dns-rewrite, from: "{{ store.host }}", to: "{{ store.service }}" }
vantages:
  app: { pod: { trust: [ca] } }
flow:
  - { id: chain, from: app, tls: { host: "{{ store.host }}" }, expect: { chain-length: 2 } }
breaks:
  no-rewrite:
    change: { fixtures: { names: remove } }
    fails: { chain: { tls: unknown-authority } }
  no-ca:
    change: { vantages: { app: { pod: { trust: [] } } } }
    fails: { chain: { dns: no-such-name } }
"#;

#[test]
fn each_difference_has_its_place_its_sentence_and_the_observed_value() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let project = Project::new();
    project.scenario("altered", ALTERED);
    project.scenario("nowhere", NOWHERE);
    project.scenario("swapped", SWAPPED);
    let before = lists(&[]);
    let run = project.e2e(&["altered", "nowhere", "swapped+no-rewrite", "swapped+no-ca"]);
    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(1);
    let filters = [
        (r"\d+\.\d s", "[time]"),
        (r"\d+ ms", "[ms]"),
        (r"\br[0-9a-f]{8}\b", "[run]"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[instant]"),
        (r"\d+\.\d+\.\d+\.\d+(:\d+)?", "[address]"),
        (r"\d{8}T\d{6}Z", "[instant]"),
        (r"%2F\d{8}%2F", "%2F[day]%2F"),
    ];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(ended.stdout); });
    for step in ["outside", "inside", "name", "chain"] {
        assert!(ended.steps().any(|it| it.step.as_str() == step && it.cause.is_some()), "{step} is not in the record");
    }
    assert_eq!(lists(&[&id]), before);
}
