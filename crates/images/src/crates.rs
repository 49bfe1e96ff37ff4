//! Crate layers: a program that Cargo builds from one published crate of an exact version, with the lock file that the
//! crate contains.
//!
//! Cargo downloads the crate and its dependencies, because Cargo has the machine's settings of registry, proxies and
//! credentials. The recipe pins the hash of the crate, and the lock file in the crate pins the hashes of all
//! dependencies. Cargo checks a hash only when it downloads a crate, and uses the crates in its cache without a check,
//! even with `--locked`. Therefore the build gets a cache of its own. Only crates with the pinned hash are copied into
//! this cache, and Cargo downloads the others again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use tokio_util::sync::CancellationToken;

use super::digest;
use super::error::ImageError;
use super::lock::is_digest;
use super::process::Step;
use super::recipe::{Crate, check_name, check_path};

/// The time limit for downloading the recipe's crate, without its dependencies.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(5);
/// The time limit of two commands of Cargo: the download of the crate's dependencies, and the build of the program.
const BUILD_LIMIT: Duration = Duration::from_hours(1);
/// The environment variable with the path of Cargo's own folder.
const HOME: &str = "CARGO_HOME";
/// The files with settings in Cargo's own folder. They contain the address of the registry from which crates come, and
/// the credentials for this registry.
const SETTINGS: [&str; 4] = ["config.toml", "config", "credentials.toml", "credentials"];
/// The hash of a crate in a recipe begins with this text.
const SHA256: &str = "sha256:";

impl Crate {
    /// Checks a crate layer of a recipe. The error is a sentence about the mistake.
    pub(super) fn check(&self) -> Result<(), String> {
        let (name, version) = self.parts();
        check_name("crate as name@version", name)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
        if version.split('.').count() < 3 || !version.bytes().all(plain) {
            return Err(format!("{:?} does not pin a version: name@1.2.3", self.name));
        }
        if !is_digest(&self.sum) {
            return Err(format!("{} needs the hash of its crate: `{SHA256}` and 64 digits", self.name));
        }
        check_name("binary", &self.binary)?;
        self.features.iter().try_for_each(|feature| check_name("feature", feature))?;
        check_path(&self.to)
    }

    fn parts(&self) -> (&str, &str) {
        self.name.split_once('@').unwrap_or((&self.name, ""))
    }
}

/// The build of one program from a published crate.
pub(super) struct CrateBuild<'a> {
    /// The image that the layer belongs to.
    pub(super) image: &'a str,
    /// The part of the recipe that describes the crate.
    pub(super) of: &'a Crate,
    /// The path of the `cargo` program.
    pub(super) program: &'a Path,
    /// A scratch folder for this build only. The caller removes it.
    pub(super) scratch: &'a Path,
    /// The number of compilers that this build may run at the same time.
    pub(super) jobs: usize,
}

impl CrateBuild<'_> {
    /// Builds the program and returns its path. `home` is Cargo's own folder, into which Cargo downloads the crate.
    pub(super) async fn run(
        &self,
        home: &Path,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<PathBuf, ImageError> {
        let sources = self.scratch.join("sources");
        fs::create_dir_all(&sources).map_err(ImageError::cache("make", &sources))?;
        self.download(home, &sources).run(say, cancel).await?;
        let folder = self.unpack(home, &sources)?;
        // The dependencies are first downloaded into the user's cache, so that a later build finds them there.
        self.fetch(home, &folder).run(say, cancel).await?;
        let own = self.scratch.join("home");
        verified(home, &own, &folder, say)?;
        self.build(&own, &folder).run(say, cancel).await?;
        Ok(self.scratch.join("target").join(target()).join("release").join(&self.of.binary))
    }

    fn download(&self, home: &Path, folder: &Path) -> Step<'_> {
        let shown = format!("cargo info {}", self.of.name);
        Step {
            image: self.image,
            title: shown.clone(),
            shown,
            program: self.program.to_owned(),
            arguments: ["info", "--quiet", &self.of.name].map(OsString::from).into(),
            environment: vec![(HOME, home.into())],
            folder: Some(folder.to_owned()),
            output: None,
            limit: DOWNLOAD_LIMIT,
        }
    }

    /// Unpacks the downloaded crate if it has the hash in the recipe. Returns the folder with the crate's sources. The
    /// sources that Cargo has unpacked for itself are not used, because Cargo does not notice if they are changed
    /// later.
    fn unpack(&self, home: &Path, into: &Path) -> Result<PathBuf, ImageError> {
        let (name, version) = self.of.parts();
        let stem = format!("{name}-{version}");
        let cache = home.join("registry/cache");
        let pinned = self.of.sum.strip_prefix(SHA256).unwrap_or_default();
        let mut seen = None;
        // In Cargo's own folder, each registry that this machine has used has a folder of its own.
        for registry in fs::read_dir(&cache).map_err(ImageError::cache("list", &cache))?.flatten() {
            let file = registry.path().join(format!("{stem}.crate"));
            if !file.is_file() {
                continue;
            }
            let hash = digest::of_file(&file).map_err(ImageError::cache("read", &file))?;
            if hash != pinned {
                seen = Some(hash);
                continue;
            }
            let folder = into.join(&stem);
            extract(&file, into).map_err(ImageError::cache("unpack", &file))?;
            stand_alone(&folder).map_err(ImageError::cache("write", &folder))?;
            return Ok(folder);
        }
        let Some(seen) = seen else {
            let missing = io::Error::new(io::ErrorKind::NotFound, format!("Cargo kept no {stem}.crate"));
            return Err(ImageError::cache("read", &cache)(missing));
        };
        Err(ImageError::Sum {
            image: self.image.to_owned(),
            module: self.of.name.clone(),
            pinned: self.of.sum.clone(),
            seen: format!("{SHA256}{seen}"),
        })
    }

    fn fetch(&self, home: &Path, folder: &Path) -> Step<'_> {
        let target = target();
        let arguments = ["fetch", "--quiet", "--locked", "--target", &target];
        Step {
            image: self.image,
            title: format!("cargo fetch of {}", self.of.name),
            shown: format!("cargo {} (of {})", arguments.join(" "), self.of.name),
            program: self.program.to_owned(),
            arguments: arguments.map(OsString::from).into(),
            environment: vec![(HOME, home.into())],
            folder: Some(folder.to_owned()),
            output: None,
            limit: BUILD_LIMIT,
        }
    }

    /// Builds the program from the sources in `folder`. `home` is the folder that Cargo uses as its own.
    fn build(&self, home: &Path, folder: &Path) -> Step<'_> {
        let Crate { name, binary, features, .. } = self.of;
        let mut arguments: Vec<String> =
            ["build", "--release", "--locked", "--no-default-features", "--bin", binary].map(str::to_owned).into();
        if !features.is_empty() {
            arguments.extend(["--features".to_owned(), features.join(",")]);
        }
        let shown = format!("cargo {} (of {name})", arguments.join(" "));
        arguments.extend(["--target".to_owned(), target(), "--jobs".to_owned(), self.jobs.to_string()]);
        Step {
            image: self.image,
            title: format!("cargo build of {name}"),
            shown,
            program: self.program.to_owned(),
            arguments: arguments.into_iter().map(OsString::from).collect(),
            environment: vec![
                (HOME, home.into()),
                ("CARGO_TARGET_DIR", self.scratch.join("target").into()),
                // These flags make the program static. The variable overrides RUSTFLAGS and the user's settings, which
                // may select newer processors. An image must also run on machines with older processors.
                ("CARGO_ENCODED_RUSTFLAGS", "-C\u{1f}target-feature=+crt-static".into()),
                // A program under test need not be fast, and full optimisation takes twice the time.
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1".into()),
                ("CARGO_PROFILE_RELEASE_LTO", "off".into()),
                ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16".into()),
                ("CARGO_PROFILE_RELEASE_DEBUG", "false".into()),
                ("CARGO_PROFILE_RELEASE_STRIP", "symbols".into()),
                ("CARGO_INCREMENTAL", "0".into()),
            ],
            folder: Some(folder.to_owned()),
            output: None,
            limit: BUILD_LIMIT,
        }
    }
}

/// The target platform of the build. Cargo gets this platform explicitly. Then the flags for a static program do not
/// apply to build scripts and macros, which must be dynamic.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Cargo's own folder on this machine. It contains the user's settings, such as the registry, and the downloaded
/// crates. Cargo runs in another folder than this process, so the path is absolute.
pub(super) fn home() -> Result<PathBuf, ImageError> {
    let set = std::env::var_os(HOME).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set.or_else(|| std::env::home_dir().map(|it| it.join(".cargo"))).unwrap_or_else(|| ".cargo".into());
    std::path::absolute(&home).map_err(ImageError::cache("find", &home))
}

/// Makes the folder `own`, which Cargo can use in place of `home`. The folder gets the settings of `home` and the index
/// of the registry. A downloaded crate is copied into the folder only if the lock file in `sources` lists the crate
/// with the same hash. `say` receives a line about each crate that has another hash.
fn verified(home: &Path, own: &Path, sources: &Path, say: &dyn Fn(&str)) -> Result<(), ImageError> {
    let registry = own.join("registry");
    fs::create_dir_all(&registry).map_err(ImageError::cache("make", &registry))?;
    let shared = SETTINGS.iter().map(|it| (home.join(it), own.join(it)));
    for (theirs, ours) in shared.chain([(home.join("registry/index"), registry.join("index"))]) {
        if theirs.exists() {
            std::os::unix::fs::symlink(&theirs, &ours).map_err(ImageError::cache("link", &ours))?;
        }
    }
    let lock = sources.join("Cargo.lock");
    let text = fs::read_to_string(&lock).map_err(ImageError::cache("read", &lock))?;
    let pinned = pinned(&text);
    let cache = home.join("registry/cache");
    for of_registry in fs::read_dir(&cache).map_err(ImageError::cache("list", &cache))?.flatten() {
        let ours = registry.join("cache").join(of_registry.file_name());
        fs::create_dir_all(&ours).map_err(ImageError::cache("make", &ours))?;
        for (stem, hash) in &pinned {
            let (name, theirs) = (format!("{stem}.crate"), of_registry.path().join(format!("{stem}.crate")));
            if !theirs.is_file() {
                continue;
            }
            // The copy is checked, because somebody could replace the original file after a check of the original.
            let copy = ours.join(name);
            fs::copy(&theirs, &copy).map_err(ImageError::cache("copy", &theirs))?;
            if digest::of_file(&copy).map_err(ImageError::cache("read", &copy))? != *hash {
                say(&format!("{} does not have the pinned hash; Cargo downloads {stem} again", theirs.display()));
                fs::remove_file(&copy).map_err(ImageError::cache("remove", &copy))?;
            }
        }
    }
    Ok(())
}

/// The crates of a lock file: the name and version of each in the form `name-version`, and its SHA-256. Cargo itself
/// writes the file, with one key in each line, so no TOML parser is needed.
fn pinned(lock: &str) -> Vec<(String, &str)> {
    let packages = lock.split("[[package]]").skip(1);
    let of_package = packages.filter_map(|package| {
        let value = |key: &str| {
            let mut values = package.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            values.next().map(|it| it.trim_matches('"'))
        };
        Some((format!("{}-{}", value("name")?, value("version")?), value("checksum")?))
    });
    of_package.collect()
}

fn extract(file: &Path, into: &Path) -> io::Result<()> {
    tar::Archive::new(GzDecoder::new(File::open(file)?)).unpack(into)
}

/// Makes the crate a workspace of its own. Otherwise, if the cache of images lay in the folder of another workspace,
/// Cargo would refuse to build the crate.
fn stand_alone(folder: &Path) -> io::Result<()> {
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    fs::write(&manifest, format!("{text}\n[workspace]\n"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const RECIPE: &str = "name: a@1.0.0\nbinary: b\nto: bin/b\nfeatures: [x, y]\nsum: ";

    /// Writes the crate `a` of version 1.0.0 into the cache of Cargo's folder `home`. Returns the crate's hash.
    fn download(home: &Path, registry: &str, manifest: &str) -> String {
        let folder = home.join("registry/cache").join(registry);
        fs::create_dir_all(&folder).expect("made");
        let file = folder.join("a-1.0.0.crate");
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(&file).expect("made"), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "a-1.0.0/Cargo.toml", manifest.as_bytes()).expect("appended");
        archive.into_inner().expect("written").finish().expect("written");
        digest::of_file(&file).expect("read")
    }

    fn of(sum: &str) -> Crate {
        super::super::yaml::parse(Path::new("recipe.yaml"), &format!("{RECIPE}'sha256:{sum}'")).expect("valid")
    }

    #[test]
    fn only_a_crate_with_the_hash_of_the_recipe_is_unpacked() {
        let scratch = tempfile::tempdir().expect("a folder");
        let (home, into) = (scratch.path().join("home"), scratch.path().join("sources"));
        let unpack = |sum: &str| {
            let of = of(sum);
            let build = CrateBuild { image: "i", of: &of, program: Path::new("cargo"), scratch: &into, jobs: 2 };
            build.unpack(&home, &into)
        };
        let wanted = download(&home, "one", "[package]\n");
        let folder = unpack(&wanted).expect("it has the hash");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("unpacked");
        assert_eq!(manifest, "[package]\n\n[workspace]\n");
        // A registry that this machine used earlier may have another crate with the same name and version.
        download(&home, "an-earlier-one", "[package] # another\n");
        assert!(unpack(&wanted).is_ok());
        let other = "0".repeat(64);
        let error = unpack(&other).expect_err("another hash");
        assert!(matches!(&error, ImageError::Sum { module, .. } if module == "a@1.0.0"), "{error}");
        fs::remove_dir_all(home.join("registry/cache")).expect("removed");
        fs::create_dir_all(home.join("registry/cache/one")).expect("made");
        let error = unpack(&wanted).expect_err("nothing there").to_string();
        assert!(error.contains("Cargo kept no a-1.0.0.crate"), "{error}");
    }

    #[test]
    fn the_build_is_static_and_follows_the_lock_file() {
        let of = of(&"0".repeat(64));
        let build = CrateBuild { image: "i", of: &of, program: Path::new("cargo"), scratch: Path::new("/s"), jobs: 2 };
        let step = build.build(Path::new("/s/home"), Path::new("/s/sources/a-1.0.0"));
        assert_eq!(
            step.shown,
            "cargo build --release --locked --no-default-features --bin b --features x,y (of a@1.0.0)"
        );
        let set = |name: &str| step.environment.iter().find(|it| it.0 == name).and_then(|it| it.1.to_str());
        assert_eq!(set("CARGO_ENCODED_RUSTFLAGS"), Some("-C\u{1f}target-feature=+crt-static"));
        assert_eq!(set("CARGO_TARGET_DIR"), Some("/s/target"));
        assert_eq!(set(HOME), Some("/s/home"), "Cargo would use what the user's cache contains as it is");
        assert!(Path::new(&home().expect("found")).is_absolute());
    }

    #[test]
    fn a_build_gets_only_those_crates_of_the_users_cache_that_its_lock_file_pins() {
        let scratch = tempfile::tempdir().expect("a folder");
        let (home, own) = (scratch.path().join("home"), scratch.path().join("own"));
        let hash = download(&home, "one", "[package]\n");
        download(&home, "forged", "[package] # another\n");
        fs::create_dir(home.join("registry/index")).expect("made");
        for name in ["config.toml", "registry/cache/one/c-1.0.0.crate"] {
            fs::write(home.join(name), "x").expect("written");
        }
        let lock = format!(
            "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"{hash}\"\n\
             dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n"
        );
        assert_eq!(pinned(&lock), [("a-1.0.0".to_owned(), hash.as_str())]);
        fs::write(scratch.path().join("Cargo.lock"), lock).expect("written");
        let said = std::cell::RefCell::new(Vec::new());
        verified(&home, &own, scratch.path(), &|line| said.borrow_mut().push(line.to_owned())).expect("made");
        assert!(matches!(said.borrow().as_slice(), [one] if one.contains("downloads a-1.0.0 again")), "{said:?}");
        let there = |name: &str| own.join(name).exists();
        assert!(there("config.toml") && there("registry/index") && there("registry/cache/one/a-1.0.0.crate"));
        assert!(!there("registry/cache/forged/a-1.0.0.crate"), "it has another hash");
        assert!(!there("registry/cache/one/c-1.0.0.crate"), "no package of the lock file");
        assert!(!there("registry/src"), "Cargo does not notice if unpacked sources are changed");
    }
}
