//! Tests of `parallax e2e` on a machine without a container engine.

use super::bench::{Project, no_engine};

#[test]
fn a_missing_engine_is_reported_with_its_name_and_a_fix() {
    let project = Project::held();
    let mut command = project.parallax(&["e2e"]);
    command.env("DOCKER_HOST", "unix:///nonexistent");
    let ended = super::bench::Run::start(command, &project).end();
    ended.assert_code(3);
    // On a busy machine, the search for the engine takes so long that the summary has two more lines, which are about
    // times. This filter removes these two lines.
    let phases = (r"(?m)^time .*\n.*the harness itself .*\n", "");
    let filters = [phases, (r"\d+\.\d s", "[time]"), (r"\br[0-9a-f]{8}\b", "[run]")];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(ended.stdout, @r"
    held
      ERROR    baseline    [time]  no container engine answers here; tried /nonexistent (DOCKER_HOST): absent

    ERROR  engine (the container engine), after [time]
      no container engine answers here; tried /nonexistent (DOCKER_HOST): absent
        fix        start the engine that is named by DOCKER_HOST, or unset that to use this machine's own
        no verdict held
        | /nonexistent (DOCKER_HOST): absent

    reports  target/e2e/[run]/report.html, junit.xml and record.jsonl (run [run])

    the harness, the engine or the machine failed (exit 3, [time])
    0 passed, 1 failed, 0 skipped
    "); });
}

#[test]
fn doctor_fails_where_one_of_its_rows_says_error() {
    if no_engine() {
        return;
    }
    let project = Project::held();
    let doctor = |bundle: &str| {
        let mut command = project.parallax(&["doctor"]);
        for name in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO"] {
            command.env_remove(name);
        }
        command.env("SSL_CERT_FILE", bundle).output().unwrap()
    };
    let wrong = doctor("/nonexistent/ca.pem");
    let (table, said) = (String::from_utf8_lossy(&wrong.stdout), String::from_utf8_lossy(&wrong.stderr));
    assert_eq!(wrong.status.code(), Some(3), "{table}\n{said}");
    assert!(table.contains("ERROR    CA variables") && !table.contains("can work on this machine"), "{table}");
    assert!(said.contains("the row CA variables says ERROR"), "{said}");
    let right = doctor("");
    assert_eq!(right.status.code(), Some(0), "{}", String::from_utf8_lossy(&right.stdout));
}
