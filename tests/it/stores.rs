//! Compares `docs/stores.md` with the scenarios and with their recorded answers.

use std::path::Path;

use super::cli::{parallax, project};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_page_of_stores_is_up_to_date() {
    parallax(repository()).args(["stores", "--check"]).assert().success();
}

#[test]
fn each_cell_is_what_the_recorded_answers_saw() {
    let output = parallax(repository()).args(["stores", "--json", "--of", "tests/answers.jsonl"]).output().unwrap();
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let cells = table["rows"].as_array().unwrap().iter().flat_map(|row| row["cells"].as_array().unwrap());
    let (mut shown, mut not) = (0, Vec::new());
    for cell in cells.filter(|cell| cell["answer"] != "not-tried") {
        shown += 1;
        if cell["seen"] != "held" {
            not.push(cell["proofs"].to_string());
        }
    }
    assert!(shown > 0 && not.is_empty(), "{shown} cells are shown; not by the recorded answers: {not:?}");
    assert!(output.status.success());
}

#[test]
fn a_project_without_the_rows_is_a_usage_error() {
    let project = project();
    parallax(project.path()).arg("stores").assert().code(2).stderr(predicates::str::contains("table.yaml"));
}
