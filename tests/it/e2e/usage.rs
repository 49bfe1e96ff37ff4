//! Tests of mistakes that the harness finds before it starts anything. The exit code must be 2, and the output must
//! contain the place of the mistake and the likely fix.

use super::bench::Project;

const FILE: &str = "scenarios/presign/presigned-url/scenario.yaml";

#[test]
fn a_misspelt_key_is_shown_with_its_place_and_starts_nothing() {
    let project = Project::presigned_url();
    project.change(FILE, "summary: The URL has expired", "sumary: over");
    let output = project.parallax(&["e2e"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let text = std::fs::read_to_string(project.path(FILE)).unwrap();
    let line = text.lines().position(|line| line.contains("sumary")).unwrap() + 1;
    let said = String::from_utf8_lossy(&output.stderr);
    for part in [
        "unknown key `sumary`",
        &format!("{FILE}:{line}:5]"),
        "sumary: over",
        "help: did you mean `summary`?",
        "error: 1 mistake in the project's files; nothing was started",
    ] {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    assert!(!project.path("target").exists() && !project.path("state").exists(), "something was started");
}

#[test]
fn a_filter_without_a_match_suggests_the_nearest_name_and_starts_nothing() {
    let project = Project::presigned_url();
    let output = project.parallax(&["e2e", "presign/presigned-ulr"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"error: `presign/presigned-ulr` matches no scenario (did you mean `presign/presigned-url`?); `parallax list` shows all 1");
    assert!(!project.path("target").exists() && !project.path("state").exists(), "something was started");
}
