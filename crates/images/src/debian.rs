//! Debian layers: mmdebstrap creates a root file system from the apt sources of the machine.
//!
//! Mirror, proxies and keys come from the machine's apt configuration; this repository names no mirror. On a machine
//! that is not Debian, mmdebstrap uses its default mirror.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::ImageError;
use super::process::Step;
use super::recipe::Debian;
use parallax_provision::{Tool, debian_sources};

/// The time limit for downloading and unpacking about a hundred packages, which usually takes a minute.
const LIMIT: Duration = Duration::from_mins(20);

/// The build of one Debian layer.
pub(super) struct DebianBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The layer of the recipe that this build makes.
    pub(super) debian: &'a Debian,
    /// The path of the `mmdebstrap` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
}

impl DebianBuild<'_> {
    /// Creates the root file system, and writes it to the file `to` as a tar file. `say` receives the progress.
    pub(super) async fn run(
        &self,
        to: &Path,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        let suite = &self.debian.suite;
        let mut arguments: Vec<OsString> = [
            "--format=tar",
            // Manuals and documentation would only make the image larger.
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            // The files that mmdebstrap copied from the machine must not be in the image: they name the machine's
            // mirror and proxies.
            "--customize-hook=rm -rf \"$1\"/etc/apt/sources.list \"$1\"/etc/apt/sources.list.d/*",
            "--customize-hook=rm -f \"$1\"/etc/apt/apt.conf.d/99mmdebstrap \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
            "--customize-hook=rm -f \"$1\"/etc/hostname \"$1\"/etc/resolv.conf",
        ]
        .map(OsString::from)
        .into();
        let variant = format!("--variant={}", self.debian.variant.as_str());
        arguments.push(variant.clone().into());
        if self.has_java() {
            // Packages of Java register their manuals when they are installed, and fail if the folder for manuals is
            // missing. The image has no manuals, so the folder is created for them.
            arguments.push("--essential-hook=mkdir -p \"$1\"/usr/share/man/man1".into());
        }
        if !self.debian.packages.is_empty() {
            arguments.push(format!("--include={}", self.debian.packages.join(",")).into());
        }
        arguments.extend([suite.into(), "-".into()]);
        if let Some(sources) = debian_sources(Path::new("/etc"), suite) {
            let file = self.scratch.join("image.sources");
            fs::write(&file, sources).map_err(ImageError::cache("write", &file))?;
            arguments.push(file.into());
        }
        let mut environment: Vec<(&'static str, OsString)> = vec![("SOURCE_DATE_EPOCH", "0".into())];
        let mut program = self.program.to_owned();
        if rustix::process::geteuid().is_root() {
            // As root, mmdebstrap works in the build's scratch folder, so that a later run removes the files of a
            // killed build. Without root, mmdebstrap works in its own user namespace, which cannot access that folder.
            environment.push(("TMPDIR", self.scratch.into()));
            // mmdebstrap runs in mount and process-id namespaces of its own. When it ends, its mounts and processes end
            // too, even after SIGKILL. So its files can be removed, and no installation continues for a run that was
            // killed.
            let alone = ["--mount-proc", "--pid", "--fork", "--kill-child", "--"].map(Into::into);
            arguments.splice(0..0, alone.into_iter().chain([program.into()]));
            program = Tool::Unshare.command().into();
        }
        Step {
            image: self.image,
            title: format!("mmdebstrap {suite}"),
            shown: format!("mmdebstrap {variant} --include={} {suite}", self.debian.packages.join(",")),
            program,
            arguments,
            environment,
            folder: None,
            output: Some(File::create(to).map_err(ImageError::cache("write", to))?),
            limit: LIMIT,
        }
        .run(say, cancel)
        .await
        .map(drop)
    }

    /// Whether the layer contains a Java package. Only such a layer gets the folder for manuals, so that the bytes of
    /// all other layers stay the same.
    fn has_java(&self) -> bool {
        let of_java = |package: &String| ["openjdk-", "default-j"].iter().any(|start| package.starts_with(start));
        self.debian.packages.iter().any(of_java)
    }
}
