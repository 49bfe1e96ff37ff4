//! Tests that no secret reaches an output. A flow prints secrets (canaries) in every possible form. No output of the
//! run may contain a secret or a part of a secret.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ListParams, PostParams};
use parallax_vocab::EventKind;

use super::bench::{Ended, Project, Run, lists, no_engine, reserve};
use super::standing::cluster;

/// The secret that a pod of the scenario creates. The scenario's file contains the text only in reverse, because
/// outputs may quote the file.
const CANARY: &str = "canary-5Zq9/x7+Lw2\"tV0<rB8&mN3";
/// The length of a part of a secret, in bytes, that counts as a leak.
const PIECE: usize = 8;

/// The Base64 text with which every private key of a certificate begins (PKCS #8). It is the same in all keys, so it
/// is not secret.
const KIND_OF_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";

/// A Python program that prints each secret of a pod, unchanged and in several encodings.
pub(super) const PRINTER: &str = r#"
import base64, json, os, urllib.parse
for s in (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"], os.environ["CANARY"]):
    b = s.encode()
    print(s, json.dumps(s), json.dumps(json.dumps(s)), urllib.parse.quote(s, safe=""), urllib.parse.quote_plus(s))
    print(b.hex(), b.hex().upper())
    for before in (b"", b"x", b"xy"):
        print(base64.b64encode(before + b).decode(), base64.urlsafe_b64encode(before + b).decode())
"#;

fn scenario() -> String {
    let backwards: String = CANARY.chars().rev().collect();
    let backwards = serde_json::to_string(&backwards).unwrap();
    let printer = serde_json::to_string(PRINTER).unwrap();
    let mut text = format!(
        r#"name: canary
summary: A flow that prints every secret it has
fixtures:
  ca: {{ use: certificate-authority }}
  store: {{ use: minio, host: minio.example.com, tls: {{ issuer: ca }}, buckets: [photos] }}
vantages:
  app: {{ pod: {{ image: clients, trust: [ca], service-account: app }} }}
  host: {{ outside: {{ trust: [ca] }} }}
flow:
  - id: canary
    from: app
    script: {{ run: [python3, -c, "import sys; sys.stdout.write(sys.stdin.read()[::-1])"], stdin: {backwards} }}
    expect: {{ exit: 0 }}
    capture: {{ canary: {{ path: /reply/run/stdout, secret: true }} }}
  - id: printed
    from: app
    script: {{ run: [python3, -c, {printer}], store: store, env: {{ CANARY: "{{{{ canary.canary }}}}" }} }}
    expect: {{ exit: 0, stdout: nothing of the kind }}
  - id: failed
    from: app
    script: {{ run: [sh, -c, 'echo "$AWS_SECRET_ACCESS_KEY $CANARY" >&2; exit 3'], store: store, env: {{ CANARY: "{{{{ canary.canary }}}}" }} }}
    expect: {{ exit: 0 }}
  - id: token
    from: app
    script: {{ run: [sh, -c, "cat /var/run/secrets/*/*/token /var/run/secrets/*/*/*/token; exit 4"] }}
    expect: {{ exit: 0 }}
  - id: kept
    apply:
      objects:
        - {{ apiVersion: v1, kind: Secret, metadata: {{ name: kept }}, stringData: {{ a: "{{{{ canary.canary }}}}" }} }}
        - {{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: told }}, data: {{ a: "it is {{{{ canary.canary }}}}, they say" }} }}
  - {{ id: root, resource: {{ api-version: v1, kind: Secret, name: minio-root }}, expect: {{ object: {{ data: {{ secret-key: eA== }} }} }} }}
  - {{ id: own, resource: {{ api-version: v1, kind: Secret, name: kept }}, expect: {{ object: {{ data: {{ a: eA== }} }} }} }}
  - {{ id: told, resource: {{ api-version: v1, kind: ConfigMap, name: told }}, expect: {{ object: {{ data: {{ a: nothing }} }} }} }}
  - {{ id: put, from: app, s3: {{ put: "photos/{{{{ canary.canary }}}}", body: "{{{{ canary.canary }}}}" }}, expect: {{ status: 500 }} }}
  - {{ id: url, from: host, presign: {{ get: photos/a.txt, expires: 5m }} }}
  - {{ id: opened, from: host, http: {{ get: "{{{{ url }}}}" }}, expect: {{ status: 200 }} }}
"#
    );
    // When the harness quotes a line, it cuts the line after two hundred characters. The steps below print lines with a
    // secret at different positions around the cut.
    for pad in (150..200).step_by(7) {
        let run =
            format!("printf '%0{pad}d%s' 0 \"$AWS_SECRET_ACCESS_KEY\"; printf '%0{pad}d%s' 0 \"$CANARY\" >&2; exit 5");
        let run = serde_json::to_string(&run).unwrap();
        write!(
            text,
            "  - id: cut-{pad}\n    from: app\n    script: {{ run: [sh, -c, {run}], store: store, env: {{ CANARY: \"{{{{ canary.canary }}}}\" }} }}\n    \
             expect: {{ exit: 0, stdout: zzz, stderr: zzz }}\n"
        ).unwrap();
    }
    let gate = "resource: { api-version: v1, kind: ConfigMap, name: gate }, eventually: 3m, expect: { object: { kind: ConfigMap } }";
    text + "  - { id: gate, " + gate + " }\n"
}

/// Returns the forms in which a secret can be written. The test computes them independently of the redactor, because
/// the redactor may have a defect.
fn forms(secret: &str) -> BTreeMap<String, String> {
    let json = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
    let percent = |byte: &u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    let mut forms = BTreeMap::from([
        ("plain".to_owned(), secret.to_owned()),
        ("JSON".to_owned(), json(secret)),
        ("JSON in JSON".to_owned(), json(&json(secret))),
        ("percent".to_owned(), secret.as_bytes().iter().map(percent).collect()),
        ("hex".to_owned(), hex::encode(secret)),
        ("HEX".to_owned(), hex::encode_upper(secret)),
    ]);
    for before in 0..3 {
        let bytes = ["x".repeat(before).as_bytes(), secret.as_bytes()].concat();
        for (name, text) in [("base64", STANDARD_NO_PAD.encode(&bytes)), ("base64url", URL_SAFE_NO_PAD.encode(&bytes))]
        {
            // The first characters of an encoded secret also contain bits of the text before the secret, and the last
            // character contains bits of the text after it. These characters are left out.
            let inner = text[if before == 0 { 0 } else { before + 1 }..text.len() - 1].to_owned();
            forms.insert(format!("{name} after {before}"), inner);
        }
    }
    forms
}

/// Searches the outputs for parts of the secrets, in every form. `texts` has the name and the text of each output.
/// Returns a sentence for each part that was found.
pub(super) fn hits(texts: &[(String, String)], secrets: &[String]) -> Vec<String> {
    let mut hits = Vec::new();
    for secret in secrets {
        for (form, text) in forms(secret) {
            let bytes = text.as_bytes();
            let pieces = bytes.windows(PIECE.min(bytes.len())).filter_map(|piece| std::str::from_utf8(piece).ok());
            for piece in pieces {
                let found = texts.iter().filter(|(_, text)| text.contains(piece));
                hits.extend(found.map(|(place, _)| format!("{place} holds {piece:?}, {form} of a secret")));
            }
        }
    }
    hits.sort();
    hits.dedup();
    hits
}

#[test]
fn the_flow_is_valid() {
    let library = parallax_language::fixture::Library::shipped();
    let loaded = parallax_language::scenario::Loaded::read(&library, "canary", "scenario.yaml", scenario().as_bytes());
    if let Err(errors) = loaded {
        panic!("{}", parallax_language::scenario::diagnostic::render(&errors, false));
    }
}

/// Tests the function `hits`, which other tests use to search outputs for secrets. The function must find a secret in
/// each form, and also a part of a secret.
#[test]
fn the_search_finds_each_form_and_each_piece() {
    let secrets = [CANARY.to_owned()];
    let of = |text: &str| hits(&[("there".to_owned(), format!("a {text} b"))], &secrets);
    for (form, text) in forms(CANARY) {
        assert!(!of(&text).is_empty(), "{form}");
        assert!(!of(&text[text.len() / 2..][..PIECE]).is_empty(), "a piece of {form}");
    }
    for before in ["", "u", "us", "use"] {
        assert!(!of(&base64::engine::general_purpose::STANDARD.encode(format!("{before}{CANARY}"))).is_empty());
    }
    assert!(of(&CANARY[..PIECE - 1]).is_empty(), "shorter than a piece");
    assert!(of("[redacted]").is_empty());
}

/// Returns all outputs of a run, both files and streams.
pub(super) fn outputs(ended: &Ended, summary: &Path) -> Vec<(String, String)> {
    let mut texts = vec![("stdout".to_owned(), ended.stdout.clone()), ("stderr".to_owned(), ended.stderr.clone())];
    texts.push(("step summary".to_owned(), fs::read_to_string(summary).unwrap()));
    for entry in fs::read_dir(&ended.directory).unwrap().flatten() {
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        texts.push((entry.file_name().to_string_lossy().into_owned(), text));
    }
    for name in ["record.jsonl", "junit.xml", "report.html", "harness.log", "step summary"] {
        let text = texts.iter().find(|(place, _)| place == name);
        assert!(text.is_some_and(|(_, text)| text.len() > 100), "{name} is missing or empty");
    }
    texts
}

/// Returns the secret values from the Secrets of the run's cluster. No output may contain one of these values.
async fn held(run: &Run) -> Vec<String> {
    let client = cluster(&run.id).await;
    let secrets: Api<Secret> = Api::all(client);
    let secrets = secrets.list(&ListParams::default()).await.unwrap();
    let values = secrets.items.into_iter().filter_map(|it| it.data).flatten();
    let values = values.filter_map(|(_, value)| String::from_utf8(value.0).ok());
    // Two kinds of values are not searched for: short values and plain words, because a report may contain the same
    // words, and certificates, because they are public.
    let random = |text: &String| text.len() >= 12 && text.bytes().any(|byte| byte.is_ascii_digit());
    let values = values.filter(|text| random(text) && !text.contains("BEGIN CERTIFICATE"));
    let body = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let lines = lines.map(|line| line.strip_prefix(KIND_OF_KEY).unwrap_or(line).to_owned());
        lines.collect::<Vec<_>>()
    };
    values.flat_map(body).filter(|line| line.len() >= 12).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_of_a_run_contains_a_secret_or_a_part_of_one() {
    if no_engine() {
        return;
    }
    let _reserved = tokio::task::spawn_blocking(|| reserve(1)).await.unwrap();
    let project = Project::new();
    project.scenario("canary", &scenario());
    let before = lists(&[]);
    let summary = project.path("summary.md");
    fs::write(&summary, "").unwrap();
    let mut command = project.parallax(&["e2e", "-vv"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    let run = Run::start(command, &project);
    run.wait_for_step("cut-199");
    let mut secrets = held(&run).await;
    secrets.push(CANARY.to_owned());
    secrets.sort();
    secrets.dedup();
    // The secrets are the two keys of the store, the secrets of the flow, and the key of the store's certificate.
    assert!(secrets.len() > 4, "{} secrets", secrets.len());
    let gate: ConfigMap = serde_json::from_value(serde_json::json!({ "metadata": { "name": "gate" } })).unwrap();
    let gates: Api<ConfigMap> = Api::namespaced(cluster(&run.id).await, "canary");
    gates.create(&PostParams::default(), &gate).await.unwrap();

    let id = run.id.clone();
    let ended = run.end();
    ended.assert_code(1);
    let texts = outputs(&ended, &summary);
    let hits = hits(&texts, &secrets);
    assert_eq!(hits, Vec::<String>::new(), "{} parts of secrets are visible", hits.len());
    let tokens: Vec<&String> = texts.iter().filter(|(_, text)| text.contains("eyJ")).map(|(place, _)| place).collect();
    assert_eq!(tokens, Vec::<&String>::new(), "a JSON web token is visible");

    // The search above proves something only if the steps printed secrets. Therefore the test also asserts that each of
    // these steps had secrets and that the harness redacted them.
    for step in ["canary", "printed", "failed", "token", "told", "put", "cut-150", "cut-199"] {
        let found = ended.events.iter().find_map(|event| match &event.event {
            EventKind::StepEnded(it) if it.step.as_str() == step => Some(serde_json::to_string(it).unwrap()),
            _ => None,
        });
        let told = found.unwrap_or_else(|| panic!("step {step} did not end"));
        assert!(told.contains("[redacted]") || told.contains("digest:"), "{step} hid nothing: {told}");
    }
    assert_eq!(lists(&[&id]), before);
}
