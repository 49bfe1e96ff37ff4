//! Tests fixtures whose objects come from a chart and from a kustomization (`tests/charts`), with the programs from
//! images that Parallax builds.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use parallax_provision::on_path;

use super::bench::{Project, copy, no_engine, reserve};
use super::up::{Down, Lines};
use crate::engine::bench::docker;

/// The programs: the name of the image, the path of the program in it, and the name of the program.
const TOOLS: [(&str, &str); 2] = [("helm", "/usr/local/bin/helm"), ("kubectl", "/clients/kubectl")];
/// The place at which the scenario names the chart.
const CHART: &str = "scenarios/from-a-chart/scenario.yaml:7";
/// The place of the fixture.
const APP: &str = "scenarios/from-a-chart/scenario.yaml:5";

/// Returns the project of `tests/charts`, with the fixtures and images of the repository, and with an empty folder
/// `tools`.
fn project() -> Project {
    let project = Project::new();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts");
    for part in ["charts", "overlays", "scenarios"] {
        copy(&ours.join(part), &project.path(part));
    }
    std::fs::create_dir(project.path("tools")).unwrap();
    project
}

/// Returns a command that runs `parallax` with the programs of the folder `tools` in front of those of the machine.
fn parallax(project: &Project, args: &[&str]) -> Command {
    let mut command: Command = project.parallax(args);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(project.path("tools")).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).unwrap());
    command
}

fn run(project: &Project, args: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = parallax(project, args).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), said)
}

/// Gets the programs from their images.
fn get_tools(project: &Project) {
    for (image, program) in TOOLS {
        let built = project.parallax(&["images", "build", image, "--output", "archives"]).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        docker(&["load", "--input", project.path("archives").join(format!("{image}.tar")).to_str().unwrap()]);
        let words = String::from_utf8(built.stdout).unwrap();
        let reference = words.split_whitespace().find(|it| it.starts_with("parallax.local/")).unwrap();
        // Two tests may do this at the same time, each in a folder of its own.
        let folder = project.path("tools").parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
        let container = format!("parallax-charts-{}-{image}", folder.trim_start_matches('.'));
        docker(&["create", "--name", &container, "--label", "io.parallax.test=charts", reference]);
        docker(&["cp", &format!("{container}:{program}"), project.path("tools").join(image).to_str().unwrap()]);
        docker(&["rm", &container]);
    }
}

#[test]
fn objects_come_from_a_chart_and_a_kustomization() {
    if no_engine() {
        return;
    }
    let _reservation = reserve(1);
    let project = project();
    let (code, said) = run(&project, &["e2e"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("{APP}: fixture app runs \"helm template app charts/app\"")), "{said}");
    let (code, said) = run(&project, &["plan"]);
    assert!(code == 0 && said.contains("and those of `kustomize build overlays/red`, which only a run"), "{said}");
    let unconfined = ["e2e", "--allow-host-programs=unconfined"];
    // A container engine without user namespaces, such as that of some CI services, cannot run the programs apart.
    let is_apart = parallax_probe::can_run_apart().is_ok();
    let allowed = if is_apart { ["e2e", "--allow-host-programs"] } else { unconfined };
    // Further folders than those of the PATH are searched.
    if on_path("helm").next().is_none() {
        let (code, said) = run(&project, &allowed);
        assert!(code == 3 && said.contains(&format!("{CHART}: helm is missing; a fixture whose objects")), "{said}");
        assert!(said.contains("install helm 3.0 or newer on the PATH"), "{said}");
    }

    get_tools(&project);
    let (code, said) = run(&project, &allowed);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("7 passed, 0 failed, 0 skipped"), "{said}");

    // Helm's own words name the file of the project.
    project.change("scenarios/from-a-chart/scenario.yaml", "host: ", "hosts: ");
    for how in [allowed, unconfined] {
        let (code, said) = run(&project, &how);
        assert!(code == 2 && said.contains(&format!("{CHART}: `helm template app charts/app` failed")), "{said}");
        assert!(said.contains("app/templates/app.yaml") && said.contains("the value host is missing"), "{said}");
        assert!(!said.contains("copy-of-the-project"), "{said}");
    }
    project.change("scenarios/from-a-chart/scenario.yaml", "hosts: ", "host: ");

    // The overlay names a kustomization of the machine, and the chart a file of the machine.
    if !is_apart {
        return;
    }
    let machines = tempfile::Builder::new().prefix("parallax-victim-").tempdir_in("/tmp").unwrap();
    std::fs::write(machines.path().join("kustomization.yaml"), "resources: [victim.yaml]\n").unwrap();
    let victim = "{ apiVersion: v1, kind: ConfigMap, metadata: { name: victim } }\n";
    std::fs::write(machines.path().join("victim.yaml"), victim).unwrap();
    let up = "../".repeat(20);
    let to = format!("resources: [../base, {up}{}]", machines.path().strip_prefix("/").unwrap().display());
    project.change("overlays/red/kustomization.yaml", "resources: [../base]", &to);
    let (code, said) = run(&project, &allowed);
    assert!(code == 2 && said.contains("`kustomize build overlays/red` failed"), "{said}");
    project.change("overlays/red/kustomization.yaml", &to, "resources: [../base]");
    let schema = format!(r#"{{ "$ref": "file://{}/schema.json" }}"#, machines.path().display());
    std::fs::write(machines.path().join("schema.json"), r#"{ "type": "object" }"#).unwrap();
    std::fs::write(project.path("charts/app/values.schema.json"), schema).unwrap();
    let (code, said) = run(&project, &allowed);
    assert!(code == 2 && said.contains("schema.json: no such file or directory"), "{said}");
}

/// The files that the test edits.
const TEMPLATE: &str = "charts/app/templates/app.yaml";
const VALUES: &str = "charts/values.yaml";

#[test]
fn a_kept_variant_follows_its_chart() {
    if no_engine() {
        return;
    }
    let _reservation = reserve(1);
    let project = project();
    get_tools(&project);
    let is_apart = parallax_probe::can_run_apart().is_ok();
    let allowed = if is_apart { "--allow-host-programs=apart" } else { "--allow-host-programs=unconfined" };
    let _down = Down(&project);
    let (code, said) = run(&project, &["up", "from-a-chart", allowed]);
    assert_eq!(code, 0, "{said}");
    let kubectl = said.lines().find_map(|it| it.split_once("kubectl --kubeconfig ")?.1.strip_suffix(" get pods"));
    let kubectl: Vec<&str> = kubectl.unwrap().split(' ').collect();
    let object = |kind: &str, name: &str, path: &str| {
        let mut command = Command::new(project.path("tools/kubectl"));
        command.arg("--kubeconfig").args(&kubectl).args(["get", kind, name, "--output", &format!("jsonpath={path}")]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let password = || object("secret", "app", "{.data.password}");
    let uids = || ["deployment", "statefulset"].map(|kind| object(kind, "app", "{.metadata.uid}"));
    let (before, of_set_up) = (password(), uids());
    assert!(!before.is_empty() && of_set_up.iter().all(|it| !it.is_empty()), "{said}");

    // The values file has changed, so the ConfigMap follows. The random password stays, and so do the workloads.
    project.change(VALUES, "colour: blue", "colour: red");
    let (code, said) = run(&project, &["rerun", "values"]);
    assert!(code == 1 && said.contains("objects  changed ConfigMap app\n  failed   values"), "{said}");
    assert_eq!((password(), uids()), (before, of_set_up));
    // No file has changed.
    let (code, said) = run(&project, &["rerun", "values"]);
    assert!(code == 1 && !said.contains("objects"), "{said}");

    let mut watch = parallax(&project, &["watch"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (Lines::of(watch.stdout.take().unwrap()), Lines::of(watch.stderr.take().unwrap()));
    assert!(stderr.until("Ctrl-C ends").contains("charts/app, charts/values.yaml, overlays"));
    project.change(VALUES, "colour: red", "colour: blue");
    let said = stdout.until("as declared");
    assert!(said.contains("objects  changed ConfigMap app") && said.contains("ok       values"), "{said}");
    // An error of Helm is shown, and the environment stays.
    project.change(TEMPLATE, "{{ .Values.colour | quote }}", "{{ .Values.colour | quotes }}");
    let said = stderr.until("function \"quotes\" not defined");
    let says = "error: the environment stays as it is: scenarios/from-a-chart/scenario.yaml:7: `helm template app charts/app` failed";
    assert!(said.contains(says), "{said}");
    // A Job is removed, and a ConfigMap is new.
    let text = std::fs::read_to_string(project.path(TEMPLATE)).unwrap().replace("quotes", "quote");
    let (rest, _) = text.split_once("---\napiVersion: batch/v1").unwrap();
    let more = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: { name: more }\n";
    std::fs::write(project.path(TEMPLATE), format!("{rest}{more}")).unwrap();
    let said = stdout.until("as declared");
    assert!(
        said.contains("objects  new ConfigMap more; removed Job app-once") && said.contains("ok       overlay"),
        "{said}"
    );
    assert_eq!(
        (object("configmap", "more", "{.kind}"), object("job", "app-once", "{.kind}")),
        ("ConfigMap".to_owned(), String::new())
    );
    // A kustomization follows, too.
    project.change("overlays/red/kustomization.yaml", "\"value\": \"red\"", "\"value\": \"green\"");
    let said = stdout.until("NOT as declared");
    assert!(said.contains("objects  changed ConfigMap settings") && said.contains("failed   overlay"), "{said}");
    watch.kill().unwrap();
    watch.wait().unwrap();
    // What does not become ready says why. No step runs, and the environment stays.
    project.change("charts/app/values.yaml", "command: busybox", "command: absent");
    let (code, said) = run(&project, &["rerun", "values"]);
    assert!(code == 2 && said.contains("app.ready did not become ready") && said.contains("absent"), "{said}");
    assert!(!said.contains("   values  "), "{said}");
    project.change("charts/app/values.yaml", "command: absent", "command: busybox");
    let (code, said) = run(&project, &["rerun", "values"]);
    assert!(code == 0 && said.contains("objects  changed Deployment app"), "{said}");
}
