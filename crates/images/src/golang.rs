//! Go layers: `go build` of a module in the recipe's folder, or `go install` of a published module, pinned by its sum.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::archive::architecture;
use super::error::ImageError;
use super::process::Step;
use super::recipe::Go;

/// Limit of one build. A build of Kubernetes without a cache takes about ten minutes on one core, and several times
/// that on a slow machine.
const BUILD_LIMIT: Duration = Duration::from_mins(40);
/// A pattern that matches no module path.
const NOTHING: &str = "nothing.invalid";
/// Limit of the download of one module.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);

/// One build.
pub(super) struct GoBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer.
    pub(super) go: &'a Go,
    /// The recipe's folder.
    pub(super) recipe: &'a Path,
    /// The `go` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
    /// How many compilers may run at once.
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
        self.check_sum(say, cancel).await?;
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

    /// A `go` command with the flags that make programs static, small, and independent of the folder they are built in.
    fn step(&self, verb: &[&str], what: &str, out: Option<&Path>, folder: Option<&Path>) -> Step<'_> {
        let mut ldflags = "-s -w".to_owned();
        for flag in &self.go.ldflags {
            ldflags.push(' ');
            // The go command splits the list at spaces that are not inside quotes.
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
            // `go install` runs in the scratch folder, outside of any module of the machine.
            folder: Some(folder.unwrap_or(self.scratch).to_owned()),
            output: None,
            limit: BUILD_LIMIT,
        }
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("CGO_ENABLED", "0".into()),
            ("GOOS", "linux".into()),
            ("GOARCH", architecture().into()),
            ("GOWORK", "off".into()),
            ("GO111MODULE", "on".into()),
            // The user's settings of these variables would change what is built, or which sources are trusted. An empty
            // value would not override the setting in Go's own file. Where modules come from is still set by the
            // machine.
            ("GOFLAGS", "-buildvcs=false".into()),
            ("GOINSECURE", NOTHING.into()),
            ("GONOSUMDB", NOTHING.into()),
            // The oldest processors, which are Go's own defaults: an image also runs on another machine.
            ("GOAMD64", "v1".into()),
            ("GOARM64", "v8.0".into()),
            ("GOBIN", self.scratch.join("out").into()),
            ("GOTMPDIR", self.scratch.join("work").into()),
            // A compiler runs for seconds only, so below the memory limit garbage collection costs more than it gains.
            ("GOGC", "off".into()),
            ("GOMEMLIMIT", memory_limit(memory_bytes(), self.jobs).to_string().into()),
        ]
    }

    /// Downloads the module and compares its sum with the one that the recipe pins, before anything is compiled.
    async fn check_sum(
        &self,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Downloaded {
            #[serde(default)]
            sum: String,
            #[serde(default)]
            error: Option<String>,
        }
        let module = self.go.module_of_install();
        let shown = format!("go mod download -json {module}");
        let step = Step {
            image: self.image,
            title: shown.clone(),
            shown: shown.clone(),
            program: self.program.to_owned(),
            arguments: ["mod", "download", "-json", &module].map(OsString::from).into(),
            environment: self.environment(),
            folder: Some(self.scratch.to_owned()),
            output: None,
            limit: DOWNLOAD_LIMIT,
        };
        say(&format!("downloading {module}"));
        let lines = step.run(&|_| (), cancel).await?;
        // Messages about downloads are on stderr, and stdout and stderr are read as one stream.
        let json = lines.iter().skip_while(|line| *line != "{").take_while(|line| *line != "}");
        let json: String = json.cloned().chain(["}".to_owned()]).collect();
        let downloaded: Option<Downloaded> = serde_json::from_str(&json).ok();
        match downloaded {
            Some(Downloaded { error: None, sum }) if Some(&sum) == self.go.sum.as_ref() => Ok(()),
            Some(Downloaded { error: None, sum }) => Err(ImageError::Sum {
                image: self.image.to_owned(),
                module,
                pinned: self.go.sum.clone().unwrap_or_default(),
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

/// The memory in bytes that one compiler may use before it collects garbage. Two builds with `jobs` compilers each
/// share half of the machine's memory. The result is never so small that a compiler only collects garbage.
fn memory_limit(machine_bytes: u64, jobs: usize) -> u64 {
    const MIB: u64 = 1024 * 1024;
    let compilers = 2 * u64::try_from(jobs).unwrap_or(u64::MAX / 2).max(1);
    (machine_bytes / 2 / compilers).clamp(256 * MIB, 2048 * MIB)
}

/// The machine's memory in bytes.
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
        // The user's own settings (`GOFLAGS=-insecure GONOSUMDB=*`) neither weaken a check nor change what is built, and
        // the machine still says where modules come from.
        let environment = build.environment();
        let set = |name: &str| environment.iter().find(|it| it.0 == name).and_then(|it| it.1.to_str());
        for (name, value) in [
            ("GOFLAGS", Some("-buildvcs=false")),
            ("GOINSECURE", Some(NOTHING)),
            ("GONOSUMDB", Some(NOTHING)),
            ("GOWORK", Some("off")),
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
