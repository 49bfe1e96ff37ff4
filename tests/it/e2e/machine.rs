//! A machine without a container engine.

use super::bench::Project;

#[test]
fn a_missing_engine_is_reported_with_its_name_and_a_fix() {
    let project = Project::held();
    let mut command = project.parallax(&["e2e"]);
    command.env("DOCKER_HOST", "unix:///nonexistent");
    let ended = super::bench::Run::start(command, &project).end();
    ended.assert_code(3);
    let filters = [(r"\d+\.\d s", "[time]"), (r"\br[0-9a-f]{8}\b", "[run]")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(ended.stdout, @r"
    held
      ERROR    baseline    [time]  no container engine answers here; tried /nonexistent (DOCKER_HOST): absent

    ERROR  engine (the container engine), after [time]
      no container engine answers here; tried /nonexistent (DOCKER_HOST): absent
        fix        start the engine that is named by DOCKER_HOST, or unset that to use this machine's own
        | /nonexistent (DOCKER_HOST): absent

    ERROR  held: nothing is said about the system under test
      as above: no container engine answers here; tried /nonexistent (DOCKER_HOST): absent

    reports  target/e2e/[run]/report.html, junit.xml and record.jsonl (run [run])

    the harness, the engine or the machine failed (exit 3, [time])
    0 passed, 1 failed, 0 skipped
    "); });
}
