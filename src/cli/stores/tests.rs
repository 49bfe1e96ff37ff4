//! Tests of the table of stores: missing cells, contradictions, several steps for one cell, and the comparison with a
//! record.

use super::*;

fn written(rows: &str) -> Written {
    let stores =
        r#"{ "minio": { "name": "MinIO", "image": "minio" }, "other": { "name": "Other", "image": "other" } }"#;
    serde_json::from_str(&format!(r#"{{ "stores": {stores}, "rows": {rows} }}"#)).expect("a table")
}

fn step(fixture: &str, capability: &str, answer: Answer, step: &str) -> Shown {
    let how = if answer == Answer::Works { String::new() } else { format!("as {step} says") };
    let proof = Proof { scenario: "stores/s3".to_owned(), step: step.to_owned(), breaks: vec!["wrong".to_owned()] };
    Shown { fixture: fixture.to_owned(), used: true, capability: capability.to_owned(), answer, how, proof }
}

fn make(rows: &str, shown: &[Shown]) -> Result<Table, String> {
    Table::make(written(rows), shown, |image| Ok(format!("1.0 of {image}")))
}

const GET: &str = r#"[{ "id": "get", "asks": "A URL | opens", "not-tried": { "other": "nobody has it" } }]"#;

#[test]
fn each_cell_has_an_answer_and_its_proofs() {
    let table = make(
        r#"[{ "id": "get", "asks": "A URL opens" }, { "id": "put", "asks": "It writes", "not-tried": { "minio": "a | b" } }]"#,
        &[
            step("minio", "get", Answer::Works, "url-minio"),
            step("other", "get", Answer::WorksOtherwise, "url-other"),
            step("other", "put", Answer::Missing, "put-other"),
        ],
    );
    insta::assert_snapshot!(table.expect("whole").page());
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
            r#"[{ "id": "get", "asks": "x", "not-tried": { "minio": "y", "other": "y", "thrid": "y" } }]"#,
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

#[test]
fn a_run_confirms_a_cell_or_does_not() {
    let ended = |variant: &str, step: &str, verdict: Verdict| -> Event {
        let ended = serde_json::json!({
            "variant": variant, "step": step, "kind": "http", "verdict": verdict, "attempts": 1, "took_ms": 1,
            "deadline_ms": 1, "course": {}, "place": "x:1",
        });
        serde_json::from_value(serde_json::json!({ "at_ms": 0, "event": { "step-ended": ended } })).expect("an event")
    };
    let scenario = |verdict| ended("stores/s3", "url", verdict);
    let at = |version: &str, verdict| ended(&format!("stores/s3@k8s-{version}"), "url", verdict);
    for (events, seen) in [
        (vec![], Seen::NotRun),
        // A break changes the environment on purpose, so the result of its steps says nothing about the store.
        (vec![ended("stores/s3+wrong", "url", Verdict::Passed)], Seen::NotRun),
        (vec![scenario(Verdict::Passed)], Seen::Held),
        (vec![scenario(Verdict::Blocked)], Seen::Failed),
        (vec![scenario(Verdict::Failed), scenario(Verdict::Passed)], Seen::Failed),
        // In a run at several versions, the ids name the versions.
        (vec![at("1.33.13", Verdict::Passed), at("1.34.4", Verdict::Passed)], Seen::Held),
        (vec![at("1.33.13", Verdict::Failed), at("1.34.4", Verdict::Passed)], Seen::Failed),
    ] {
        let mut table = make(GET, &[step("minio", "get", Answer::Works, "url")]).expect("whole");
        assert!(table.holds(), "no run says otherwise yet");
        table.compare(&events);
        let cells = &table.rows[0].cells;
        assert_eq!((cells[0].seen, cells[1].seen), (Some(seen), None));
        assert_eq!(table.holds(), seen == Seen::Held);
    }
}
