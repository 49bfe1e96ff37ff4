//! Maven layers: the jars that a `pom.xml` needs, checked against a list of their hashes, and classes that are compiled
//! against these jars.
//!
//! Maven fetches the jars from the repository in the machine's settings. If the pom of a recipe contains a repository,
//! the recipe is refused when it is read. A pom contains no hashes, and the dependencies of its jars decide which other
//! jars are fetched. Therefore the file `jars.sha256` lists every jar with its hash.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::digest;
use super::error::ImageError;
use super::process::Step;
use super::recipe::{Maven, check_folder, check_path};
use super::tree::{self, Entry};

/// The time limit for fetching a few dozen jars. The first run also fetches about as many jars that Maven itself needs.
const LIMIT: Duration = Duration::from_mins(10);
const POM: &str = "pom.xml";
const SUMS: &str = "jars.sha256";
/// The name of the folder for the jars, both in the scratch folder and in the image.
const JARS: &str = "lib";
const CLASSES: &str = "classes";
/// The arguments with which `mvn` fetches the jars. The pom pins the version of the plugin `maven-dependency-plugin`.
const COPY: [&str; 5] = ["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"];
const PLUGIN: &str = "maven-dependency-plugin";
/// The beginnings of the XML elements in which a pom can give a repository's host.
const HOSTS: [&str; 3] = ["<repositories", "<pluginRepositories", "<distributionManagement"];

/// The SHA-256 of each jar in lower-case hexadecimal, by the name of the jar.
type Sums = BTreeMap<String, String>;

impl Maven {
    /// Checks a Maven layer of a recipe, and the pom of the layer. The error is a sentence about the mistake.
    pub(super) fn check(&self, folder: &Path) -> Result<(), String> {
        check_path(&self.to)?;
        check_folder(folder, &self.folder, Some(POM))?;
        let unreadable = |error| format!("folder {:?} cannot be read: {error}", self.folder);
        let folder = folder.join(&self.folder);
        let pom = fs::read_to_string(folder.join(POM)).map_err(unreadable)?;
        // With one of these elements, Maven would contact the named host instead of the repository in the machine's
        // settings.
        if let Some(element) = HOSTS.iter().find(|element| pom.contains(**element)) {
            return Err(format!("{POM} names a repository's host: leave {element}> to the machine's own settings"));
        }
        if !pom.contains(PLUGIN) {
            return Err(format!("{POM} does not pin {PLUGIN}: name it with its version below <build>, <plugins>"));
        }
        match fs::read_to_string(folder.join(SUMS)) {
            Ok(text) => sums(&text).map(drop).map_err(|why| format!("{SUMS}, {why}; {}", anew(&self.folder)))?,
            Err(_) => return Err(format!("folder {:?} holds no {SUMS}; {}", self.folder, anew(&self.folder))),
        }
        if sources(&folder).map_err(unreadable)?.is_empty() {
            return Err(format!("folder {:?} holds no .java file", self.folder));
        }
        Ok(())
    }
}

/// The files from which the layer is built, each with its path below `folder`: the pom, the list of hashes, and the
/// Java sources.
pub(super) fn inputs(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let named = [POM, SUMS].map(|name| (name.to_owned(), folder.join(name)));
    Ok(named.into_iter().chain(sources(folder)?).collect())
}

fn sources(folder: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let is_source = |path: &str| Path::new(path).extension().is_some_and(|end| end == "java");
    Ok(tree::files_below(folder)?.into_iter().filter(|(path, _)| is_source(path)).collect())
}

/// Returns the instruction by which the user writes the list of hashes (`jars.sha256`) again.
pub(super) fn anew(folder: &str) -> String {
    let copy = COPY.join(" ");
    format!("write it with `mvn {copy} && (cd {JARS} && sha256sum *.jar) > {SUMS} && rm -r {JARS}` in {folder}")
}

/// Parses the list of hashes, which has the format of `sha256sum`.
fn sums(text: &str) -> Result<Sums, String> {
    let mut sums = Sums::new();
    for (index, line) in text.lines().enumerate() {
        let (sum, name) = line.split_once("  ").unwrap_or_default();
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let stem = name.strip_suffix(".jar").unwrap_or_default();
        if !is_sum || stem.is_empty() || stem.contains('/') {
            return Err(format!("line {}: {line:?} is not `HEX  name.jar`", index + 1));
        }
        if sums.insert(name.to_owned(), sum.to_owned()).is_some() {
            return Err(format!("line {}: {name} is listed twice", index + 1));
        }
    }
    if sums.is_empty() { Err("line 1: no jar is listed".to_owned()) } else { Ok(sums) }
}

/// The differences between the list of hashes and the jars that Maven fetched, one line for each jar.
fn faults(listed: &Sums, came: &Sums) -> Vec<String> {
    let known = listed.iter().filter_map(|(name, sum)| match came.get(name) {
        None => Some(format!("{name} is listed, and Maven brings no such jar")),
        Some(other) if other != sum => Some(format!("{name} has the hash {other}, and {sum} is listed")),
        Some(_) => None,
    });
    let extra = came.keys().filter(|name| !listed.contains_key(*name)).map(|name| format!("{name} is not listed"));
    known.chain(extra).collect()
}

/// The build of one layer with jars and with classes that use the jars.
pub(super) struct MavenBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer of the recipe that this build makes.
    pub(super) maven: &'a Maven,
    /// The path of the recipe's folder.
    pub(super) recipe: &'a Path,
    /// The path of the `mvn` program.
    pub(super) program: &'a Path,
    /// The path of the `javac` program.
    pub(super) compiler: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
}

impl MavenBuild<'_> {
    /// Fetches the jars, compares their hashes with the list before they are used, and compiles the classes. Returns
    /// the layer's entries.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, ImageError> {
        let project = self.scratch.join("project");
        let folder = self.recipe.join(&self.maven.folder);
        let inputs = inputs(&folder).map_err(ImageError::cache("list", &folder))?;
        tree::copy(&inputs, &project)?;
        say("fetching the jars");
        self.fetch(&project).run(say, cancel).await?;
        self.check_sums(&project)?;
        say("compiling");
        let sources = inputs.into_iter().map(|(path, _)| path).filter(|path| path != POM && path != SUMS);
        self.compile(&project, sources).run(say, cancel).await?;
        entries(&project, &self.maven.to).map_err(ImageError::cache("read", &project))
    }

    fn fetch(&self, project: &Path) -> Step<'_> {
        Step {
            image: self.image,
            title: format!("mvn dependency:copy-dependencies in {}", self.maven.folder),
            shown: format!("mvn {} (in {})", COPY.join(" "), self.maven.folder),
            program: self.program.to_owned(),
            arguments: COPY.map(OsString::from).into(),
            environment: Vec::new(),
            folder: Some(project.to_owned()),
            output: None,
            limit: LIMIT,
        }
    }

    fn check_sums(&self, project: &Path) -> Result<(), ImageError> {
        let (file, jars) = (project.join(SUMS), project.join(JARS));
        let unreadable = |source| ImageError::Unreadable { file: file.clone(), source };
        let text = fs::read_to_string(&file).map_err(unreadable)?;
        let listed = sums(&text).map_err(|why| unreadable(std::io::Error::other(why)))?;
        let came = tree::files_below(&jars)
            .and_then(|files| files.into_iter().map(|(name, jar)| Ok((name, digest::of_file(&jar)?))).collect())
            .map_err(ImageError::cache("read", &jars))?;
        let faults = faults(&listed, &came);
        if faults.is_empty() {
            return Ok(());
        }
        Err(ImageError::Jars { image: self.image.to_owned(), folder: self.maven.folder.clone(), faults })
    }

    fn compile(&self, project: &Path, sources: impl Iterator<Item = String>) -> Step<'_> {
        // The classes get no debug information, because it would contain paths of the machine. Annotation processors,
        // which are code in the jars, do not run.
        let plain = ["--release", "17", "-g:none", "-proc:none", "-encoding", "UTF-8"];
        let places = ["-cp", "lib/*", "-d", CLASSES];
        let arguments = plain.into_iter().chain(places).map(OsString::from).chain(sources.map(OsString::from));
        Step {
            image: self.image,
            title: format!("javac in {}", self.maven.folder),
            shown: format!("javac {} -cp 'lib/*' -d {CLASSES} … (in {})", plain.join(" "), self.maven.folder),
            program: self.compiler.to_owned(),
            arguments: arguments.collect(),
            environment: Vec::new(),
            folder: Some(project.to_owned()),
            output: None,
            limit: LIMIT,
        }
    }
}

/// The entries of the layer: the jars and the classes. All other files of the build's folder are left out.
fn entries(project: &Path, to: &str) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for part in [JARS, CLASSES] {
        for (path, source) in tree::files_below(&project.join(part))? {
            entries.push(Entry::File { path: format!("{to}/{part}/{path}"), source, executable: false });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn listed(pairs: &[(&str, &str)]) -> Sums {
        pairs.iter().map(|(name, sum)| ((*name).to_owned(), (*sum).to_owned())).collect()
    }

    #[test]
    fn a_folder_that_is_not_whole_or_names_a_host_is_refused() {
        let plugin = "<project><artifactId>maven-dependency-plugin</artifactId></project>";
        let sum = format!("{A}  a.jar\n");
        let all = [(POM, plugin), (SUMS, sum.as_str()), ("a/Main.java", "class Main {}")];
        let with = |name: &str, text: &str| {
            let mut files: BTreeMap<String, String> =
                all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            files.insert(name.to_owned(), text.to_owned());
            files
        };
        let without = |name: &str| {
            let mut files = with(POM, plugin);
            files.remove(name);
            files
        };
        let table = [
            (without(POM), "folder \"java\" holds no pom.xml"),
            (with(POM, "<project/>"), "pom.xml does not pin maven-dependency-plugin"),
            (with(POM, "<repositories>"), "names a repository's host: leave <repositories>"),
            (with(POM, "<repositories\n>"), "names a repository's host: leave <repositories>"),
            (with(POM, "<pluginRepositories>"), "leave <pluginRepositories> to the machine's own settings"),
            (with(POM, "<distributionManagement>"), "leave <distributionManagement>"),
            (without(SUMS), "holds no jars.sha256; write it with `mvn -q -B dependency:copy-dependencies"),
            (with(SUMS, ""), "jars.sha256, line 1: no jar is listed; write it with `mvn"),
            (without("a/Main.java"), "folder \"java\" holds no .java file"),
        ];
        let maven = Maven { folder: "java".into(), to: "opt".into() };
        for (files, part) in table {
            let recipe = tempfile::tempdir().expect("a folder");
            for (path, text) in &files {
                write(&recipe.path().join("java"), path, text);
            }
            let message = maven.check(recipe.path()).expect_err(part);
            assert!(message.contains(part), "{message}\n  want: {part}");
        }
        let recipe = tempfile::tempdir().expect("a folder");
        for (path, text) in with("notes.txt", "x") {
            write(&recipe.path().join("java"), &path, &text);
        }
        assert_eq!(maven.check(recipe.path()), Ok(()));
        let paths: Vec<_> =
            inputs(&recipe.path().join("java")).expect("read").into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["pom.xml", "jars.sha256", "a/Main.java"]);
    }

    #[test]
    fn a_list_of_hashes_is_read_strictly() {
        let pair = sums(&format!("{A}  a-1.0.jar\n{B}  b.jar\n"));
        assert_eq!(pair, Ok(listed(&[("a-1.0.jar", A), ("b.jar", B)])));
        for (text, part) in [
            (String::new(), "line 1: no jar"),
            (format!("{A} a.jar"), "line 1: "),
            (format!("{A} *a.jar"), "is not `HEX  name.jar`"),
            (format!("{A}  a.jar\n\n"), "line 2: \"\" is not"),
            (format!("{A}  .jar"), "is not"),
            (format!("{A}  a.war"), "is not"),
            (format!("{A}  lib/a.jar"), "is not"),
            (format!("{}  a.jar", A.to_uppercase()), "is not"),
            (format!("{}  a.jar", &A[1..]), "is not"),
            (format!("{A}  a.jar\n{B}  a.jar"), "line 2: a.jar is listed twice"),
        ] {
            let message = sums(&text).expect_err(&text);
            assert!(message.contains(part), "{text}\n  says: {message}\n  want: {part}");
        }
    }

    #[test]
    fn each_jar_that_is_not_as_listed_is_named() {
        let list = listed(&[("a.jar", A), ("b.jar", B)]);
        for (came, expected) in [
            (listed(&[("a.jar", A), ("b.jar", B)]), vec![]),
            (listed(&[("a.jar", A)]), vec!["b.jar is listed, and Maven brings no such jar".to_owned()]),
            (listed(&[("a.jar", A), ("b.jar", A)]), vec![format!("b.jar has the hash {A}, and {B} is listed")]),
            (listed(&[("a.jar", A), ("b.jar", B), ("c.jar", A)]), vec!["c.jar is not listed".to_owned()]),
        ] {
            assert_eq!(faults(&list, &came), expected);
        }
    }

    #[test]
    fn jars_that_differ_end_the_build_before_they_are_read() {
        let scratch = tempfile::tempdir().expect("a folder");
        let project = scratch.path().join("project");
        write(&project, SUMS, &format!("{A}  a.jar\n"));
        write(&project, "lib/a.jar", "other");
        let maven = Maven { folder: "java".into(), to: "opt".into() };
        let build = build(&maven, scratch.path());
        let failure = build.check_sums(&project).expect_err("it differs").failure();
        assert!(
            failure.what.starts_with("image clients: the jars of java are not those of its jars.sha256: a.jar has")
        );
        assert!(failure.fix.is_some_and(|fix| fix.contains("find out why") && fix.contains("sha256sum *.jar")));
        write(&project, SUMS, &format!("{}  a.jar\n", digest::of_bytes(b"other")));
        assert!(build.check_sums(&project).is_ok());
    }

    fn build<'a>(maven: &'a Maven, scratch: &'a Path) -> MavenBuild<'a> {
        let (recipe, program, compiler) = (Path::new("/r"), Path::new("mvn"), Path::new("javac"));
        MavenBuild { image: "clients", maven, recipe, program, compiler, scratch }
    }

    #[test]
    fn maven_is_told_no_repository_and_javac_no_path() {
        let maven = Maven { folder: "java".into(), to: "opt".into() };
        let build = build(&maven, Path::new("/s"));
        let copy = "mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib";
        assert_eq!(build.fetch(Path::new("/s/project")).shown, format!("{copy} (in java)"));
        assert!(anew("java").contains(copy));
        let compile = build.compile(Path::new("/s/project"), ["Main.java".to_owned()].into_iter());
        let arguments: Vec<_> = compile.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        assert!(arguments.contains(&"-g:none".into()) && !arguments.iter().any(|it| it.starts_with('/')));
        assert_eq!(arguments.last().map(AsRef::as_ref), Some("Main.java"));
    }

    #[test]
    fn only_jars_and_classes_are_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["pom.xml", "Main.java", "target/notes", "lib/a.jar", "classes/Main.class"] {
            write(folder.path(), path, "x");
        }
        let entries = entries(folder.path(), "opt/x").expect("read");
        let paths: Vec<_> = entries.iter().map(Entry::path).collect();
        assert_eq!(paths, ["opt/x/lib/a.jar", "opt/x/classes/Main.class"]);
    }
}
