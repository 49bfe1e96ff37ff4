//! Debian layers: mmdebstrap creates a root file system from the apt sources of the machine.
//!
//! The mirror, the proxies and the keys come from the machine's apt configuration; this repository contains no mirror's
//! address. On a machine that is not Debian, mmdebstrap uses its default mirror. apt verifies the signature of the
//! package archive. The signed files contain the SHA-256 of each package, which apt verifies too. If apt cannot verify
//! a package, no layer is made.

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
    /// The folder with the machine's configuration, `/etc`. The apt sources are in it.
    pub(super) etc: &'a Path,
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
            // The files that mmdebstrap copied from the machine must not be in the image: they contain the addresses of
            // the machine's mirror and proxies.
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
        if let Some(sources) = debian_sources(self.etc, suite) {
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
            // mmdebstrap runs in mount and process-id namespaces of its own. When mmdebstrap ends, its mounts and
            // processes end too, even after SIGKILL. So its files can be removed, and no installation continues for a
            // run that was killed.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::recipe::DebianVariant;
    use parallax_provision::on_path;

    const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/debian");
    const KEY: &str = "Signed-By: ROOT/debian-archive-key.asc\n";
    const SOURCE: &str = "\
Types: deb
URIs: copy:ROOT
Suites: bookworm
Components: main
Signed-By: ROOT/debian-archive-key.asc
";

    /// A function that changes the test machine's package archive or its apt sources.
    type Change<'a> = Box<dyn Fn(&Machine) + 'a>;

    /// Stands for a machine in a test. Its apt sources point to a small package archive in a temporary folder. The
    /// archive has one package, and is signed by a key that exists only for this test.
    struct Machine {
        folder: tempfile::TempDir,
        program: std::path::PathBuf,
    }

    /// Returns the original content of a file of the test's package archive.
    fn signed(name: &str) -> Vec<u8> {
        fs::read(Path::new(ARCHIVE).join(name)).expect("kept with the crate")
    }

    impl Machine {
        fn new(program: &Path) -> Self {
            let machine = Self { folder: tempfile::tempdir().expect("a folder"), program: program.to_owned() };
            machine.write("etc/os-release", b"ID=debian\nVERSION_CODENAME=bookworm\n");
            // Without root, mmdebstrap works as another user, who must be able to read the archive.
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(machine.folder.path(), open).expect("set");
            machine.sources(SOURCE);
            machine.write("debian-archive-key.asc", &signed("debian-archive-key.asc"));
            let packages = signed("Packages");
            for architecture in ["amd64", "arm64"] {
                machine.write(&format!("dists/trixie/main/binary-{architecture}/Packages"), &packages);
            }
            machine.write("dists/trixie/InRelease", &signed("InRelease"));
            machine.write("pool/words.deb", &signed("words.deb"));
            machine
        }

        fn write(&self, path: &str, bytes: &[u8]) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, bytes).expect("written");
        }

        fn sources(&self, text: &str) {
            let root = self.folder.path().display().to_string();
            self.write("etc/apt/sources.list.d/debian.sources", text.replace("ROOT", &root).as_bytes());
        }

        /// Builds a layer with the archive's package. Returns the layer's bytes as text.
        async fn layer(&self) -> Result<String, String> {
            let packages = vec!["signed-words".to_owned()];
            let debian = Debian { suite: "trixie".to_owned(), packages, variant: DebianVariant::Extract };
            let scratch = tempfile::tempdir().expect("a folder");
            let build = DebianBuild {
                image: "x",
                debian: &debian,
                program: &self.program,
                scratch: scratch.path(),
                etc: &self.folder.path().join("etc"),
            };
            let layer = scratch.path().join("layer.tar");
            match build.run(&layer, &|_| {}, &CancellationToken::new()).await {
                Ok(()) => Ok(String::from_utf8_lossy(&fs::read(layer).expect("written")).into_owned()),
                Err(ImageError::Step { lines, .. }) => Err(lines.join("\n")),
                Err(error) => Err(error.to_string()),
            }
        }
    }

    #[tokio::test]
    async fn a_layer_has_only_what_apt_verified() {
        let Some(program) = on_path("mmdebstrap").next() else {
            eprintln!("NOT TESTED: mmdebstrap is not installed, so no Debian layer is built");
            return;
        };
        let good = Machine::new(&program).layer().await.expect("the archive is signed");
        assert!(good.contains("as signed"), "the package's file is in the layer");

        let changed = |bytes: Vec<u8>, from: &str, to: &str| -> Vec<u8> {
            String::from_utf8(bytes).expect("text").replace(from, to).into_bytes()
        };
        let mut package = signed("words.deb");
        let last = package.len() - 1;
        package[last] ^= 1;
        let cases: [(&str, Change<'_>, &str); 5] = [
            ("a package", Box::new(|it| it.write("pool/words.deb", &package)), "Hash Sum mismatch"),
            (
                "the list of packages",
                Box::new(|it| {
                    let packages = changed(signed("Packages"), "a package", "A package");
                    for architecture in ["amd64", "arm64"] {
                        it.write(&format!("dists/trixie/main/binary-{architecture}/Packages"), &packages);
                    }
                }),
                "Hash Sum mismatch",
            ),
            (
                "the signed digests",
                Box::new(|it| {
                    it.write("dists/trixie/InRelease", &changed(signed("InRelease"), "Origin: tests", "Origin: other"));
                }),
                "is not signed",
            ),
            ("the key", Box::new(|it| it.sources(&SOURCE.replace(KEY, ""))), "is not signed"),
            (
                "the key, where the machine asks for none",
                Box::new(|it| it.sources(&SOURCE.replace(KEY, "Trusted: yes\n"))),
                "is not signed",
            ),
        ];
        for (what, change, why) in cases {
            let machine = Machine::new(&program);
            change(&machine);
            let refused = machine.layer().await.err().unwrap_or_else(|| panic!("{what}: a layer was made"));
            assert!(refused.contains(why), "{what}: {refused}");
        }
    }
}
