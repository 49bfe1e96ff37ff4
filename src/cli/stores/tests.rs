//! Tests of the table of stores: missing cells, contradictions, several steps for one cell, other versions, and the
//! comparison with a record.

use parallax_vocab::event::Verdict;

use super::*;

fn written(rows: &str) -> Written {
    let stores =
        r#"{ "minio": { "name": "MinIO", "image": "minio" }, "other": { "name": "Other", "image": "other" } }"#;
    serde_json::from_str(&format!(r#"{{ "stores": {stores}, "groups": [{{ "title": "URLs", "rows": {rows} }}] }}"#))
        .expect("a table")
}

fn step(fixture: &str, capability: &str, answer: Answer, step: &str) -> Shown {
    let how = if answer == Answer::Works { String::new() } else { format!("as {step} says") };
    let proof = Proof { scenario: "stores/s3".to_owned(), step: step.to_owned(), breaks: vec!["wrong".to_owned()] };
    Shown { fixture: fixture.to_owned(), used: true, capability: capability.to_owned(), answer, how, proof }
}

fn known(image: &str) -> Known {
    Known { default: format!("1.0 of {image}"), others: Vec::new() }
}

fn make(rows: &str, shown: &[Shown]) -> Result<Table, String> {
    Table::make(written(rows), shown, |image| Ok(known(image)))
}

/// Creates a table with one cell of MinIO, whose image has a further version 0.9. `versions` is what `table.yaml` says
/// about it.
fn at_versions(versions: &str) -> Result<Table, String> {
    let mut written = written(GET);
    written.stores["minio"].versions = serde_json::from_str(versions).expect("versions");
    let others = |image: &str| if image == "minio" { vec!["0.9".to_owned()] } else { Vec::new() };
    let shown = [step("minio", "get", Answer::Works, "url")];
    Table::make(written, &shown, |image| Ok(Known { others: others(image), ..known(image) }))
}

const GET: &str =
    r#"[{ "id": "get", "name": "a GET", "asks": "A URL | opens", "not-tried": { "other": "nobody has it" } }]"#;

#[test]
fn each_cell_has_an_answer_and_its_proofs() {
    let table = make(
        r#"[{ "id": "get", "name": "a GET", "asks": "A URL opens" }, { "id": "put", "name": "a PUT", "asks": "It writes", "not-tried": { "minio": "a | b" } }]"#,
        &[
            step("minio", "get", Answer::Works, "url-minio"),
            step("other", "get", Answer::WorksOtherwise, "url-other"),
            step("other", "put", Answer::Missing, "put-other"),
        ],
    );
    let table = table.expect("whole");
    insta::assert_snapshot!(format!("{}\n{}", table.page(), table.proof_page()));
}

#[test]
fn a_table_with_a_gap_or_a_contradiction_is_refused() {
    let good = || step("minio", "get", Answer::Works, "url");
    for (rows, shown, says) in [
        (GET, vec![], "row `get`, store `minio`: no step shows it"),
        (
            GET,
            vec![good(), step("other", "get", Answer::Works, "too")],
            "store `other`: a step shows it, so it was tried",
        ),
        (GET, vec![good(), step("minio", "get", Answer::Missing, "too")], "another that it is missing"),
        (GET, vec![good(), step("minio", "gte", Answer::Works, "too")], "stores/s3: too shows `gte`, which is no row"),
        (
            GET,
            vec![good(), step("minion", "get", Answer::Works, "too")],
            "shows something of `minion`, which is no store",
        ),
        (
            GET,
            vec![Shown { proof: Proof { breaks: Vec::new(), ..good().proof }, ..good() }],
            "stores/s3: url fails in no break, so it shows nothing",
        ),
        (GET, vec![Shown { used: false, ..good() }], "something of `minio`, which its scenario does not use"),
        (
            r#"[{ "id": "get", "name": "a GET", "asks": "x", "not-tried": { "minio": "y", "other": "y", "thrid": "y" } }]"#,
            vec![],
            "row `get` names `thrid`, which is no store",
        ),
    ] {
        let wrong = make(rows, &shown).expect_err(says);
        assert!(wrong.contains(says), "{wrong}");
    }
    assert!(make(GET, &[good()]).is_ok());
    let unknown = Table::make(written(GET), &[good()], |image| Err(format!("{image} has no version")));
    assert_eq!(unknown.expect_err("no version"), "minio has no version\nother has no version");
}

#[test]
fn steps_of_one_cell_add_to_each_other() {
    for (answers, expected, how) in [
        (&[Answer::Works, Answer::WorksOtherwise][..], Answer::WorksOtherwise, "as s1 says"),
        (&[Answer::WorksOtherwise, Answer::WorksOtherwise], Answer::WorksOtherwise, "as s0 says; as s1 says"),
        (&[Answer::Works, Answer::Hole], Answer::Hole, "as s1 says"),
        (&[Answer::Works, Answer::Works], Answer::Works, ""),
    ] {
        let steps = answers.iter().enumerate().map(|(at, it)| step("minio", "get", *it, &format!("s{at}")));
        let cell = cell(steps.collect(), None).expect("no contradiction");
        assert_eq!((cell.answer, cell.how.as_str(), cell.proofs.len()), (expected, how, answers.len()));
    }
}

fn event(json: &serde_json::Value) -> Event {
    serde_json::from_value(serde_json::json!({ "at_ms": 0, "event": json })).expect("an event")
}

fn ended(variant: &str, verdict: Verdict) -> Event {
    event(&serde_json::json!({ "step-ended": {
        "variant": variant, "step": "url", "kind": "http", "verdict": verdict, "attempts": 1, "took_ms": 1,
        "deadline_ms": 1, "course": {}, "place": "x:1",
    } }))
}

fn started(versions: &serde_json::Value) -> Event {
    event(&serde_json::json!({ "run-started": { "format": 1, "run": "r1", "parallax": "0.1.0",
        "started": "2026-11-22T15:00:00Z", "filters": [], "variants": [], "directory": "x", "versions": versions } }))
}

#[test]
fn a_run_confirms_a_cell_or_does_not() {
    let scenario = |verdict| ended("stores/s3", verdict);
    let at = |version: &str, verdict| ended(&format!("stores/s3@k8s-{version}"), verdict);
    let two = || started(&serde_json::json!([{ "k8s": "1.33.13" }, { "k8s": "1.34.4" }]));
    for (events, seen) in [
        (vec![], Seen::NotRun),
        // A break changes the environment on purpose, so the result of its steps says nothing about the store.
        (vec![ended("stores/s3+wrong", Verdict::Passed)], Seen::NotRun),
        (vec![scenario(Verdict::Passed)], Seen::Held),
        (vec![scenario(Verdict::Blocked)], Seen::Failed),
        (vec![scenario(Verdict::Failed), scenario(Verdict::Passed)], Seen::Failed),
        // In a run at several versions, the ids name the versions.
        (vec![two(), at("1.33.13", Verdict::Passed), at("1.34.4", Verdict::Passed)], Seen::Held),
        (vec![two(), at("1.33.13", Verdict::Failed), at("1.34.4", Verdict::Passed)], Seen::Failed),
        (vec![two(), at("1.33.13", Verdict::Failed)], Seen::Failed),
        (vec![two(), at("1.33.13", Verdict::Passed)], Seen::NotRun),
    ] {
        let mut table = make(GET, &[step("minio", "get", Answer::Works, "url")]).expect("whole");
        assert!(table.holds(), "no run says otherwise yet");
        table.compare(&events);
        let cells = &table.rows[0].cells;
        assert_eq!((cells[0].seen, cells[1].seen), (Some(seen), None));
        assert_eq!(table.holds(), seen == Seen::Held);
    }
}

#[test]
fn what_differs_at_another_version_is_seen_at_that_version_alone() {
    let at = |version: &str, verdict| ended(&format!("stores/s3@minio-{version}"), verdict);
    let two = || started(&serde_json::json!([{ "minio": "0.9" }, { "minio": "1.0" }]));
    let one = || started(&serde_json::json!([{ "minio": "0.9" }]));
    let same = r#"{ "0.9": { "ran": ["stores/s3"] } }"#;
    let differs =
        r#"{ "0.9": { "ran": ["stores/s3"], "differs": { "get": "404 `Nothing`" }, "beyond": "no IAM | STS" } }"#;
    for (versions, events, seen) in [
        (differs, vec![one(), ended("stores/s3", Verdict::Failed)], Seen::Held),
        (differs, vec![one(), ended("stores/s3", Verdict::Passed)], Seen::Failed),
        (differs, vec![one()], Seen::NotRun),
        (differs, vec![ended("stores/s3", Verdict::Passed)], Seen::Held),
        (differs, vec![ended("stores/s3", Verdict::Failed)], Seen::Failed),
        (differs, vec![two(), at("0.9", Verdict::Failed), at("1.0", Verdict::Passed)], Seen::Held),
        (differs, vec![two(), at("0.9", Verdict::Passed), at("1.0", Verdict::Passed)], Seen::Failed),
        (same, vec![one(), ended("stores/s3", Verdict::Passed)], Seen::Held),
        (same, vec![one(), ended("stores/s3", Verdict::Failed)], Seen::Failed),
    ] {
        let mut table = at_versions(versions).expect("whole");
        table.compare(&events);
        assert_eq!(table.rows[0].cells[0].seen, Some(seen), "{versions} {events:?}");
    }
    let mut table = at_versions(differs).expect("whole");
    table.compare(&[two()]);
    let page = table.page();
    for part in [
        "| MinIO 0.9 | 0, by `stores/s3` | a GET: 404 `Nothing`; no IAM \\| STS |",
        "compared with a run at these versions: minio 0.9; minio 1.0.",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let page = at_versions(same).expect("whole").page();
    assert!(page.contains("| MinIO 0.9 | 1, by `stores/s3` | – |"), "{page}");
    let page = at_versions(r#"{ "0.9": { "not-run": "nobody has it" } }"#).expect("whole").page();
    assert!(page.contains("| MinIO 0.9 | **not tried**: nobody has it | – |"), "{page}");
}

#[test]
fn a_version_of_which_nothing_true_is_said_is_refused() {
    for (versions, says) in [
        ("{}", "store `minio`: images.lock has version 0.9, and nothing says what was seen at it"),
        (r#"{ "0.9": { "not-run": "x" }, "0.8": { "not-run": "x" } }"#, "0.8 is no other version in images.lock"),
        (r#"{ "0.9": {} }"#, "0.9 has scenarios in `ran`, or a reason"),
        (r#"{ "0.9": { "ran": ["stores/s3"], "not-run": "x" } }"#, "and not both"),
        (r#"{ "0.9": { "ran": ["stores/s4"] } }"#, "0.9 names `stores/s4`, which shows nothing"),
        (
            r#"{ "0.9": { "ran": ["stores/s3"], "differs": { "put": "x" } } }"#,
            "0.9 differs in `put`, which no scenario",
        ),
    ] {
        let wrong = at_versions(versions).expect_err(says);
        assert!(wrong.contains(says), "{wrong}");
    }
}
