//! A machine without an engine.

use super::bench::Project;

#[test]
fn an_engine_that_is_not_there_is_named_with_the_fix() {
    let project = Project::held();
    let mut command = project.parallax(&["e2e"]);
    command.env("DOCKER_HOST", "unix:///nonexistent");
    let ended = super::bench::Run::start(command, &project).end();
    ended.assert_code(3);
    let filters = [(r"\d+\.\d s", "[time]"), (r"\br[0-9a-f]{8}\b", "[run]")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(ended.stdout, @"") });
}
