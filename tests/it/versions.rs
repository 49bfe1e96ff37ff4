//! Tests of choosing versions on the command line. The tests need no container engine.

use std::fs;

use predicates::str::contains;

use crate::cli::{parallax, project};

#[test]
fn an_unknown_or_ambiguous_version_is_refused_with_the_versions_that_exist() {
    let project = project();
    for (args, says) in [
        (
            &["e2e", "--k8s", "1.30"][..],
            "images.lock has no version \"1.30\" of image k3s; it has 1.34.4, 1.33.13, 1.35.4",
        ),
        (&["e2e", "--k8s", "1.33.1"], "no version \"1.33.1\" of image k3s"),
        (&["e2e", "--k8s", ""], "no version \"\" of image k3s"),
        (&["e2e", "--k8s", "1"], "\"1\" can be several versions of image k3s: 1.34.4, 1.33.13"),
        (&["e2e", "--minio", "2025"], "\"2025\" can be several versions of image minio"),
        (&["e2e", "--minio", "2025-10-15"], "no version \"2025-10-15\" of image minio; it has RELEASE.2026"),
        (&["e2e", "--versitygw", "1"], "\"1\" can be several versions of image versitygw: 1.8.0, 1.7.0"),
        (&["e2e", "--seaweedfs", "4.4"], "no version \"4.4\" of image seaweedfs; it has 4.48, 4.47"),
        (&["e2e", "--garage", "v1"], "no version \"v1\" of image garage; it has 2.5.0, 2.4.0"),
        (&["e2e", "--rgw", "16.2.1"], "no version \"16.2.1\" of image rgw; it has 18.2.7, 16.2.15"),
        (&["e2e", "--versitygw", "1.8,v1.8.0"], "versitygw 1.8.0 is named twice"),
        (&["e2e", "--rgw", "16.2,18.2", "--shard", "1/2"], "--shard with several versions"),
        (&["up", "contract", "--garage", "2.4,2.5"], "`up` uses one version at a time"),
        (&["images", "build", "garage", "--garage", "2.6"], "no version \"2.6\" of image garage"),
        (&["e2e", "--k8s", "1.33,1.30"], "no version \"1.30\""),
        (&["e2e", "--k8s", "1.33,v1.33.13"], "k8s 1.33.13 is named twice"),
        (&["e2e", "--k8s", "1.33,1.35", "--shard", "1/2"], "--shard with several versions"),
        (&["e2e", "--k8s", "1.33,1.35", "--upload", "s3://bucket/f"], "--upload with several versions"),
        (&["e2e", "--k8s", "1.33", "--kubeconfig", "x"], "cannot be used with"),
        (&["up", "contract", "--k8s", "1.33,1.35"], "`up` uses one version at a time"),
        (&["up", "contract", "--k8s", "1.30"], "no version \"1.30\""),
        (&["images", "build", "k3s", "--k8s", "1.30"], "no version \"1.30\""),
    ] {
        parallax(project.path()).args(args).assert().code(2).stderr(contains(says)).stdout("");
    }
}

#[test]
fn a_project_with_images_of_its_own_offers_its_own_versions() {
    let project = project();
    let images = project.path().join("images");
    fs::create_dir(&images).expect("made");
    let write = |text: &str| fs::write(images.join("images.lock"), text).expect("written");
    let refused = |says: &str| {
        let mut command = parallax(project.path());
        command.env_remove("CI").args(["e2e", "--minio", "9"]).assert().code(2).stderr(contains(says)).stdout("");
    };
    write("extends: shipped\nimages: [{ name: minio, for: x, reference: 'x/minio:1' }]");
    refused("images.lock names no versions of image minio, so \"9\" cannot be chosen");
    write(
        "extends: shipped\nimages: [{ name: minio, for: x, reference: 'x/minio:1', versions: [{ version: b2, reference: 'x/minio:2' }] }]",
    );
    refused("no version \"9\" of image minio; it has b2");
    write("extends: shipped\nimages: [{ name: minio, for: x, reference: 'x/minio:1', versions: [{ version: b2 }] }]");
    refused("image minio has neither a reference nor a recipe");
}

#[test]
fn the_list_shows_each_built_image_once() {
    // The commands of docs/your-own-stack.md find the tag of an image in this list.
    let project = project();
    let printed = parallax(project.path()).args(["images", "list"]).output().expect("runs");
    let text = String::from_utf8(printed.stdout).expect("is UTF-8");
    let built: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  built      parallax.local/")).collect();
    let several: Vec<&&str> = built.iter().filter(|tag| built.iter().filter(|it| it == tag).count() > 1).collect();
    assert!(built.iter().any(|it| it.starts_with("minio:")), "{text}");
    assert_eq!(several, Vec::<&&str>::new(), "{text}");
}
