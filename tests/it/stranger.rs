//! Runs Parallax on a project that somebody else wrote, for example one from a pull request. A command that only reads
//! the project must reveal nothing about this machine, and must end within its time limit. A command that would change
//! something on this machine needs the user's consent. The tests need no container engine.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use super::cli::{parallax, project};

const SECRET: &str = "hunter2-hunter2";

/// Returns a project and the folder around it, in which there is a file of secrets. No output may contain the content
/// of this file.
fn with_neighbour() -> (TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("project");
    fs::create_dir_all(root.join("scenarios/x")).unwrap();
    fs::write(home.path().join("credentials"), format!("auths: {{ registry: {SECRET} }}\n{SECRET}: [")).unwrap();
    (home, root)
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Asserts that every read-only command reports `says` in time, and does not reveal the file of secrets outside the
/// project.
fn refused(root: &Path, says: &str) {
    for command in ["lint", "list", "plan"] {
        parallax(root)
            .arg(command)
            .timeout(Duration::from_mins(1))
            .assert()
            .code(2)
            .stderr(contains(says).and(contains(SECRET).not()).and(contains("\u{1b}").not()))
            .stdout(contains(SECRET).not());
    }
}

#[test]
fn the_target_of_a_link_out_of_the_project_is_never_shown() {
    let (_home, root) = with_neighbour();
    symlink("../../../credentials", root.join("scenarios/x/scenario.yaml")).unwrap();
    refused(&root, "scenarios/x/scenario.yaml:1:1");
    refused(&root, "leads out of the project");
    fs::remove_file(root.join("scenarios/x/scenario.yaml")).unwrap();

    symlink("../..", root.join("scenarios/out")).unwrap();
    refused(&root, "leads out of the project");
    fs::remove_file(root.join("scenarios/out")).unwrap();

    fs::create_dir_all(root.join("fixtures/minio")).unwrap();
    symlink("../../../credentials", root.join("fixtures/minio/fixture.yaml")).unwrap();
    refused(&root, "fixtures/minio/fixture.yaml");
    fs::remove_dir_all(root.join("fixtures")).unwrap();

    fs::create_dir(root.join("images")).unwrap();
    symlink("../../credentials", root.join("images/images.lock")).unwrap();
    parallax(&root)
        .args(["images", "list"])
        .assert()
        .failure()
        .stderr(contains("no regular file").and(contains(SECRET).not()))
        .stdout(contains(SECRET).not());
}

#[test]
fn no_command_blocks_on_a_pipe() {
    let (_home, root) = with_neighbour();
    pipe(&root.join("scenarios/x/scenario.yaml"));
    refused(&root, "not a regular file");
    fs::remove_file(root.join("scenarios/x/scenario.yaml")).unwrap();
    fs::create_dir_all(root.join("fixtures/f")).unwrap();
    pipe(&root.join("fixtures/f/fixture.yaml"));
    refused(&root, "not a regular file");
}

#[test]
fn a_file_that_would_be_ignored_is_reported() {
    let project = project();
    let at = |path: &str| project.path().join(path);
    fs::rename(at("scenarios/contract/scenario.yaml"), at("scenarios/contract/Scenario.yml")).unwrap();
    refused(project.path(), "rename it to `scenario.yaml`");
    fs::remove_file(at("scenarios/contract/Scenario.yml")).unwrap();
    // A fixture's folder without a file `fixture.yaml` must be an error. Otherwise the harness could silently use the
    // shipped fixture of the same name.
    fs::create_dir_all(at("fixtures/minio")).unwrap();
    fs::write(at("fixtures/minio/fixture.yml"), "name: minio").unwrap();
    refused(project.path(), "rename `fixture.yml` to `fixture.yaml`");
    fs::remove_file(at("fixtures/minio/fixture.yml")).unwrap();
    fs::write(at("fixtures/minio/minio.yaml"), "kind: x").unwrap();
    refused(project.path(), "the folder has no `fixture.yaml`");
    fs::remove_file(at("fixtures/minio/minio.yaml")).unwrap();
    refused(project.path(), "the folder has no `fixture.yaml`");
}

/// Returns a project whose only fixture exports the result of a template.
fn exporting(template: &str) -> TempDir {
    let project = tempfile::tempdir().unwrap();
    let at = |path: &str| project.path().join(path);
    fs::create_dir_all(at("scenarios/x")).unwrap();
    fs::create_dir_all(at("fixtures/f")).unwrap();
    let fixture = serde_json::json!({
        "name": "f", "summary": "A fixture", "exports": { "out": { "value": template, "doc": "What it makes" } },
    });
    fs::write(at("fixtures/f/fixture.yaml"), fixture.to_string()).unwrap();
    let scenario = "name: x\nsummary: x\nfixtures: { f: { use: f } }\nflow:\n  - { id: a, resource: { api-version: v1, kind: \
                    Namespace, name: \"{{ f.out }}\" }, expect: { object: { kind: Namespace } } }\n";
    fs::write(at("scenarios/x/scenario.yaml"), scenario).unwrap();
    project
}

#[test]
fn the_work_and_the_output_of_a_template_are_limited() {
    parallax(exporting("a {{ 1 + 1 }}").path()).arg("plan").assert().success();
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
        "a {{ 'x' * 90000000 }}",
        &format!("{{% macro d(x) %}}{{{{ x ~ x }}}}{{% endmacro %}}{{{{ {}'x'{} }}}}", "d(".repeat(40), ")".repeat(40)),
        "a {{ ('x' * 100000) | replace('x', 'y' * 100000) }}",
    ] {
        parallax(exporting(template).path()).arg("plan").timeout(Duration::from_mins(1)).assert().code(2).stderr(
            contains("the template takes too many steps or writes too much").or(contains("the template failed")),
        );
    }
}

#[test]
fn text_from_a_file_cannot_control_the_terminal() {
    let project = project();
    let file = project.path().join("scenarios/contract/scenario.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("What k3s promises", "\"\\e]0;pwned\\a\\e[2J ##[add-mask]x \\u202e\"", 1)).unwrap();
    let listed = contains("pwned").and(contains("\u{1b}").or(contains("\u{202e}")).or(contains("##[")).not());
    parallax(project.path()).arg("list").assert().success().stdout(listed);
    // A raw control character is refused. The message shows the line of the character in a harmless form.
    fs::write(&file, text.replacen("What k3s promises", "\u{1b}]0;pwned\u{7} ##[add-mask]x", 1)).unwrap();
    let shown = contains("the control character U+001B").and(contains("\u{1b}").or(contains("##[")).not());
    parallax(project.path()).arg("lint").assert().code(2).stderr(shown);
}

#[test]
fn a_program_on_this_machine_needs_consent() {
    let (_home, root) = with_neighbour();
    let scenario = "name: x\nsummary: x\nvantages: { me: { outside: {} } }\nflow:\n  - id: spy\n    from: me\n    \
                    script: { run: [sh, -c, \"cat /proc/$PPID/environ\"] }\n    expect: { exit: 0 }\n";
    fs::write(root.join("scenarios/x/scenario.yaml"), scenario).unwrap();
    let named = || contains("scenarios/x/scenario.yaml:5: step spy runs \"sh -c cat /proc/$PPID/environ\"");
    parallax(&root).arg("e2e").assert().code(2).stderr(named().and(contains("--allow-host-programs"))).stdout("");
    assert!(!root.join("target").exists(), "nothing was started");
    for command in ["lint", "plan"] {
        parallax(&root).arg(command).assert().success().stdout(named().and(contains("--allow-host-programs")));
    }
    // A program in a container does not run on this machine, so it needs no consent.
    fs::write(
        root.join("scenarios/x/scenario.yaml"),
        scenario.replacen("outside: {}", "outside: { image: clients }", 1),
    )
    .unwrap();
    parallax(&root).arg("plan").assert().success().stdout(contains("--allow-host-programs").not());
}

#[test]
fn a_chart_reveals_nothing_and_helm_needs_consent() {
    let (_home, root) = with_neighbour();
    let scenario = "name: x\nsummary: x\nfixtures:\n  app: { use: helm, chart: charts/app }\nflow:\n  \
                    - { id: up, resource: { api-version: v1, kind: Pod, name: a }, expect: { absent: true } }\n";
    fs::write(root.join("scenarios/x/scenario.yaml"), scenario).unwrap();
    refused(&root, "scenarios/x/scenario.yaml:4:28");
    fs::create_dir_all(root.join("charts/app/files")).unwrap();
    fs::write(root.join("charts/app/Chart.yaml"), "name: app").unwrap();
    for (target, says) in [("../../../../credentials", "leads out of the project"), ("..", "is a link to a folder")] {
        symlink(target, root.join("charts/app/files/a")).unwrap();
        refused(&root, "`charts/app/files/a` ");
        refused(&root, says);
        fs::remove_file(root.join("charts/app/files/a")).unwrap();
    }
    // A program that is called leaves a file.
    let tools = root.join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("helm"), format!("#!/bin/sh\necho called > {}/called", root.display())).unwrap();
    fs::set_permissions(tools.join("helm"), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |command: &str| parallax(&root).arg(command).env("PATH", &tools).assert();
    let named = || contains("scenarios/x/scenario.yaml:4: fixture app runs \"helm template app charts/app\"");
    run("e2e").code(2).stderr(named().and(contains("--allow-host-programs"))).stdout("");
    for command in ["lint", "plan"] {
        run(command).success().stdout(named().and(contains("--allow-host-programs")));
    }
    assert!(!root.join("called").exists());
}

#[test]
fn in_ci_images_other_than_the_shipped_ones_need_consent() {
    let project = project();
    fs::create_dir(project.path().join("images")).unwrap();
    let lock = "images: [{ name: k3s, for: x, reference: 'evil.example/k3s:1' }]";
    fs::write(project.path().join("images/images.lock"), lock).unwrap();
    for command in [&["e2e"][..], &["images", "build"], &["images", "fetch"]] {
        let says = contains("--lock project").and(contains("--lock shipped"));
        parallax(project.path()).args(command).env("CI", "true").assert().code(2).stderr(says).stdout("");
    }
}

#[test]
fn a_report_is_never_written_through_a_link() {
    let record = tempfile::tempdir().unwrap();
    let victim = tempfile::NamedTempFile::new().unwrap();
    fs::write(victim.path(), "mine").unwrap();
    let started = r#"{"at_ms":0,"event":{"note":{"text":"a record"}}}"#;
    fs::write(record.path().join("record.jsonl"), format!("{started}\n")).unwrap();
    for name in ["junit.xml", "report.html"] {
        symlink(victim.path(), record.path().join(name)).unwrap();
    }
    parallax(record.path()).args(["report", "."]).assert().success();
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "mine");
    for name in ["junit.xml", "report.html"] {
        let report = record.path().join(name);
        assert!(report.symlink_metadata().unwrap().is_file(), "{name} is the report now");
        fs::remove_file(&report).unwrap();
        pipe(&report);
    }
    parallax(record.path()).args(["report", "."]).assert().failure().stderr(contains("no regular file"));
}
