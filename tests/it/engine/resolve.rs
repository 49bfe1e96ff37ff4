//! Tests that the program restarts itself if the environment variables refer to another engine than the program uses.

use super::bench::this_binary_as;

#[test]
fn the_environment_is_set_by_one_restart() {
    let mut command = this_binary_as("resolving");
    command.env("DOCKER_HOST", "unix:///here.sock").env_remove("TESTCONTAINERS_COMMAND");
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> =
        printed.lines().filter(|line| line.starts_with("begins") || line.starts_with("goes on")).collect();
    let expected = [
        r#"begins with Ok("unix:///here.sock")"#,
        r#"begins with Ok("unix:///elsewhere.sock")"#,
        r#"goes on with Ok("keep")"#,
    ];
    assert_eq!(lines, expected, "{printed}");
}
