//! Go layers: `go build` of a module in the recipe's folder, or `go install` of a published module that is pinned by
//! its hash.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::archive::architecture;
use super::digest;
use super::error::ImageError;
use super::process::Step;
use super::recipe::{Go, GoFiles, check_folder, check_path};
use super::tree::{self, Entry};

/// The time limit of one Go build. A build of Kubernetes without a cache takes about ten minutes on one core, and
/// several times longer on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_mins(40);
/// The value for Go's variables such as `GONOSUMDB`. Such a variable lists the modules that Go does not check. No
/// module path matches this value, so Go checks every module.
const NOTHING: &str = "nothing.invalid";
/// The time limit for downloading one Go module.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);

impl Go {
    /// Checks a Go layer of a recipe. The error is a sentence about the mistake.
    pub(super) fn check(&self, folder: &Path) -> Result<(), String> {
        check_path(&self.to)?;
        match (&self.module, &self.install) {
            (Some(_), Some(_)) | (None, None) => {
                return Err("a go layer has either `module` (a folder) or `install` (package@version)".to_owned());
            }
            (Some(module), None) => {
                if self.sum.is_some() || self.of.is_some() {
                    return Err("`sum` and `of` belong to `install`; a module beside the recipe has its go.sum".into());
                }
                check_folder(folder, module, Some("go.mod"))?;
            }
            (None, Some(install)) => {
                check_pinned(install, self.sum.as_deref(), &self.module_of_install())?;
            }
        }
        let one_word = |flag: &&String| flag.contains('\'');
        match self.ldflags.iter().find(one_word) {
            Some(flag) => Err(format!("linker flag {flag:?} has a quote, which cannot be passed on")),
            None => Ok(()),
        }
    }

    /// The module that the key `install` of the recipe needs, as `module@version`. If the package is not the root of
    /// its module, the recipe gives the module in the key `of`.
    fn module_of_install(&self) -> String {
        let install = self.install.as_deref().unwrap_or_default();
        let (package, version) = install.split_once('@').unwrap_or((install, ""));
        format!("{}@{version}", self.of.as_deref().unwrap_or(package))
    }
}

impl GoFiles {
    /// Checks a layer with files of a Go module. The error is a sentence about the mistake.
    pub(super) fn check(&self) -> Result<(), String> {
        check_pinned(&self.module, Some(&self.sum), &self.module)?;
        check_path(&self.from)?;
        check_path(&self.to)
    }
}

/// Checks that the recipe gives a version for a published package, and a hash for its module.
fn check_pinned(package: &str, sum: Option<&str>, module: &str) -> Result<(), String> {
    let version = package.split_once('@').map(|(_, version)| version).unwrap_or_default();
    if !version.starts_with('v') {
        return Err(format!("{package:?} does not pin a version: package@v1.2.3"));
    }
    if !sum.is_some_and(|sum| sum.starts_with("h1:")) {
        return Err(format!("`sum` is missing: the Sum that `go mod download -json {module}` prints"));
    }
    Ok(())
}

/// The build of one Go program.
pub(super) struct GoBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer of the recipe that this build makes.
    pub(super) go: &'a Go,
    /// The path of the recipe's folder.
    pub(super) recipe: &'a Path,
    /// The path of the `go` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
    /// The number of compilers that this build may run at the same time.
    pub(super) jobs: usize,
}

impl GoBuild<'_> {
    /// Builds the program and returns its path.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<PathBuf, ImageError> {
        let out = self.scratch.join("out");
        let work = self.scratch.join("work");
        for folder in [&out, &work] {
            fs::create_dir_all(folder).map_err(ImageError::cache("make", folder))?;
        }
        if let Some(module) = &self.go.module {
            let program = out.join("program");
            self.step(&["build", "-v", "-mod=readonly"], ".", Some(&program), Some(&self.recipe.join(module)))
                .run(say, cancel)
                .await?;
            return Ok(program);
        }
        let (module, sum) = (self.go.module_of_install(), self.go.sum.as_deref().unwrap_or_default());
        let of = Download { image: self.image, module: &module, sum, program: self.program, scratch: self.scratch };
        of.run(self.environment(), say, cancel).await?;
        let install = self.go.install.as_deref().unwrap_or_default();
        self.step(&["install", "-v"], install, None, None).run(say, cancel).await?;
        let mut built = fs::read_dir(&out).map_err(ImageError::cache("list", &out))?.flatten();
        built.next().map(|program| program.path()).ok_or_else(|| ImageError::Step {
            image: self.image.to_owned(),
            command: format!("go install {install}"),
            how: "built no program: the package is not a command".to_owned(),
            lines: Vec::new(),
        })
    }

    /// Makes a `go` command. Its flags make the program static and small, and independent of the folder in which it is
    /// built.
    fn step(&self, verb: &[&str], what: &str, out: Option<&Path>, folder: Option<&Path>) -> Step<'_> {
        let mut ldflags = "-s -w".to_owned();
        for flag in &self.go.ldflags {
            ldflags.push(' ');
            // The go command splits `-ldflags` at spaces, except inside quotes. So a flag that contains a space gets
            // quotes.
            if flag.contains(char::is_whitespace) {
                ldflags.extend(["'", flag, "'"]);
            } else {
                ldflags.push_str(flag);
            }
        }
        let mut arguments: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(["-trimpath".to_owned(), "-buildvcs=false".to_owned()]);
        if !self.go.tags.is_empty() {
            arguments.extend(["-tags".to_owned(), self.go.tags.join(",")]);
        }
        arguments.extend(["-ldflags".to_owned(), ldflags]);
        let shown = match (&self.go.module, out) {
            (Some(module), Some(_)) => format!("go {} (in {module})", quoted(&arguments)),
            _ => format!("go {} {what}", quoted(&arguments)),
        };
        let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
        arguments.extend(["-p".into(), self.jobs.to_string().into()]);
        if let Some(out) = out {
            arguments.extend(["-o".into(), out.into()]);
        }
        arguments.push(what.into());
        Step {
            image: self.image,
            title: match &self.go.module {
                Some(module) => format!("go {} in {module}", verb[0]),
                None => format!("go {} {what}", verb[0]),
            },
            shown,
            program: self.program.to_owned(),
            arguments,
            environment: self.environment(),
            // `go install` runs in the scratch folder. There it finds no `go.mod` of the machine that would change the
            // result.
            folder: Some(folder.unwrap_or(self.scratch).to_owned()),
            output: None,
            limit: BUILD_LIMIT,
        }
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = environment();
        variables.extend([
            ("CGO_ENABLED", "0".into()),
            ("GOOS", "linux".into()),
            ("GOARCH", architecture().into()),
            // These values select the oldest processors, and are Go's own defaults. They are set because the user's
            // settings may select newer processors, and an image must also run on machines with older ones.
            ("GOAMD64", "v1".into()),
            ("GOARM64", "v8.0".into()),
            ("GOBIN", self.scratch.join("out").into()),
            ("GOTMPDIR", self.scratch.join("work").into()),
            // A compiler runs only for seconds, so collecting garbage costs more time than it saves. A compiler
            // collects garbage only when it reaches the memory limit.
            ("GOGC", "off".into()),
            ("GOMEMLIMIT", memory_limit(memory_bytes(), self.jobs).to_string().into()),
        ]);
        variables
    }
}

/// The build of a layer that contains the files of one folder of a published Go module.
pub(super) struct GoFilesBuild<'a> {
    /// The name of the image to which the layer belongs.
    pub(super) image: &'a str,
    /// The part of the recipe that describes the files.
    pub(super) files: &'a GoFiles,
    /// The path of the `go` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
}

impl GoFilesBuild<'_> {
    /// Downloads the Go module, and returns the layer's entries.
    pub(super) async fn run(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<Vec<Entry>, ImageError> {
        let GoFiles { module, sum, from, to } = self.files;
        let download = Download { image: self.image, module, sum, program: self.program, scratch: self.scratch };
        let folder = download.run(environment(), say, cancel).await?.join(from);
        entries(&folder, to).map_err(ImageError::cache("read", &folder))
    }
}

/// The files below `folder`, as entries of the layer below the path `to`. A folder without files is an error, because
/// it is certainly a mistake in the recipe.
fn entries(folder: &Path, to: &str) -> std::io::Result<Vec<Entry>> {
    let files = tree::files_below(folder)?;
    if files.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the folder holds no files"));
    }
    let entry =
        |(path, source): (String, PathBuf)| Entry::File { path: format!("{to}/{path}"), source, executable: false };
    Ok(files.into_iter().map(entry).collect())
}

/// The download of one published Go module.
struct Download<'a> {
    image: &'a str,
    /// The Go module in the form `module@version`.
    module: &'a str,
    /// The hash (`h1:…`) of the Go module in the recipe.
    sum: &'a str,
    program: &'a Path,
    scratch: &'a Path,
}

impl Download<'_> {
    /// Downloads the module and returns its folder, which is read-only. Before any file is used, two hashes are
    /// compared with the hash in the recipe: the hash of the download, and the hash of the extracted files. The hash of
    /// the download is not enough: Go's cache stores this hash next to the files, and does not notice if a file is
    /// changed later.
    async fn run(
        &self,
        environment: Vec<(&'static str, OsString)>,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<PathBuf, ImageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Downloaded {
            #[serde(default)]
            sum: String,
            #[serde(default)]
            dir: PathBuf,
            #[serde(default)]
            error: Option<String>,
        }
        let module = self.module;
        let shown = format!("go mod download -json {module}");
        let step = Step {
            image: self.image,
            title: shown.clone(),
            shown: shown.clone(),
            program: self.program.to_owned(),
            arguments: ["mod", "download", "-json", module].map(OsString::from).into(),
            environment,
            folder: Some(self.scratch.to_owned()),
            output: None,
            limit: DOWNLOAD_LIMIT,
        };
        say(&format!("downloading {module}"));
        let lines = step.run(&|_| (), cancel).await?;
        // `go` prints a JSON object on stdout and messages about downloads on stderr. The lines come as one stream, so
        // all lines around the JSON object are skipped.
        let json = lines.iter().skip_while(|line| *line != "{").take_while(|line| *line != "}");
        let json: String = json.cloned().chain(["}".to_owned()]).collect();
        let downloaded: Option<Downloaded> = serde_json::from_str(&json).ok();
        match downloaded {
            Some(Downloaded { error: None, sum, dir }) if sum == self.sum => self.extracted(dir).await,
            Some(Downloaded { error: None, sum, .. }) => Err(ImageError::Sum {
                image: self.image.to_owned(),
                module: module.to_owned(),
                pinned: self.sum.to_owned(),
                seen: sum,
            }),
            other => Err(ImageError::Step {
                image: self.image.to_owned(),
                command: shown,
                how: "failed".to_owned(),
                lines: other.and_then(|downloaded| downloaded.error).map_or(lines, |error| vec![error]),
            }),
        }
    }
}

impl Download<'_> {
    /// Compares the hash of the extracted files with the hash in the recipe. Returns the folder if they are equal.
    async fn extracted(&self, folder: PathBuf) -> Result<PathBuf, ImageError> {
        let (module, from) = (self.module.to_owned(), folder.clone());
        // The hash is computed on a thread for blocking work, because a module may have tens of megabytes.
        let hashed = tokio::task::spawn_blocking(move || digest::of_module(&module, &tree::files_below(&from)?)).await;
        let seen = hashed.expect("hashing does not panic").map_err(ImageError::cache("read", &folder))?;
        if seen == self.sum {
            return Ok(folder);
        }
        Err(ImageError::Extracted {
            image: self.image.to_owned(),
            module: self.module.to_owned(),
            folder,
            pinned: self.sum.to_owned(),
            seen,
        })
    }
}

/// The environment variables that every `go` command gets.
fn environment() -> Vec<(&'static str, OsString)> {
    vec![
        ("GOWORK", "off".into()),
        ("GO111MODULE", "on".into()),
        // Debian's Go may be older than a module requires. With `auto`, Go then downloads a newer toolchain. The
        // minimum version in the table of programs (`provision`) relies on this.
        ("GOTOOLCHAIN", "auto".into()),
        // The user may have set these variables so that a check is weaker or the build differs. An empty value would
        // not help, because Go would then read its own settings file. GOPROXY is not set here, so the machine still
        // decides from which proxy modules come.
        ("GOFLAGS", "-buildvcs=false".into()),
        ("GOINSECURE", NOTHING.into()),
        ("GONOSUMDB", NOTHING.into()),
    ]
}

/// The memory in bytes that one compiler may use before it collects garbage. Two builds may run at the same time, with
/// `jobs` compilers each. Together they get half of the machine's memory. Each compiler gets at most 2 GiB, and at
/// least 256 MiB. With less memory, it would spend all its time on collecting garbage.
fn memory_limit(machine_bytes: u64, jobs: usize) -> u64 {
    const MIB: u64 = 1024 * 1024;
    let compilers = 2 * u64::try_from(jobs).unwrap_or(u64::MAX / 2).max(1);
    (machine_bytes / 2 / compilers).clamp(256 * MIB, 2048 * MIB)
}

/// The memory of the machine, in bytes.
fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

fn quoted(arguments: &[String]) -> String {
    let quote = |argument: &String| {
        if argument.contains(char::is_whitespace) { format!("{argument:?}") } else { argument.clone() }
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_share_half_of_the_memory() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for (machine, jobs, limit) in [
            (24 * GIB, 2, 2 * GIB),
            (7 * GIB, 2, 7 * GIB / 8),
            (7 * GIB, 64, GIB / 4),
            (0, 1, GIB / 4),
            (1024 * GIB, 0, 2 * GIB),
        ] {
            assert_eq!(memory_limit(machine, jobs), limit, "{machine} {jobs}");
        }
        assert!(memory_bytes() > GIB / 8, "{}", memory_bytes());
    }

    #[test]
    fn the_files_of_a_module_go_below_one_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = entries(folder.path(), "kinds").expect_err("nothing there").to_string();
        assert!(none.contains("holds no files"), "{none}");
        std::fs::create_dir(folder.path().join("more")).expect("made");
        for path in ["b.yaml", "more/a.yaml"] {
            std::fs::write(folder.path().join(path), "x").expect("written");
        }
        let paths: Vec<_> =
            entries(folder.path(), "kinds").expect("read").iter().map(|it| it.path().to_owned()).collect();
        assert_eq!(paths, ["kinds/b.yaml", "kinds/more/a.yaml"]);
        assert!(entries(&folder.path().join("nowhere"), "kinds").is_err());
    }

    #[tokio::test]
    async fn a_file_that_was_changed_after_the_download_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;

        let scratch = tempfile::tempdir().expect("a folder");
        let folder = scratch.path().join("module");
        fs::create_dir_all(folder.join("deploy")).expect("made");
        fs::write(folder.join("go.mod"), "module x.test/y\n").expect("written");
        fs::write(folder.join("deploy/a.yaml"), "kind: A\n").expect("written");
        // The expected hash is what `dirhash.HashDir` of golang.org/x/mod returns for the two files of this test.
        let sum = "h1:9/fssreAt9tL2lZN2HK9WPgYrb52SdYiWd9RW5c/nXg=";
        let program = scratch.path().join("go");
        let said = serde_json::json!({ "Sum": sum, "Dir": folder });
        let said = serde_json::to_string_pretty(&said).expect("plain data");
        fs::write(&program, format!("#!/bin/sh\ncat <<'END'\n{said}\nEND\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
        let files =
            GoFiles { module: "x.test/y@v1.0.0".into(), sum: sum.into(), from: "deploy".into(), to: "kinds".into() };
        let build = GoFilesBuild { image: "i", files: &files, program: &program, scratch: scratch.path() };
        let cancel = CancellationToken::new();
        let entries = build.run(&|_| (), &cancel).await.expect("as it was downloaded");
        assert_eq!(entries.iter().map(Entry::path).collect::<Vec<_>>(), ["kinds/a.yaml"]);
        // The hash covers the whole module, so a change outside the folder `from` must be noticed too.
        for changed in ["deploy/a.yaml", "go.mod", "new"] {
            let before = fs::read(folder.join(changed)).ok();
            fs::write(folder.join(changed), "changed").expect("written");
            let error = build.run(&|_| (), &cancel).await.expect_err("changed");
            assert!(matches!(error, ImageError::Extracted { .. }), "{changed}: {error}");
            match before {
                Some(before) => fs::write(folder.join(changed), before).expect("written"),
                None => fs::remove_file(folder.join(changed)).expect("removed"),
            }
        }
        assert!(build.run(&|_| (), &cancel).await.is_ok());
    }

    #[test]
    fn a_step_is_shown_without_paths_of_the_machine() {
        let go = Go {
            module: Some("kube".into()),
            install: None,
            of: None,
            sum: None,
            to: "usr/local/bin/kube".into(),
            tags: vec!["providerless".into(), "x".into()],
            ldflags: vec!["-X".into(), "a.b=c d".into()],
        };
        let build = GoBuild {
            image: "node",
            go: &go,
            recipe: Path::new("/r"),
            program: Path::new("/usr/bin/go"),
            scratch: Path::new("/s"),
            jobs: 2,
        };
        // Variables of the user, for example `GOFLAGS=-insecure` and `GONOSUMDB=*`, must not weaken a check or change
        // the build. Only the choice of the module proxy stays with the machine.
        let environment = build.environment();
        let set = |name: &str| environment.iter().find(|it| it.0 == name).and_then(|it| it.1.to_str());
        for (name, value) in [
            ("GOFLAGS", Some("-buildvcs=false")),
            ("GOINSECURE", Some(NOTHING)),
            ("GONOSUMDB", Some(NOTHING)),
            ("GOWORK", Some("off")),
            ("GOTOOLCHAIN", Some("auto")),
            ("CGO_ENABLED", Some("0")),
            ("GOAMD64", Some("v1")),
            ("GOPROXY", None),
            ("GOSUMDB", None),
        ] {
            assert_eq!(set(name), value, "{name}");
        }
        let step = build.step(&["build"], ".", Some(Path::new("/s/out/program")), Some(Path::new("/r/kube")));
        assert_eq!(
            step.shown,
            "go build -trimpath -buildvcs=false -tags providerless,x -ldflags \"-s -w -X 'a.b=c d'\" (in kube)"
        );
        assert_eq!(step.arguments[step.arguments.len() - 5..], ["-p", "2", "-o", "/s/out/program", "."]);
    }
}
