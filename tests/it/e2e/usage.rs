//! What is wrong before anything starts: exit 2, the place, and the likely fix.

use super::bench::Project;

#[test]
fn a_misspelt_key_is_shown_with_its_place_and_starts_nothing() {
    let project = Project::presigned_url();
    project.change("scenarios/presign/presigned-url/scenario.yaml", "summary: The URL's time is over", "sumary: over");
    let output = project.parallax(&["e2e"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r"
      x unknown key `sumary`
        ,-[scenarios/presign/presigned-url/scenario.yaml:43:5]
     43 |     sumary: over
        :     ^^^|^^
        :        `-- not known here
        `----
      help: did you mean `summary`?
    error: 1 mistake in the project's files; nothing was started
    ");
    assert!(!project.path("target").exists() && !project.path("state").exists(), "something was started");
}

#[test]
fn a_filter_that_matches_nothing_names_the_nearest_and_starts_nothing() {
    let project = Project::presigned_url();
    let output = project.parallax(&["e2e", "presign/presigned-ulr"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"error: `presign/presigned-ulr` matches no scenario (did you mean `presign/presigned-url`?); `parallax list` shows all 1");
    assert!(!project.path("target").exists() && !project.path("state").exists(), "something was started");
}
