//! Tests how the container and the folder for the agent are chosen, and the scripts that write and remove the agent's
//! program.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

fn pod(spec: &Value, running: &[&str], annotations: &Value) -> Pod {
    let status = |name: &&str| json!({ "name": name, "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": { "running": {} } });
    let statuses: Vec<Value> = running.iter().map(status).collect();
    let metadata = json!({ "name": "web", "namespace": "foo", "annotations": annotations });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": { "containerStatuses": statuses } }))
        .expect("a pod")
}

fn attached(pod: &Pod, container: Option<&str>) -> Result<Attached, String> {
    Attached::of(pod, container, "parallax-check-r1".to_owned(), PathBuf::from("agent"), Terms::CHECK)
}

#[test]
fn the_container_is_the_one_that_is_named_or_the_only_one() {
    let two = json!({ "containers": [{ "name": "app" }, { "name": "proxy" }] });
    let one = json!({ "containers": [{ "name": "app" }] });
    let annotated = json!({ "kubectl.kubernetes.io/default-container": "proxy" });
    let all = &["app", "proxy"][..];
    for (spec, running, annotations, wanted, expected) in [
        (&one, all, json!({}), None, Ok("app")),
        (&two, all, json!({}), None, Err("several containers (app, proxy): name one by --container")),
        (&two, all, json!({}), Some("proxy"), Ok("proxy")),
        (&two, all, annotated.clone(), None, Ok("proxy")),
        (&two, all, annotated, Some("app"), Ok("app")),
        (&two, all, json!({}), Some("db"), Err("has no container db, but app, proxy")),
        (
            &one,
            &[],
            json!({}),
            None,
            Err("does not run, so nothing can be asked from it: name another pod: --attach pod/NAME"),
        ),
    ] {
        let found = attached(&pod(spec, running, &annotations), wanted);
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found.container, expected),
            (Err(why), Err(says)) => assert!(why.contains(says), "{why}"),
            (found, expected) => panic!("{found:?}, and not {expected:?}"),
        }
    }
}

#[test]
fn only_volumes_that_end_with_the_pod_are_written() {
    let spec = json!({
        "volumes": [
            { "name": "cache", "emptyDir": {} },
            { "name": "data", "persistentVolumeClaim": { "claimName": "data" } },
        ],
        "containers": [{ "name": "app", "volumeMounts": [
            { "name": "data", "mountPath": "/data" },
            { "name": "cache", "mountPath": "/cache" },
            { "name": "cache", "mountPath": "/tmp" },
            { "name": "cache", "mountPath": "/read", "readOnly": true },
        ] }],
    });
    let found = attached(&pod(&spec, &["app"], &json!({})), None).expect("a container");
    assert_eq!(found.folders().collect::<Vec<_>>(), ["/tmp", "/var/tmp", "/run", "/dev/shm", "/cache"]);
}

#[test]
fn an_ephemeral_container_has_the_rights_of_the_application_and_no_more() {
    let of_container = json!({ "runAsUser": 7, "privileged": true, "capabilities": { "drop": ["ALL"] } });
    let spec = json!({
        "securityContext": { "runAsUser": 1, "runAsGroup": 2, "runAsNonRoot": true, "fsGroup": 3, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "app", "securityContext": of_container }],
    });
    let found = attached(&pod(&spec, &["app"], &json!({})), None).expect("a container");
    let made = found.ephemeral("agent:1");
    let container = &made["spec"]["ephemeralContainers"][0];
    assert_eq!(
        container["securityContext"],
        json!({ "runAsUser": 7, "runAsGroup": 2, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" } })
    );
    assert_eq!(container["targetContainerName"], "app");
    let _: Pod = serde_json::from_value(
        json!({ "metadata": {}, "spec": { "containers": [], "ephemeralContainers": [container] } }),
    )
    .expect("fields of the API");
}

#[test]
fn the_state_of_an_ephemeral_container_is_found() {
    let of = |state: &Value| {
        let status =
            json!({ "name": "check", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        serde_json::from_value::<Pod>(json!({ "metadata": {}, "status": { "ephemeralContainerStatuses": [status] } }))
            .expect("a pod")
    };
    let waits = |reason: &str| of(&json!({ "waiting": { "reason": reason, "message": "m" } }));
    for (pod, expected) in [
        (of(&json!({ "running": {} })), State::Runs),
        (waits("ContainerCreating"), State::Waits),
        (waits("ErrImageNeverPull"), State::Stuck("ErrImageNeverPull: m".to_owned())),
        (
            of(&json!({ "terminated": { "exitCode": 1, "reason": "Error" } })),
            State::Over("it ended with exit code 1: Error".to_owned()),
        ),
    ] {
        assert_eq!(state(Some(&pod), "check"), expected);
        assert_eq!(state(Some(&pod), "another"), State::Waits);
    }
    assert_eq!(state(None, "check"), State::Over("the pod was deleted".to_owned()));
}

/// Runs a script with the arguments `first` and `folders`. The script finds only the programs in the folder `programs`.
/// Returns the exit code, the standard output and the standard error.
fn script(text: &str, first: &[&str], input: &[u8], folders: &[&Path], programs: &Path) -> (i32, String, String) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text, "parallax"]).args(first).args(folders);
    command.env_clear().env("PATH", programs).env("TMPDIR", "/no-such-folder");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    let mut stdin = child.stdin.take().expect("piped");
    // A script that finds no folder does not read its input. Writing the input then fails, and the error is ignored.
    let _ = stdin.write_all(input);
    drop(stdin);
    let ended = child.wait_with_output().expect("it ended");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (ended.status.code().expect("no signal"), text(ended.stdout), text(ended.stderr))
}

#[test]
fn a_folder_that_runs_no_program_is_passed_over() {
    let root = tempfile::tempdir().expect("a folder");
    let (noexec, good) = (root.path().join("noexec"), root.path().join("good"));
    for folder in [&noexec, &good] {
        std::fs::create_dir(folder).expect("made");
    }
    // The command runs in a mount namespace of its own, so the mount ends with the command.
    let mounted = "mount -t tmpfs -o noexec tmpfs \"$1\" || exit 99; shift; exec \"$@\"";
    let isolated = |then: &[&str], folders: &[&Path]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "/bin/sh", "-c", mounted, "mounted"]).arg(&noexec);
        command.args(then).args(folders).env("TMPDIR", "/no-such-folder").stdin(Stdio::null());
        command.output().ok()
    };
    let may_mount = isolated(&["true"], &[]).is_some_and(|it| it.status.success());
    if !may_mount {
        eprintln!("NOT TESTED: the test needs a mount of its own, and this process is not allowed to make one");
        return;
    }
    let put = ["/bin/sh", "-c", PUT, "parallax", "agent", "0"];
    let refused = isolated(&put, &[&noexec]).expect("it runs");
    assert_eq!(refused.status.code(), Some(NO_FOLDER));
    assert_eq!(String::from_utf8_lossy(&refused.stderr), format!("{} is mounted noexec\n", noexec.display()));
    let taken = isolated(&put, &[&noexec, &good]).expect("it runs");
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    assert_eq!(String::from_utf8_lossy(&taken.stdout), format!("{}\n", good.join("agent").display()));
}

#[test]
fn the_scripts_put_a_whole_program_into_a_folder_and_remove_it() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = |name: &str| {
        let path = root.path().join(name);
        std::fs::create_dir(&path).expect("made");
        path
    };
    let (good, few, many, missing) = (folder("good"), folder("few"), folder("many"), root.path().join("missing"));
    for (programs, names) in [(&few, &["sh", "cat", "chmod", "rm"][..]), (&many, &["sh", "cat", "chmod", "rm", "wc"])] {
        for name in names {
            symlink(Path::new("/bin").join(name), programs.join(name))
                .or_else(|_| symlink(Path::new("/usr/bin").join(name), programs.join(name)))
                .expect("linked");
        }
    }
    // The bytes are not valid UTF-8, like those of a real program.
    let program: Vec<u8> = (0..200_000_u32).map(|it| u8::try_from(it % 251).expect("small")).collect();
    let length = program.len().to_string();
    let file = good.join("agent");
    for programs in [&few, &many] {
        let put = script(PUT, &["agent", &length], &program, &[&missing, &good], programs);
        assert_eq!(put, (0, format!("{}\n", file.display()), String::new()));
        assert_eq!(std::fs::read(&file).expect("there"), program);
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o700);
        assert_eq!(script(REMOVE, &["agent"], &[], &[&missing, &good], programs).0, 0);
        assert!(!file.exists());
    }
    // While a program runs, the kernel lets nobody write its file. The script must replace the file.
    std::fs::copy("/bin/sleep", &file).expect("copied");
    let mut runs = Command::new(&file).arg("60").spawn().expect("it runs");
    let put = script(PUT, &["agent", &length], &program, &[&good], &many);
    runs.kill().and_then(|()| runs.wait()).expect("ended");
    assert_eq!(put, (0, format!("{}\n", file.display()), String::new()));
    assert_eq!(std::fs::read(&file).expect("there"), program);
    // Only a part of the program arrives. The script counts the bytes with `wc`. They are fewer than announced, so the
    // script removes the file.
    let (exit, _, said) = script(PUT, &["agent", &length], &program[1..], &[&good], &many);
    assert!(exit == 4 && said.contains("did not take all") && !file.exists(), "{exit}: {said}");
    // If no folder is suitable, the script prints no path on standard output. Without a path, the harness sends no
    // input.
    let refused = |folder: &Path| script(PUT, &["agent", &length], &program, &[folder], &many);
    assert_eq!(refused(&missing), (NO_FOLDER, String::new(), String::new()));
    // Nobody can create a file in `/proc`, not even root.
    assert_eq!(refused(Path::new("/proc")), (NO_FOLDER, String::new(), "/proc cannot be written\n".to_owned()));
}
