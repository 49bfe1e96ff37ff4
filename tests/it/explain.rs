//! Tests of `parallax explain` with `tests/records/signatures.jsonl`. This file is the record of a real run. Its
//! certificates were removed, and its requests were altered by hand. The scenario files of that run do not exist here,
//! so the command has only the record.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::json;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/records/signatures.jsonl");

fn explain(args: &[&str]) -> assert_cmd::assert::Assert {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::cargo_bin("parallax").expect("the binary is built with the tests");
    command.current_dir(nowhere.path()).arg("explain").args(args).assert()
}

fn text(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
}

#[test]
fn a_record_alone_explains_why_each_step_failed() {
    let assert = explain(&[RECORD]).success();
    let text = text(&assert);
    let sentences: Vec<&str> = text.lines().filter(|line| line.starts_with("  `")).collect();
    insta::assert_snapshot!(sentences.join("\n"));
}

#[test]
fn explanations_from_the_record_equal_those_of_the_run() {
    let text = text(&explain(&[RECORD]).success());
    let record = std::fs::read_to_string(Path::new(RECORD)).expect("reads");
    let mut compared = 0;
    for line in record.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let problems = event.pointer("/event/variant-ended/outcome/not-as-expected/problems");
        for problem in problems.and_then(serde_json::Value::as_array).into_iter().flatten() {
            let sentence = problem["sentence"].as_str().expect("a sentence");
            assert!(text.contains(sentence), "missing in the explanation: {sentence}");
            compared += 1;
        }
    }
    assert_eq!(compared, 15);
}

#[test]
fn one_step_can_be_selected_and_a_wrong_name_is_a_usage_error() {
    let shown = text(&explain(&[RECORD, "host-and-query"]).success());
    let proof = "right for what was signed, wrong for what arrived, right with host and query put back";
    assert!(shown.contains(proof) && !shown.contains("`prefix`"), "{shown}");
    explain(&[RECORD, "host-and-qeury"]).code(2).stderr(contains("did you mean `host-and-query`?")).stdout("");
    explain(&["no-such-record.jsonl"]).code(2).stderr(contains("no-such-record.jsonl"));
}

#[test]
fn a_presigned_url_is_explained_without_its_credentials() {
    let url = "https://minio.example.com/photos/a%20b.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE123%2F20201122%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20201122T150000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec4e75ec4e7";
    let says = contains("minio.example.com").and(contains("photos/a b.txt")).and(contains("eu-west-1"));
    let says = says.and(contains("over, since")).and(contains("5ec4e7").not()).and(contains("AKIDEXAMPLE123").not());
    explain(&[url]).success().stdout(says);
    explain(&["https://minio.example.com/photos/a.txt"]).code(2).stderr(contains("not presigned"));
}

#[test]
fn a_url_is_compared_with_what_a_log_shows() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE123%2F20201122%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20201122T150000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec4e75ec4e7";
    let url = format!("https://minio.example.com/s3/photos/a.txt?{query}");
    let line = format!("10.42.0.1 - - [x] \"GET /photos/a.txt?{query} HTTP/1.1\" 403 421");
    let secret_free = || contains("5ec4e7").not().and(contains("AKIDEXAMPLE123").not());
    let says = || contains("without the prefix `/s3`").and(contains("not shown  host, signature, headers"));
    explain(&[&url, "--saw", &line]).success().stdout(says().and(secret_free()).and(contains("--secret-env VAR")));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("access.log");
    std::fs::write(&file, &line).expect("written");
    explain(&[&url, "--saw", &format!("@{}", file.display())]).success().stdout(says());
    let mut piped = Command::cargo_bin("parallax").expect("the binary is built with the tests");
    piped.args(["explain", &url, "--saw", "-", "--secret-env", "THE_KEY"]).env("THE_KEY", "canary-of-a-key");
    let says = says().and(contains("the given secret key did not make this signature")).and(contains("canary").not());
    piped.write_stdin(line).assert().success().stdout(says);
}

#[test]
fn a_url_is_read_as_it_was_copied_and_told_as_json() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE123%2F20201122%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20201122T150000Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=5ec4e75ec4e7";
    let url = format!("https://minio.example.com/photos/a.txt?{query}");
    let (first, second) = (format!("GET {url}"), format!("GET http://minio.foo.svc:9000/photos/a.txt?{query}"));
    let html = url.replace('&', "&amp;");
    explain(&[&html]).success().stdout(contains("escaped for HTML").and(contains("eu-west-1 (s3)")));
    let assert = explain(&[&html, "--saw", &first, "--saw", &second, "--json"]).success();
    let told: serde_json::Value = serde_json::from_str(&text(&assert)).expect("JSON");
    assert_eq!((&told["saw"][0]["differs"], &told["saw"][1]["differs"]), (&json!([]), &json!(["host"])), "{told:#}");
    let between = told["between"][0]["text"].as_str().expect("a place");
    assert!(between.starts_with("host: as it was signed in 1, and not in 2"), "{between}");
    assert_eq!(told["url"][0]["label"], "read");
    explain(&[RECORD, "--json"]).code(2).stderr(contains("--json"));
}

/// Runs each command of docs/explain.md in the form that the page shows. The output must contain the lines that the
/// page shows below the command, where `…` stands for any text.
#[test]
fn the_commands_of_the_page_print_what_it_says() {
    let page = include_str!("../../docs/explain.md");
    let parallax = Command::cargo_bin("parallax").expect("the binary is built with the tests");
    let folder = Path::new(parallax.get_program()).parent().expect("a folder").to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let blocks: Vec<&str> = page.split("```").collect();
    let (mut variables, mut ran) = (String::new(), 0);
    for (index, block) in blocks.iter().enumerate().filter(|(index, _)| index % 2 == 1) {
        let Some(script) = block.strip_prefix("sh\n") else { continue };
        let expected = blocks.get(index + 2).and_then(|it| it.strip_prefix("text\n"));
        let Some(expected) = expected.filter(|_| script.contains("parallax ")) else {
            variables.push_str(script);
            continue;
        };
        let mut shell = Command::new("sh");
        shell.args(["-euc", &format!("{variables}{script}")]).env("PATH", &path);
        let output = text(&shell.assert().success());
        for line in expected.lines().filter(|it| *it != "…") {
            let mut rest = output.as_str();
            for part in line.split('…') {
                let at =
                    rest.find(part.trim_end()).unwrap_or_else(|| panic!("`{part}` of `{line}` is not in: {output}"));
                rest = &rest[at + part.trim_end().len()..];
            }
        }
        ran += 1;
    }
    assert!(ran >= 5, "{ran} commands ran");
}

#[test]
fn what_cannot_be_compared_is_a_usage_error() {
    let url = "https://h/b/k?X-Amz-Signature=1&X-Amz-Credential=a/20201122/r/s3/aws4_request&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host";
    for (args, says) in [
        (vec![RECORD, "--saw", "GET /"], "give the URL, in quotes"),
        (vec![url, "--saw", "nothing of the kind"], "no request is found"),
        (vec![url, "--saw", "@no-such-file"], "no-such-file cannot be read"),
        (vec![url, "--saw", "GET /", "--secret-env", "PARALLAX_NO_SUCH"], "PARALLAX_NO_SUCH is not set"),
        (vec![url, "--secret-env", "X"], "--saw"),
        (vec!["https://h/b/k?X-Amz-Signature=1", "--saw", "GET /"], "not presigned with SigV4"),
    ] {
        explain(&args).code(2).stderr(contains(says)).stdout("");
    }
}
