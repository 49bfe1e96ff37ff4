//! Tests the report page in a real browser. The script `page.mjs` searches, filters, follows permalinks, zooms, and
//! selects the dark colours.
//!
//! The page is made from `tests/records/page.jsonl`. This record has six variants of a real run. One of them was
//! altered so that it failed. The test copies the other five variants many times, so that the page has as many variants
//! as a whole catalogue.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use parallax_provision::Tool;

use super::bench::{Project, no_engine, reserve};
use crate::engine::bench::docker;

const RECORD: &str = include_str!("../../records/page.jsonl");
const LOOK: &str = include_str!("page.mjs");
/// The number of copies of the passed variants of the record. With these copies, the page is as long as the page of a
/// whole catalogue.
const COPIES: usize = 48;

#[test]
fn the_page_can_be_searched_filtered_linked_and_zoomed() {
    if no_engine() {
        return;
    }
    let _reserved = reserve(1);
    let image = browser();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("record.jsonl"), record()).unwrap();
    let project = Project::new();
    let made = project.parallax(&["report"]).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(folder.path().join("page.mjs"), LOOK).unwrap();

    let looked = look(&image, folder.path());
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(looked.status.success(), "{said}\n{}", String::from_utf8_lossy(&looked.stderr));
    assert!(said.lines().count() > 20 && said.lines().all(|line| line.starts_with("ok ")), "{said}");

    // The content security policy of the page must stop the browser from running an altered script. Without its script,
    // the page must fail the checks that need the script.
    let page = folder.path().join("report.html");
    let text = fs::read_to_string(&page).unwrap();
    let altered = text.replacen("\"use strict\";", "\"use strict\"; ", 1);
    assert_ne!(altered, text);
    fs::write(&page, altered).unwrap();
    let looked = look(&image, folder.path());
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(!looked.status.success(), "{said}");
    for check in ["search leaves what has every word", "+ zooms the timeline by two", "t turns light, dark, light"] {
        assert!(said.contains(&format!("FAILED {check}")), "{check} holds without a script:\n{said}");
    }
    assert!(said.contains("ok only the red area, scenario and variant are open"), "{said}");
}

/// Returns the image with the browser. The image is built if it does not exist.
fn browser() -> String {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parallax = |args: &[&str]| {
        let output =
            Command::new(assert_cmd::cargo::cargo_bin("parallax")).args(args).current_dir(ours).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let named = |list: &str| {
        let row = list.split("\nbrowser  ").nth(1).expect("a row for the browser");
        let line = row.lines().find(|line| line.trim_start().starts_with("built ")).expect("the built image");
        line.split_whitespace().nth(1).expect("its name").to_owned()
    };
    let image = named(&parallax(&["images", "list"]));
    if docker(&["images", "--quiet", &image]).trim().is_empty() {
        parallax(&["images", "build", "browser", "--lock", "project"]);
    }
    image
}

/// Runs the checks in the browser, in a container without a network.
fn look(image: &str, folder: &Path) -> Output {
    let mount = format!("{}:/page:ro", folder.display());
    let mut command = Command::new(Tool::Docker.command());
    // Other tests compare the lists of the engine's objects. Those tests ignore containers with this label.
    command.args(["run", "--rm", "--label", "io.parallax.test=page"]);
    command.args(["--network", "none", "--volume", &mount, "--env", "PARALLAX_CA_BUNDLE=/dev/null"]);
    command.args(["--entrypoint", "/usr/bin/node", image, "/page/page.mjs", "file:///page/report.html"]);
    command.output().unwrap()
}

/// Returns the record with copies of its passed variants in the areas `area0`, `area1`, …
fn record() -> String {
    let is_repeated = |line: &str| {
        let of_variant = ["\"variant-started\"", "\"step-ended\"", "\"variant-ended\""];
        of_variant.iter().any(|kind| line.contains(kind))
            && !line.contains("\"variant\":\"presign/presigned-url+no-rewrite\"")
    };
    let lines: Vec<&str> = RECORD.lines().collect();
    let (last, before) = lines.split_last().expect("a record");
    let mut text = String::new();
    for line in before {
        text.push_str(line);
        text.push('\n');
    }
    for copy in 0..COPIES {
        for line in lines.iter().filter(|line| is_repeated(line)) {
            let mut line = (*line).to_owned();
            for area in ["presign", "edge", "identity"] {
                line = line.replace(&format!("\"variant\":\"{area}/"), &format!("\"variant\":\"area{copy}/"));
            }
            text.push_str(&line);
            text.push('\n');
        }
    }
    let passed = format!("\"passed\":{}", 5 + 5 * COPIES);
    assert!(last.contains("\"passed\":5"), "{last}");
    text.push_str(&last.replace("\"passed\":5", &passed));
    text.push('\n');
    text
}
