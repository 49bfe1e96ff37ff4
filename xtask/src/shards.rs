//! `cargo xtask shards` runs selected scenarios twice: in one run, and as the Job of `parallax shards` on a cluster
//! with the harness's own node image. The merged verdicts of the Job must be equal to the verdicts of the one run.
//!
//! This program writes a project with one scenario. The environment of this scenario contains a bucket and the Job. The
//! flow waits for the Job, and then a script merges and compares the records. No image registry is needed, because the
//! image of the Job's pods contains the cache of images.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::cargo;
use crate::folders::caches;
use crate::parts::say;

/// The folder for the written projects, the runs and the records of this task.
const HOME: &str = "target/shards";
/// The name of the Job, of its ConfigMap, and of the Job's folder in the bucket.
const JOB: &str = "shards";
/// The images that every run needs in addition to the images of its scenarios.
const ALWAYS: [&str; 4] = ["k3s", "agent", "coredns", "pause"];
/// A scenario that fails on purpose, because the merge must also work with a failed verdict.
const WRONG: &str = "name: wrong
summary: A namespace is there that nobody made
flow:
  - { id: there, resource: { api-version: v1, kind: Namespace, name: nosuch }, expect: { object: { kind: Namespace } } }
";

/// The command-line arguments of `cargo xtask shards`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The number of shards into which the Job divides the scenarios.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    shards: u16,
    /// The number of shards that run at the same time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    parallelism: u16,
    /// The number of further nodes of the cluster. If there are further nodes, the pods of the Job run on them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    agents: u16,
    /// Run all scenarios of this repository. The two runs need about an hour on two cores, and 30 GB of disk.
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Compare the Job with this record of an earlier run of all scenarios, instead of running all scenarios once more.
    /// The scenario that fails on purpose is then left out.
    #[arg(long, value_name = "RECORD", requires = "all")]
    of: Option<PathBuf>,
    /// The scenarios of this repository to run, by their paths below `scenarios`, such as `presign/split-horizon`.
    #[arg(value_name = "SCENARIO", default_values = ["language/no-witness", "presign/split-horizon"])]
    scenarios: Vec<String>,
}

/// Runs the scenarios in one run and as a Job. Returns whether the Job succeeded with the verdicts of the one run.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let parallax = cargo::build()?;
    let home = Path::new(HOME);
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("failed to remove {HOME}"))?;
    }
    let project = home.join("project");
    if arguments.all {
        copy(Path::new("scenarios"), &project.join("scenarios"))?;
    } else {
        for scenario in &arguments.scenarios {
            copy(&Path::new("scenarios").join(scenario), &project.join("scenarios").join(scenario))?;
        }
    }
    let expected = if let Some(record) = &arguments.of {
        verdicts(&read(record)?)
    } else {
        write(&project.join("scenarios/wrong/scenario.yaml"), WRONG)?;
        one_run(&parallax, &project, &home.join("plain"))?
    };

    say("== the Job");
    let cluster = home.join("cluster");
    let cache = cluster.join("images/shard/cache/var/cache/parallax");
    cached_images(&parallax, &project, &cache)?;
    write(&cluster.join("images/images.lock"), LOCK)?;
    write(&cluster.join("images/shard/recipe.yaml"), &recipe(&read(Path::new("images/runner/recipe.yaml"))?)?)?;
    copy(Path::new("fixtures/minio-http"), &cluster.join("fixtures/bucket"))?;
    let fixture = cluster.join("fixtures/bucket/fixture.yaml");
    write(&fixture, &bucket(&read(&fixture)?)?)?;
    let manifest = manifest(&parallax, &project, arguments)?;
    write(&cluster.join("scenarios/job/scenario.yaml"), &scenario(&manifest, &expected, arguments))?;
    let mut command = Command::new(&parallax);
    command.args(["e2e", "--k3s", "built", "--project"]).arg(&cluster).arg("--out").arg(home.join("job"));
    let equal = cargo::succeeds(&mut command)?;
    say(&format!(
        "{} verdicts, {} shards: {}",
        expected.lines().count(),
        arguments.shards,
        if equal { "equal" } else { "NOT EQUAL" }
    ));
    Ok(equal)
}

/// Runs the scenarios of the project in one run. Returns the verdicts.
fn one_run(parallax: &Path, project: &Path, out: &Path) -> Result<String> {
    say("== one run");
    let status = Command::new(parallax)
        .args(["e2e", "--k3s", "built", "--project"])
        .arg(project)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .status()
        .context("failed to start parallax")?;
    ensure!(status.code() == Some(1), "one scenario is wrong, so the run must exit 1, and it ended with {status}");
    Ok(verdicts(&read(&out.join("latest/record.jsonl"))?))
}

const LOCK: &str = "extends: shipped
images:
  - { name: shard, for: the pods of the Job, recipe: shard }
";

/// Returns the recipe of the image of the Job's pods. `runner` is the recipe `images/runner`. The result also contains
/// the cache of images, and a link to the agent at the path that the pod of a vantage starts.
fn recipe(runner: &str) -> Result<String> {
    let more = "  - files: cache\n  - links: { parallax-agent: /usr/local/bin/parallax-agent }\nconfig:\n";
    replace(runner, "config:\n", more)
}

/// Returns the fixture of the bucket: a MinIO. Its Secret also contains the store's keys under the names of the
/// environment variables that the AWS CLI reads.
fn bucket(minio: &str) -> Result<String> {
    let text = replace(minio, "name: minio-http\n", "name: bucket\n")?;
    let keys = "    keys: { access-key: 20, secret-key: 40 }\n";
    let files = "    files: { AWS_ACCESS_KEY_ID: $access-key, AWS_SECRET_ACCESS_KEY: $secret-key }\n";
    replace(&text, keys, &format!("{keys}{files}"))
}

/// Returns the YAML documents that `parallax shards` prints, changed for the cluster that this task starts.
fn manifest(parallax: &Path, project: &Path, arguments: &Arguments) -> Result<String> {
    let (shards, parallelism) = (arguments.shards.to_string(), arguments.parallelism.to_string());
    let output = Command::new(parallax)
        .args(["shards", "--as", "job", "--name", JOB, "--image", "shard", "--cpu", "500m", "--memory", "1Gi"])
        .args(["--upload", "s3://runs", "--endpoint", "http://minio", "--secret", "minio-root"])
        .args(["--shards", &shards, "--parallelism", &parallelism, "--project"])
        .arg(project)
        .args(["--", "--k3s", "built", "--retry-machine", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start parallax")?;
    ensure!(output.status.success(), "parallax shards ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the manifest is not text")?;
    if arguments.agents == 0 {
        return Ok(text);
    }
    let pods = "      enableServiceLinks: false\n";
    let there =
        "      nodeSelector: { pool: shards }\n      tolerations: [{ key: parallax.dev/agent, operator: Exists }]\n";
    replace(&text, pods, &format!("{pods}{there}"))
}

/// Returns the scenario whose environment contains the bucket and the Job. `expected` are the verdicts that the merged
/// record must have.
fn scenario(manifest: &str, expected: &str, arguments: &Arguments) -> String {
    let objects: String = manifest.split("---\n").map(|document| item(document, 8)).collect();
    let names: Vec<String> = (1..=arguments.agents).map(|number| format!("agent-{number}")).collect();
    let (mut cluster, mut labels) = (String::new(), String::new());
    if !names.is_empty() {
        let agents: Vec<String> = names.iter().map(|name| format!("{{ name: {name} }}")).collect();
        cluster = format!("cluster:\n  agents: [{}]\n", agents.join(", "));
        let label = |name: &String| {
            let node = format!("api-version: v1, kind: Node, name: {name}");
            // A further node joins some time after the cluster is ready, so the flow waits for the node.
            let joined = format!(
                "  - {{ id: joined-{name}, resource: {{ {node} }}, expect: {{ object: {{ kind: Node }} }}, eventually: 60s }}"
            );
            format!(
                "{joined}\n  - {{ id: pool-{name}, patch: {{ {node}, merge: {{ metadata: {{ labels: {{ pool: shards }} }} }} }} }}\n"
            )
        };
        labels = names.iter().map(label).collect::<Vec<_>>().concat();
    }
    let shards = arguments.shards;
    let failed = expected.lines().filter(|verdict| verdict.contains(NOT_AS_EXPECTED)).count();
    let code = u8::from(failed > 0);
    let expected = indented(expected, 8);
    format!(
        r#"name: job
summary: The shards of a Job have the verdicts of one run
{cluster}fixtures:
  bucket: {{ use: bucket, host: bucket.example.com, buckets: [runs] }}
  names: {{ use: dns-rewrite, from: "{{{{ bucket.host }}}}", to: "{{{{ bucket.service }}}}" }}
vantages:
  app: {{ pod: {{ image: shard }} }}
flow:
{labels}  - id: started
    apply:
      objects:
{objects}  - id: ended
    resource: {{ api-version: batch/v1, kind: Job, name: {JOB} }}
    expect: {{ object: {{ status: {{ succeeded: {shards} }} }} }}
    eventually: {LIMIT}
  - id: equal
    from: app
    script:
      store: bucket
      run:
        - sh
        - -c
        - |
          code=0
          parallax merge s3://runs/{JOB} --out whole || code=$?
          sed -n '{VERDICT}' whole/record.jsonl | awk -F '{OUTCOME}' '{LAST}' | LC_ALL=C sort > verdicts
          # 1 is the verdict of the run, so unequal verdicts must end with another code.
          diff - verdicts || exit 9
          exit "$code"
      stdin: |
{expected}    expect: {{ exit: {code}, stdout: "{failed} failed" }}
"#
    )
}

/// The words in the output of `parallax images list` for an image without a recipe. Such an image can only be pulled.
const NO_RECIPE: &str = "no recipe";

/// The time limit of the Job. The scenario waits for the Job with a watch, so the wait ends as soon as the Job ends.
const LIMIT: &str = "2h";

/// A `sed` script that selects the verdicts in a record: each variant with its outcome. The script leaves out the
/// duration. It also leaves out the reason of a skip, because the reason may contain an address of the machine.
const VERDICT: &str =
    r#"s/^.*{"variant-ended":{\("variant":.*\),"took_ms":[0-9]*}}}$/\1/; T; s/{"skipped":.*$/"skipped"/; p"#;

/// An `awk` program that keeps only the last verdict of each variant. A variant has several verdicts if it was run
/// again after a failure of the machine.
const LAST: &str = r"{ last[$1] = $0 } END { for (variant in last) print last[variant] }";

/// The text between the name of a variant and its outcome in a line of the record.
const OUTCOME: &str = ",\"outcome\":";

/// The text that only the verdict of a failed variant contains.
const NOT_AS_EXPECTED: &str = "\"not-as-expected\"";

/// Returns the verdicts of a record, one line each, in the form that [`VERDICT`] and [`LAST`] select.
fn verdicts(record: &str) -> String {
    let verdict = |line: &str| {
        let (verdict, _) = line.split_once("{\"variant-ended\":{")?.1.rsplit_once(",\"took_ms\":")?;
        let (variant, outcome) = verdict.split_once(OUTCOME)?;
        let outcome = if outcome.starts_with("{\"skipped\":") { "\"skipped\"" } else { outcome };
        Some((variant.to_owned(), format!("{variant}{OUTCOME}{outcome}\n")))
    };
    let last: BTreeMap<String, String> = record.lines().filter_map(verdict).collect();
    let mut lines: Vec<String> = last.into_values().collect();
    lines.sort_unstable();
    lines.concat()
}

/// Returns a YAML document as an item of a list. `depth` is the indentation of the item, in spaces.
fn item(document: &str, depth: usize) -> String {
    let lines: Vec<&str> = document.lines().filter(|line| !line.starts_with('#')).collect();
    let text = indented(&lines.join("\n"), depth + 2);
    text.replacen(&" ".repeat(depth + 2), &format!("{:depth$}- ", ""), 1)
}

fn indented(text: &str, depth: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{:depth$}{line}\n", "")).collect();
    lines.concat()
}

/// Finds the archives of the images that the project's scenarios need, and puts links to them and to their digests into
/// the folder `to`. The image of the Job's pods is built from this folder.
fn cached_images(parallax: &Path, project: &Path, to: &Path) -> Result<()> {
    let said = |args: &[&str]| -> Result<String> {
        let output = Command::new(parallax).args(args).arg("--project").arg(project).output();
        let output = output.context("failed to start parallax")?;
        ensure!(output.status.success(), "parallax {} ended with {}", args.join(" "), output.status);
        String::from_utf8(output.stdout).context("parallax printed no text")
    };
    let plan: serde_json::Value = serde_json::from_str(&said(&["plan", "--json"])?).context("the plan is no JSON")?;
    let mut names: Vec<&str> = ALWAYS.to_vec();
    names.extend(plan["images"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str));
    names.sort_unstable();
    names.dedup();
    let list = said(&["images", "list"])?;
    let cache = cache()?;
    for name in names {
        let listed = built(&list, name).with_context(|| format!("`parallax images list` does not list {name}"))?;
        if listed == NO_RECIPE {
            // The image has no recipe, so it is only in a registry. The scenarios that need this image are skipped in
            // both runs.
            continue;
        }
        let (build, hash) = build_of(listed).with_context(|| format!("{name} has no build: {listed}"))?;
        // In some archives for a node, the image also has the name under which it is published. The file name of such
        // an archive has `-as-published` before the hash.
        let is_of = |file: &str| file.starts_with(&format!("{build}-")) && file.ends_with(&format!("-{hash}.tar"));
        let file = names_in(&cache.join("images"))?.into_iter().find(|file| is_of(file));
        let file = file.with_context(|| format!("the cache has no archive of {build}:{hash}"))?;
        for (folder, file) in [("images", file.clone()), ("digests", file.replace(".tar", ".json"))] {
            link(&cache.join(folder).join(&file), &to.join(folder).join(&file))?;
        }
    }
    Ok(())
}

/// Returns what `parallax images list` says about the build of an image.
fn built<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = list.lines().skip_while(|line| !line.starts_with(&format!("{name}  ")));
    Some(lines.find_map(|line| line.strip_prefix("  built "))?.trim())
}

/// Returns the name and the hash of a build, such as `parallax.local/node:12ab`.
fn build_of(built: &str) -> Option<(&str, &str)> {
    let (repository, hash) = built.rsplit_once(':')?;
    Some((repository.strip_prefix("parallax.local/")?, hash))
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

fn cache() -> Result<PathBuf> {
    match std::env::var_os("PARALLAX_CACHE").filter(|value| !value.is_empty()) {
        Some(cache) => Ok(PathBuf::from(cache)),
        None => Ok(caches()?.join("parallax")),
    }
}

/// Creates a hard link to a file, or a copy if the folders are on different disks.
fn link(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to read {}", from.display()))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            make_parent(&target)?;
            fs::copy(entry.path(), &target).with_context(|| format!("failed to copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("failed to make {}", parent.display()))
}

/// Replaces the text `from` by `to`. Fails unless `from` occurs exactly once.
fn replace(text: &str, from: &str, to: &str) -> Result<String> {
    if text.matches(from).count() != 1 {
        bail!("the text {from:?} does not occur exactly once; adapt xtask/src/shards.rs");
    }
    Ok(text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_compared_without_times_and_order() {
        let record = concat!(
            r#"{"at_ms":8,"event":{"variant-ended":{"variant":"a","outcome":{"error":{"failure":{}}},"took_ms":12}}}"#,
            "\n",
            r#"{"at_ms":8,"event":{"variant-ended":{"variant":"c","outcome":{"skipped":{"reason":"10.0.0.1"}},"took_ms":0}}}"#,
            "\n",
            r#"{"at_ms":9,"event":{"variant-ended":{"variant":"b","outcome":{"not-as-expected":{"problems":[]}},"took_ms":12}}}"#,
            "\n",
            r#"{"at_ms":9,"event":{"note":{"text":"variant-ended"}}}"#,
            "\n",
            r#"{"at_ms":10,"event":{"variant-ended":{"variant":"a","outcome":"as-expected","took_ms":3}}}"#,
            "\n",
        );
        let expected = "\"variant\":\"a\",\"outcome\":\"as-expected\"\n\"variant\":\"b\",\"outcome\":{\"not-as-expected\":{\"problems\":[]}}\n\"variant\":\"c\",\"outcome\":\"skipped\"\n";
        assert_eq!(verdicts(record), expected);

        // The script in the scenario selects the verdicts with `sed` and `awk`. Both programs together must select the
        // same lines as the function `verdicts`.
        let pipe = format!("printf '%s' \"$0\" | sed -n '{VERDICT}' | awk -F '{OUTCOME}' '{LAST}' | LC_ALL=C sort");
        let output = Command::new("sh").args(["-c", &pipe, record]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }

    #[test]
    fn the_build_of_an_image_is_read_from_the_list() {
        let list = "k3s  the node\n  published  rancher/k3s:v1\n  built      parallax.local/node:12ab\n  now        not here\nagent  the probes\n  published  never\n  built      parallax.local/agent:34cd\noperator  the STS\n  built      no recipe\n";
        let build = |name| built(list, name).map(build_of);
        assert_eq!(build("k3s"), Some(Some(("node", "12ab"))));
        assert_eq!(build("agent"), Some(Some(("agent", "34cd"))));
        assert_eq!(build("operator"), Some(None));
        assert_eq!(built(list, "operator"), Some(NO_RECIPE));
        assert_eq!(build("nosuch"), None);
    }

    #[test]
    fn a_document_becomes_an_item_of_a_list() {
        assert_eq!(item("# note\na: 1\nb:\n  c: 2\n", 2), "  - a: 1\n    b:\n      c: 2\n");
    }

    /// Checks that the recipe and the fixture of this repository still contain the texts that this task replaces.
    #[test]
    fn the_recipe_and_the_fixture_can_be_changed() {
        let read = |path: &str| read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("a file");
        assert!(recipe(&read("images/runner/recipe.yaml")).expect("one config").contains("- files: cache\n"));
        assert!(bucket(&read("fixtures/minio-http/fixture.yaml")).expect("one of each").contains("AWS_ACCESS_KEY_ID"));
    }
}
