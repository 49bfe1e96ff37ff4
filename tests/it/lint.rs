//! Tests of scenario files. Valid files are loaded and expanded, and mistakes in other files are explained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_language::fixture::{Export, Library, hosts};
use parallax_language::scenario::{Diagnostic, Loaded, diagnostic};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn read(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let bytes = std::fs::read(path).expect("readable");
    let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
    let file = path.file_name().expect("a file").to_string_lossy().into_owned();
    Loaded::read(&Library::shipped(), &format!("area/{name}"), &file, &bytes)
}

#[test]
fn the_example_loads_and_expands() {
    let loaded = read(&folder("good").join("presigned-url.yaml"))
        .unwrap_or_else(|errors| panic!("{}", diagnostic::render(&errors, false)));
    let ids: Vec<&str> = loaded.variants.iter().map(|variant| variant.id.as_str()).collect();
    assert_eq!(ids, ["area/presigned-url", "area/presigned-url+no-rewrite", "area/presigned-url+host-rewritten"]);
    let library = Library::shipped();
    let baseline = &loaded.variants[0];
    let expanded = loaded.expand(&library, baseline, "px-1").expect("expands");
    assert_eq!(hosts(&library, &baseline.scenario), ["minio.example.com"]);
    let store = &expanded["store"];
    assert_eq!(store.exports["service"], Export::Value("minio.px-1.svc.cluster.local".to_owned()));
    assert_eq!(expanded["names"].dns_rules[0].to, "minio.px-1.svc.cluster.local");
    insta::assert_snapshot!("expanded", serde_json::to_string_pretty(&expanded).expect("plain data"));

    assert!(!loaded.variants[1].scenario.fixtures.contains_key("names"));
    assert!(!loaded.variants[1].touches.flow_only());
    assert!(loaded.variants[2].touches.flow_only());
    assert_eq!(loaded.place_of("inside"), "presigned-url.yaml:14");
    assert_eq!(loaded.place_of_cause("no-rewrite", "inside"), "presigned-url.yaml:19");
}

/// Checks the repository's own scenarios. Each of them must be read without a warning.
#[test]
fn the_scenarios_of_the_repository_load_and_expand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (library, errors) = Library::load(root);
    assert_eq!(errors, []);
    let (loaded, errors) = parallax_language::scenario::load(&library, root, &[]);
    assert!(errors.is_empty(), "{}", diagnostic::render(&errors, false));
    let mut read: Vec<PathBuf> = loaded.iter().map(|it| root.join(&it.file)).collect();
    read.sort();
    assert_eq!(read, scenario_files(&root.join("scenarios")));
    assert!(!read.is_empty(), "the repository has scenarios");
    let mut images = BTreeSet::new();
    for scenario in &loaded {
        assert!(scenario.warnings.is_empty(), "{}", diagnostic::render(&scenario.warnings, false));
        for variant in &scenario.variants {
            let expanded = scenario.expand(&library, variant, "px");
            let parts =
                expanded.unwrap_or_else(|errors| panic!("{}: {}", variant.id, diagnostic::render(&errors, false)));
            for (id, part) in &parts {
                let objects = part.objects.iter().chain(&part.cluster_objects).map(|it| &it.manifest);
                for image in objects.flat_map(named_images) {
                    assert!(part.images.contains(&image), "{} {id}: the node lacks the image {image}", variant.id);
                    images.insert(image);
                }
            }
        }
    }
    // Some custom resources of operators have an image in a field `image`, although they are not containers. The search
    // must find these images too.
    assert!(images.contains("minio") && images.contains("busybox"), "{images:?}");
}

/// Returns the values of an object's fields `image`, but only values that are names in images.lock. Values that are
/// image references are left out.
fn named_images(object: &Value) -> Vec<String> {
    match object {
        Value::Object(fields) => {
            let own = fields.get("image").and_then(Value::as_str).filter(|it| !it.contains(['/', ':']));
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(named_images)).collect()
        }
        Value::Array(items) => items.iter().flat_map(named_images).collect(),
        _ => Vec::new(),
    }
}

/// Returns all files `scenario.yaml` below a folder, sorted. This function does not use the search of the harness, so
/// that a test can detect a file that the harness does not find.
fn scenario_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            files.extend(scenario_files(&entry));
        } else if entry.ends_with("scenario.yaml") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

/// Tests that two breaks with the same symptom cause a warning. The scenario still runs. The warning tells the user
/// how to distinguish the two faults.
#[test]
fn breaks_that_look_alike_are_a_warning() {
    let loaded = read(&folder("good").join("breaks-that-look-alike.yaml"))
        .unwrap_or_else(|errors| panic!("{}", diagnostic::render(&errors, false)));
    let messages: Vec<&str> = loaded.warnings.iter().map(|it| it.message.as_str()).collect();
    let alike = "the breaks `no-rewrite` and `elsewhere` declare the same failures, so they cannot be distinguished";
    assert_eq!(messages, [alike]);
}

/// Checks the message for every file of `tests/bad`. All messages are in a snapshot. A reviewer of the snapshot should
/// read the messages as a user would.
#[test]
fn bad_scenarios_are_explained() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder("bad")).expect("tests/bad").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are no bad inputs");
    let mut messages = String::new();
    for path in paths {
        let Err(errors) = read(&path) else { panic!("{} loads", path.display()) };
        assert!(!errors.is_empty(), "{} is refused without a message", path.display());
        messages.push_str(&diagnostic::render(&errors, false));
        messages.push('\n');
    }
    insta::assert_snapshot!("bad", messages);
}

/// Tests two things that a new user may write: a parameter that contains the namespace, and a step without `expect`
/// that only reads a value.
#[test]
fn the_namespace_is_known_and_a_look_up_needs_no_expectation() {
    let text = r#"name: first
summary: What a first user writes
fixtures:
  ca: { use: certificate-authority }
  store: { use: minio, host: s3.example.com, tls: { issuer: ca, names: ["*.{{ namespace }}.svc.cluster.local"] } }
vantages:
  host: { outside: { trust: [ca] } }
flow:
  - { id: service, resource: { api-version: v1, kind: Service, name: store }, capture: { port: /spec/ports/0/port } }
  - { id: look, from: host, tls: { host: s3.example.com }, capture: { serial: /evidence/chain/0/serial } }
  - { id: refused, from: host, http: { get: "https://s3.example.com/" }, expect: { s3: AccessDenied } }
"#;
    let library = Library::shipped();
    let loaded = Loaded::read(&library, "area/first", "first.yaml", text.as_bytes());
    let loaded = loaded.unwrap_or_else(|errors| panic!("{}", diagnostic::render(&errors, false)));
    let expanded = loaded.expand(&library, &loaded.variants[0], "px-1").expect("expands");
    let json = serde_json::to_string(&expanded["store"]).expect("plain data");
    assert!(json.contains("*.px-1.svc.cluster.local"), "{json}");
}

/// Tests hostile texts that are generated. Each text must be refused quickly, with a message of bounded size.
#[test]
fn hostile_texts_are_refused_with_short_messages() {
    let head = "name: hostile\nsummary: ";
    let cases = [
        ("a line of 1 MB", format!("{head}{}\nflow: []\n", "x".repeat(1 << 20)), "larger than 256 KiB"),
        (
            "a long line within the limit",
            format!("{head}{}\nflo: []\n", "x y: ".repeat(40_000)),
            "a mapping cannot begin here",
        ),
        ("100,000 brackets", format!("{head}{}", "[".repeat(100_000)), "deeper than 32 levels"),
        ("100,000 dashes", format!("{head}\n{}", "- ".repeat(100_000)), "deeper than 32 levels"),
        ("100,000 anchors", format!("{head}[{}]", "&a x, ".repeat(40_000)), "anchors"),
        (
            "many unknown keys",
            format!("{head}x\n{}", (0..9000).fold(String::new(), |s, n| s + &format!("k{n}: 1\n"))),
            "unknown",
        ),
        (
            "many steps",
            format!("{head}x\nflow:\n{}", "  - { id: a, needs: [b] }\n".repeat(8_000)),
            "more than 200 entries",
        ),
        ("many documents", "--- 1\n".repeat(40_000), "second document"),
        ("a long unknown key", format!("{{ name: hostile, summary: x, {}: 1 }}", "k".repeat(200_000)), "unknown key"),
        ("a long name", format!("name: {}\nsummary: x\nflow: []\n", "n".repeat(200_000)), "the name is `nnn"),
        ("a NUL", "name: \0".to_owned(), "U+0000"),
        ("a byte order mark alone", "\u{feff}".to_owned(), "empty"),
    ];
    for (what, text, says) in cases {
        let before = processor_time();
        let errors = Loaded::read(&Library::shipped(), "hostile", "hostile.yaml", text.as_bytes()).expect_err(what);
        let messages = diagnostic::render(&errors, false);
        assert!(messages.contains(says), "{what}: {}", &messages[..messages.len().min(2000)]);
        assert!(errors.len() <= diagnostic::LIMIT, "{what}: {} errors", errors.len());
        assert!(messages.len() < 64 * 1024, "{what}: {} bytes", messages.len());
        let took = processor_time().saturating_sub(before);
        assert!(took < Duration::from_secs(5), "{what} took {took:?}");
        println!("{what}: {took:?}");
    }
}

/// Returns the processor time of this thread. Wall-clock time would be wrong, because a reader that waits for the
/// processor on a machine under load is not slow.
fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(spent).expect("processor time is not negative")
}

#[test]
fn a_folder_is_visited_once_despite_cyclic_links() {
    let root = tempfile::tempdir().expect("a folder");
    let area = root.path().join("scenarios/area");
    let scenario = area.join("presigned-url");
    std::fs::create_dir_all(&scenario).expect("made");
    std::fs::copy(folder("good").join("presigned-url.yaml"), scenario.join("scenario.yaml")).expect("copied");
    std::os::unix::fs::symlink(root.path().join("scenarios"), area.join("back")).expect("linked");
    std::os::unix::fs::symlink(area.join("self"), area.join("self")).expect("linked");
    let (loaded, errors) = parallax_language::scenario::load(&Library::shipped(), root.path(), &[]);
    assert_eq!(errors, []);
    let paths: Vec<(&str, &str)> = loaded.iter().map(|it| (it.path.as_str(), it.file.as_str())).collect();
    assert_eq!(paths, [("area/presigned-url", "scenarios/area/presigned-url/scenario.yaml")]);

    let (loaded, errors) =
        parallax_language::scenario::load(&Library::shipped(), root.path(), &[root.path().join("none")]);
    assert!(loaded.is_empty());
    assert_eq!(
        errors.iter().map(|it| it.message.as_str()).collect::<Vec<_>>(),
        ["the path cannot be read: No such file or directory (os error 2)"]
    );
}

/// Tests that a scenario that asserts nothing is refused. If the `expect` of a step that only observes is removed, the
/// linter must report the step. If all `expect`s of a scenario are removed, the linter must report the scenario. Some
/// steps need no `expect`. A write to a store and a script must succeed even without an `expect`. A prober's handshakes
/// are judged by another step.
#[test]
fn every_expectation_is_needed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = Library::load(root).0;
    let (mut all, _) = parallax_language::scenario::load(&library, root, &[]);
    all.push(read(&folder("good").join("presigned-url.yaml")).expect("good"));
    let mut taken = 0;
    for loaded in &all {
        // The changed scenario is given as JSON, because JSON is also YAML.
        let messages =
            |value: &Value| match Loaded::read(&library, &loaded.path, "s.yaml", value.to_string().as_bytes()) {
                Ok(_) => Vec::new(),
                Err(errors) => errors.into_iter().map(|error| error.message).collect::<Vec<_>>(),
            };
        let complete = &loaded.document.value;
        assert_eq!(messages(complete), Vec::<String>::new(), "{}", loaded.path);
        let mut without_any = complete.clone();
        let taken_before = taken;
        for (index, step) in loaded.scenario.flow.iter().enumerate().filter(|(_, step)| step.expect.is_some()) {
            without_any["flow"][index].as_object_mut().expect("a step").shift_remove("expect");
            // Whether a step needs an `expect` depends on its kind and its operation: `s3 get` asserts nothing without
            // an `expect`, and `s3 put` does. A step that captures a value asserts that the value exists.
            if !step.action.rules().needs_expect() || !step.capture.is_empty() {
                continue;
            }
            let mut without = complete.clone();
            without["flow"][index].as_object_mut().expect("a step").shift_remove("expect");
            let messages = messages(&without);
            assert!(
                messages.iter().any(|it| it.contains("asserts nothing")),
                "{} {}: {messages:?}",
                loaded.path,
                step.id
            );
            taken += 1;
        }
        let messages = messages(&without_any);
        // Some expectations only say that a step succeeds, which the step asserts anyway. Without such expectations,
        // the scenario asserts the same.
        let needed = taken > taken_before;
        assert!(!needed || messages.iter().any(|it| it.contains("asserts nothing")), "{}: {messages:?}", loaded.path);
    }
    assert!(taken > 10, "{taken} expectations");
}

/// Loads and plans a thousand scenarios, one of which has a mistake. `cargo xtask bench` measures the time.
#[test]
fn the_only_invalid_one_of_a_thousand_scenarios_is_reported() {
    let root = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(folder("good").join("presigned-url.yaml")).expect("readable");
    let write = |number: usize, change: &dyn Fn(String) -> String| {
        let folder = root.path().join(format!("scenarios/area/s{number}"));
        std::fs::create_dir_all(&folder).expect("made");
        let text = text.replacen("name: presigned-url", &format!("name: s{number}"), 1);
        std::fs::write(folder.join("scenario.yaml"), change(text)).expect("written");
    };
    for number in 0..1_000 {
        write(number, &|text| text);
    }
    let library = Library::shipped();
    let check = || {
        let (loaded, errors) = parallax_language::scenario::load(&library, root.path(), &[]);
        let all = loaded.iter().flat_map(|it| it.variants.iter().map(|variant| variant.id.clone())).collect();
        (errors, loaded.len(), parallax_plan::check(&library, &loaded, &all).map_err(|error| error.to_string()))
    };
    let started = std::time::Instant::now();
    assert_eq!(check(), (vec![], 1_000, Ok(())));
    println!("1,000 scenarios, 3,000 variants: {:?}", started.elapsed());

    write(500, &|text| text.replacen("flow:", "flo:", 1));
    let (errors, read, _) = check();
    assert_eq!(read, 999);
    let found: Vec<(&str, &str)> = errors.iter().map(|it| (it.file.as_str(), it.message.as_str())).collect();
    let of = "scenarios/area/s500/scenario.yaml";
    assert_eq!(found, [(of, "the file has no `flow`"), (of, "unknown key `flo`")]);
}

#[test]
fn the_schemas_in_the_repository_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PARALLAX_WRITE_SCHEMAS").is_some() {
        for (path, text) in parallax::cli::pages::schemas() {
            std::fs::write(root.join(path), text).expect("written");
        }
    }
    let stale = parallax_language::scenario::schema::stale(root, &parallax::cli::pages::schemas());
    assert_eq!(stale, Vec::<&str>::new(), "run `parallax schema` to update them");
}

#[test]
fn the_reference_pages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("PARALLAX_WRITE_SCHEMAS").is_some() {
        std::fs::create_dir_all(root.join("docs/reference")).expect("made");
        for (path, text) in parallax::cli::pages::files() {
            std::fs::write(root.join(path), text).expect("written");
        }
    }
    assert_eq!(parallax::cli::pages::differences(root), Vec::<&str>::new(), "run `parallax docs` to update them");
}

#[test]
fn diagnostics_are_available_as_json() {
    let errors = read(&folder("bad").join("misspelt-key.yaml")).expect_err("bad");
    let json = diagnostic::to_json(&errors);
    assert_eq!(json[0]["line"], 13);
    assert_eq!(json[0]["column"], 58);
    assert_eq!(json[0]["fix"], "did you mean `expect`?");
    assert_eq!(errors[0].on_one_line(), "misspelt-key.yaml:13:58: unknown key `expct`; did you mean `expect`?");
}
