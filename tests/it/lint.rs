//! Scenario files: good ones load and expand, bad ones are explained.

use std::path::{Path, PathBuf};

use parallax::fixture::{Export, Library, hosts};
use parallax::scenario::{Diagnostic, Loaded, diagnostic};

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
fn the_example_of_the_design_loads_and_expands() {
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

/// Every file of `tests/bad`, with what it is told: read the snapshot as a person would read the message.
#[test]
fn bad_scenarios_are_explained() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder("bad")).expect("tests/bad").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "{} bad inputs", paths.len());
    let mut told = String::new();
    for path in paths {
        let Err(errors) = read(&path) else { panic!("{} loads", path.display()) };
        assert!(!errors.is_empty(), "{} is refused without a word", path.display());
        told.push_str(&diagnostic::render(&errors, false));
        told.push('\n');
    }
    insta::assert_snapshot!("bad", told);
}
