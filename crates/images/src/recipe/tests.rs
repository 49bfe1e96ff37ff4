//! Tests how `recipe.yaml` is read, and which mistakes in it are reported.

use super::*;

const SHA: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn a_lock_file_of_npm_that_names_a_host_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("node")).expect("made");
    let text = "summary: x\nlayers: [{ npm: { folder: node, to: a } }]";
    let write = |name: &str, text: &str| std::fs::write(folder.path().join("node").join(name), text).expect("written");
    let says = |part: &str| {
        let message = Recipe::parse(folder.path(), text).expect_err("refused").to_string();
        assert!(message.contains(part), "{message}");
    };
    says("folder \"node\" holds no package.json");
    write("package.json", "{}");
    says("holds no package-lock.json; write it with `npm install --package-lock-only");
    write("package-lock.json", r#"{ "packages": { "a": { "resolved": "https://registry.example/a.tgz" } } }"#);
    says("names a registry's host");
    write("package-lock.json", "{}");
    assert!(Recipe::parse(folder.path(), text).is_ok());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let install = "sum: 'h1:x', to: a";
    let table = [
        ("layers: []".to_owned(), "recipe.yaml: the recipe has no layers"),
        ("layers: [{ debain: { suite: trixie, packages: [] } }]".to_owned(), "recipe.yaml:2:"),
        ("layers: [{ debian: { suite: trixie, package: [] } }]".to_owned(), "unknown field `package`"),
        (
            "layers:\n  - links: { a: b }\n  - debian: { suite: trixie, packages: [] }".to_owned(),
            "recipe.yaml:4:5: a debian layer is a whole root file system",
        ),
        ("layers: [{ debian: { suite: trixie, packages: ['a b'] } }]".to_owned(), "\"a b\" is not the name"),
        ("layers: [{ debian: { suite: trixie, packages: ['--x'] } }]".to_owned(), "\"--x\" is not the name"),
        ("layers: [{ go: { to: a } }]".to_owned(), "either `module`"),
        ("layers: [{ go: { module: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
        ("layers: [{ go: { module: ../x, to: a } }]".to_owned(), "is not a folder beside the recipe"),
        (format!("layers: [{{ go: {{ install: x/y, {install} }} }}]"), "does not pin a version"),
        (format!("layers: [{{ go: {{ install: x/y@latest, {install} }} }}]"), "does not pin a version"),
        (
            "layers: [{ go: { install: x/y/z@v1.0.0, of: x/y, to: a } }]".to_owned(),
            "`sum` is missing: the Sum that `go mod download -json x/y@v1.0.0` prints",
        ),
        (
            "layers: [{ go-files: { module: x/y, sum: 'h1:x', from: a, to: b } }]".to_owned(),
            "\"x/y\" does not pin a version",
        ),
        (
            "layers: [{ go-files: { module: x/y@v1.0.0, sum: '', from: a, to: b } }]".to_owned(),
            "`sum` is missing: the Sum that `go mod download -json x/y@v1.0.0` prints",
        ),
        (
            "layers: [{ go-files: { module: x/y@v1.0.0, sum: 'h1:x', from: ../a, to: b } }]".to_owned(),
            "\"../a\" is not a path",
        ),
        ("layers: [{ cargo: { package: p, binary: b, to: /bin/b } }]".to_owned(), "\"/bin/b\" is not a path"),
        (
            format!("layers: [{{ crate: {{ name: a, sum: '{SHA}', binary: b, to: b }} }}]"),
            "\"a\" does not pin a version",
        ),
        (
            format!("layers: [{{ crate: {{ name: a@1.2, sum: '{SHA}', binary: b, to: b }} }}]"),
            "\"a@1.2\" does not pin a version",
        ),
        (
            format!("layers: [{{ crate: {{ name: --a@1.2.3, sum: '{SHA}', binary: b, to: b }} }}]"),
            "\"--a\" is not a crate",
        ),
        (
            "layers: [{ crate: { name: a@1.2.3, sum: 'sha256:ab', binary: b, to: b } }]".to_owned(),
            "a@1.2.3 needs the hash of its crate",
        ),
        (
            format!("layers: [{{ crate: {{ name: a@1.2.3, sum: '{SHA}', binary: b, to: b, features: [-x] }} }}]"),
            "\"-x\" is not a feature",
        ),
        (
            format!("layers: [{{ crate: {{ name: a@1.2.3, sum: '{SHA}', binary: b, to: /b }} }}]"),
            "\"/b\" is not a path",
        ),
        ("layers: [{ pypi: { packages: {}, to: a } }]".to_owned(), "a pypi layer has no packages"),
        ("layers: [{ pypi: { packages: { boto3: [] }, to: a } }]".to_owned(), "\"boto3\" is not name==version"),
        ("layers: [{ pypi: { packages: { a==: [] }, to: a } }]".to_owned(), "does not pin a version"),
        ("layers: [{ pypi: { packages: { a==1.*: [] }, to: a } }]".to_owned(), "does not pin a version"),
        ("layers: [{ pypi: { packages: { a==1: [] }, to: a } }]".to_owned(), "a==1 needs the hash of its wheel"),
        ("layers: [{ pypi: { packages: { a==1: ['sha256:ab'] }, to: a } }]".to_owned(), "needs the hash"),
        (format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }} }} }}]"), "says `to`"),
        (format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }}, to: /a }} }}]"), "\"/a\" is not a path"),
        (
            format!("layers: [{{ pypi: {{ packages: {{ a==1: ['{SHA}'] }}, python: 2.7, to: a }} }}]"),
            "is not a version",
        ),
        ("layers: [{ npm: { folder: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
        ("layers: [{ maven: { folder: nowhere, to: a } }]".to_owned(), "there is no folder \"nowhere\""),
        ("layers: [{ maven: { folder: nowhere, to: /a } }]".to_owned(), "\"/a\" is not a path"),
        ("layers: [{ links: { a/../b: c } }]".to_owned(), "\"a/../b\" is not a path"),
        ("layers: [{ directories: { tmp: \"999\" } }]".to_owned(), "\"999\" is not a mode"),
        ("layers: [{ directories: { tmp: \"1777\" } }]\nconfig: { entrypiont: [] }".to_owned(), "recipe.yaml:3:"),
    ];
    for (text, part) in table {
        let text = format!("summary: x\n{text}");
        let message = Recipe::parse(Path::new("images/x"), &text).expect_err(&text).to_string();
        assert!(message.contains(part), "{text}\n  says: {message}\n  want: {part}");
    }
}

#[test]
fn a_recipe_with_every_kind_of_layer_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["files", "kube", "node", "java"] {
        std::fs::create_dir(folder.path().join(name)).expect("made");
    }
    std::fs::write(folder.path().join("kube/go.mod"), "module kube\n").expect("written");
    std::fs::write(folder.path().join("node/package.json"), "{}\n").expect("written");
    std::fs::write(folder.path().join("node/package-lock.json"), "{}\n").expect("written");
    std::fs::write(folder.path().join("java/pom.xml"), "maven-dependency-plugin\n").expect("written");
    std::fs::write(folder.path().join("java/jars.sha256"), format!("{}  a.jar\n", &SHA[7..])).expect("written");
    std::fs::write(folder.path().join("java/Main.java"), "class Main {}\n").expect("written");
    let text = "\
summary: everything
layers:
  - debian: { suite: trixie, packages: [containerd, g++] }
  - go: { module: kube, to: usr/local/bin/kube, tags: [providerless], ldflags: [-X, a.b=c] }
  - go: { install: x/y@v1.0.0, sum: 'h1:abc=', to: y }
  - go-files: { module: x/y@v1.0.0, sum: 'h1:abc=', from: deploy/crds, to: kinds }
  - cargo: { package: parallax-node, binary: parallax-node, to: bin/k3s }
  - crate: { name: a@1.0.0-rc.1, sum: 'SHA', binary: a, to: bin/a, features: [lmdb] }
  - pypi: { packages: { a==1.0.post1: ['SHA'] }, to: lib, programs: { a/b: usr/bin/b } }
  - npm: { folder: node, to: opt/clients }
  - maven: { folder: java, to: opt/java }
  - links: { usr/local/bin/kubelet: kube }
  - files: files
  - directories: { data: \"0755\" }
config: { entrypoint: [/bin/k3s], cmd: [server], env: { PATH: /bin }, workdir: /, labels: { a: b } }
";
    let recipe = Recipe::parse(folder.path(), &text.replace("SHA", SHA)).expect("valid");
    let kinds: Vec<_> = recipe.layers.iter().map(|layer| layer.value.kind()).collect();
    let all =
        ["debian", "go", "go", "go-files", "cargo", "crate", "pypi", "npm", "maven", "links", "files", "directories"];
    assert_eq!(kinds, all);
    assert!(recipe.merged_usr());
}
