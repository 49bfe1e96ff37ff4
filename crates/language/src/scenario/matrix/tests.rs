//! Tests: examples of expansions, and the places of the expanded parts in the file.

use insta::assert_snapshot;

use super::*;

fn expanded(text: &str) -> Document {
    let (document, errors) = Document::parse("scenario.yaml", text);
    assert_eq!(errors, []);
    let mut document = document.expect("a document");
    expand(&mut document).expect("a valid matrix");
    document
}

fn messages(text: &str) -> String {
    let (document, _) = Document::parse("scenario.yaml", text);
    let errors = expand(&mut document.expect("a document")).expect_err("an invalid matrix");
    errors.iter().map(Diagnostic::on_one_line).collect::<Vec<_>>().join("\n")
}

const SCENARIO: &str = r#"matrix:
  signer: [boto3, mc]
  opener: [curl, browser]
flow:
  - { id: put, s3: { put: a } }
  - { id: url, client: { use: "{{ matrix.signer }}", presign: { get: "photos/{{ matrix.signer }}.txt" } } }
  - { id: open, needs: [put, url], client: { use: "{{ matrix.opener }}", http: { get: "{{ url }}?{{ url.part }}" } } }
  - { id: again, http: { get: "{{ url }}" }, expect: { same-chain-as: url } }
breaks:
  all:
    change: { flow: { url: { client: { presign: { get: "other/{{ matrix.signer }}" } } }, url-mc: { from: x } } }
    fails: { open: { status: 403 }, open-browser: { client: CORS }, open-mc-browser: { status: 500 } }
    blocks: [put, again-mc, again, open-boto3-curl]
variants:
  elsewhere:
    change: { flow: { url: { from: y } } }
"#;

#[test]
fn steps_and_breaks_are_expanded_with_their_references() {
    let value = expanded(SCENARIO).value;
    assert_snapshot!(serde_json::to_string_pretty(&value).expect("JSON"));
}

#[test]
fn every_expanded_part_keeps_its_place_in_the_file() {
    let document = expanded(SCENARIO);
    for (pointer, place) in [
        ("/flow/0/id", 5),
        ("/flow/2/client/use", 6),
        ("/flow/3/client/http/get", 7),
        ("/flow/6/id", 7),
        ("/flow/8/expect/same-chain-as", 8),
        ("/breaks/all/change/flow/url-boto3/client", 11),
        ("/breaks/all/fails/open-mc-browser", 12),
        ("/breaks/all/blocks/3", 13),
        ("/variants/elsewhere/change/flow/url-mc/from", 16),
    ] {
        assert_eq!(document.place(pointer), format!("scenario.yaml:{place}"), "{pointer}");
        assert!(document.has(pointer), "{pointer}");
    }
    let text = document.source.text();
    assert_eq!(&text[document.mark("/breaks/all/blocks/2")], "again");
    assert_eq!(&text[document.mark_key("/breaks/all/fails/open-mc-curl")], "open");
    assert_eq!(&text[document.mark_key("/breaks/all/fails/open-boto3-browser")], "open-browser");
}

#[test]
fn a_product_that_is_too_large_is_refused_before_it_is_built() {
    let values: Vec<String> = (0..100).map(|number| format!("v{number}")).collect();
    let axes: Vec<String> = (0..20).map(|axis| format!("  a{axis}: [{}]", values.join(", "))).collect();
    let all: Vec<String> = (0..20).map(|axis| format!("{{{{ matrix.a{axis} }}}}")).collect();
    let text = format!("matrix:\n{}\nflow:\n  - {{ id: a, x: \"{}\" }}\n", axes.join("\n"), all.join(""));
    assert!(messages(&text).contains("more than 200 steps"), "{}", messages(&text));
}

#[test]
fn references_are_found_by_type_and_not_by_the_name_of_the_key() {
    let text = r#"matrix:
  db: [one, two]
flow:
  - { id: end, end: { pod: "{{ matrix.db }}", how: crash } }
  - { id: given, jwt: { token: { service-account: "{{ matrix.db }}" } } }
  - { id: said, log: { of: "deployment/{{ matrix.db }}", since: end } }
  - { id: seen, event: { of: "Pod/{{ matrix.db }}" } }
  - { id: bytes, replica: { of: "bucket/{{ matrix.db }}" } }
  - { id: again, sts: { role: x, token-of: given } }
  - id: objects
    needs: [end]
    apply: { objects: [{ id: "{{ matrix.db }}", of: end, as: end, needs: [end], same-chain-as: "{{ matrix.db }}" }] }
"#;
    let value = expanded(text).value;
    let at = |pointer: &str| value.pointer(pointer).map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
    for (pointer, expected) in [
        ("/flow/5/id", "said-two"),
        ("/flow/5/log/of", "deployment/two"),
        ("/flow/5/log/since", "end-two"),
        ("/flow/7/event/of", "Pod/two"),
        ("/flow/9/replica/of", "bucket/two"),
        ("/flow/11/id", "again-two"),
        ("/flow/11/sts/token-of", "given-two"),
        ("/flow/13/needs/0", "end-two"),
        ("/flow/13/apply/objects/0/id", "two"),
        ("/flow/13/apply/objects/0/of", "end"),
        ("/flow/13/apply/objects/0/as", "end"),
        ("/flow/13/apply/objects/0/needs/0", "end"),
        ("/flow/13/apply/objects/0/same-chain-as", "two"),
    ] {
        assert_eq!(at(pointer).as_deref(), Some(expected), "{pointer}");
    }
}
