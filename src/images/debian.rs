//! Debian layers: a root file system by mmdebstrap, from the machine's own apt sources.
//!
//! The machine knows its mirror, its proxies and its keys; no mirror's name stands in this repository. The sources of
//! the machine's own release are taken with the suite renamed, unless the wanted suite has sources already. A machine
//! that is not Debian has none; mmdebstrap then uses Debian's own default.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::ImageError;
use super::process::Step;
use super::recipe::Debian;

/// Downloading and unpacking some hundred packages; a minute is usual.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// One root file system.
pub(super) struct DebianBuild<'a> {
    /// The image that it is for.
    pub(super) image: &'a str,
    /// The layer.
    pub(super) debian: &'a Debian,
    /// The `mmdebstrap` program.
    pub(super) program: &'a Path,
    /// A folder of its own, removed by the caller.
    pub(super) scratch: &'a Path,
}

impl DebianBuild<'_> {
    /// Makes the root file system as a tar at `to`.
    pub(super) async fn run(
        &self,
        to: &Path,
        say: &(dyn Fn(&str) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        let suite = &self.debian.suite;
        let mut arguments: Vec<OsString> = [
            "--variant=minbase",
            "--format=tar",
            // Nobody reads manuals in a node.
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            // The machine's mirror and proxies are nothing that an image should carry on.
            "--customize-hook=rm -rf \"$1\"/etc/apt/sources.list \"$1\"/etc/apt/sources.list.d/*",
            "--customize-hook=rm -f \"$1\"/etc/apt/apt.conf.d/99mmdebstrap \"$1\"/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
            "--customize-hook=rm -f \"$1\"/etc/hostname \"$1\"/etc/resolv.conf",
        ]
        .map(OsString::from)
        .into();
        if !self.debian.packages.is_empty() {
            arguments.push(format!("--include={}", self.debian.packages.join(",")).into());
        }
        arguments.extend([suite.into(), "-".into()]);
        if let Some(sources) = machine_sources(Path::new("/etc"), suite) {
            let file = self.scratch.join("image.sources");
            fs::write(&file, sources).map_err(ImageError::cache("write", &file))?;
            arguments.push(file.into());
        }
        let mut environment: Vec<(&'static str, OsString)> = vec![("SOURCE_DATE_EPOCH", "0".into())];
        if rustix::process::geteuid().is_root() {
            // Whatever a killed run leaves is then swept with the rest. Without root it works in a user namespace of
            // its own, which could not enter our folder.
            environment.push(("TMPDIR", self.scratch.into()));
        }
        Step {
            image: self.image,
            shown: format!("mmdebstrap --variant=minbase {suite}"),
            program: self.program.to_owned(),
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
}

/// The machine's apt sources, in deb822 form, for another suite; `None` where it has no Debian sources.
fn machine_sources(etc: &Path, suite: &str) -> Option<String> {
    let own = own_suite(&fs::read_to_string(etc.join("os-release")).ok()?)?;
    let mut stanzas = Vec::new();
    let mut files: Vec<_> = fs::read_dir(etc.join("apt/sources.list.d"))
        .map(|files| files.flatten().map(|file| file.path()).collect())
        .unwrap_or_default();
    files.push(etc.join("apt/sources.list"));
    files.sort();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => stanzas.extend(text.split("\n\n").filter_map(Stanza::deb822)),
            Some("list") => stanzas.extend(text.lines().filter_map(Stanza::line)),
            _ => {}
        }
    }
    for from in [suite, own.as_str()] {
        let renamed: Vec<String> = stanzas.iter().filter_map(|stanza| stanza.renamed(from, suite)).collect();
        if !renamed.is_empty() {
            return Some(renamed.join("\n"));
        }
    }
    None
}

/// The code name of a Debian machine.
fn own_suite(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    (field("ID")? == "debian").then(|| field("VERSION_CODENAME")).flatten()
}

/// One source of packages: suites, and everything else as it stands.
#[derive(Debug)]
struct Stanza {
    suites: Vec<String>,
    rest: Vec<(String, String)>,
}

impl Stanza {
    fn deb822(text: &str) -> Option<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            if line.starts_with([' ', '\t']) {
                let (_, value) = fields.last_mut()?;
                value.push('\n');
                value.push_str(line);
            } else {
                let (name, value) = line.split_once(':')?;
                fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let value = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let types = value("types")?;
        let off = value("enabled").is_some_and(|enabled| matches!(enabled, "no" | "false" | "without" | "off" | "0"));
        if off || !types.split_whitespace().any(|kind| kind == "deb") {
            return None;
        }
        let suites = value("suites")?.split_whitespace().map(str::to_owned).collect();
        let rest = fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "suites" | "types")).collect();
        Some(Self { suites, rest })
    }

    fn line(line: &str) -> Option<Self> {
        let mut rest = line.trim().strip_prefix("deb")?.trim_start();
        if rest.len() == line.trim().len() - 3 {
            return None; // deb-src and other words
        }
        let mut fields = Vec::new();
        if let Some(bracket) = rest.strip_prefix('[') {
            let (options, after) = bracket.split_once(']')?;
            for option in options.split_whitespace() {
                let (name, value) = option.split_once('=')?;
                let name = if name.eq_ignore_ascii_case("arch") { "architectures" } else { name };
                fields.push((name.to_ascii_lowercase(), value.replace(',', " ")));
            }
            rest = after;
        }
        let mut words = rest.split('#').next()?.split_whitespace();
        fields.push(("uris".to_owned(), words.next()?.to_owned()));
        let suites = vec![words.next()?.to_owned()];
        fields.push(("components".to_owned(), words.collect::<Vec<_>>().join(" ")));
        Some(Self { suites, rest: fields })
    }

    /// The stanza for `to`, if it has suites of `from`: `bookworm-security` becomes `trixie-security`.
    fn renamed(&self, from: &str, to: &str) -> Option<String> {
        let rename = |suite: &String| {
            let rest = suite.strip_prefix(from)?;
            let known = matches!(rest, "" | "-updates" | "-security" | "/updates");
            known.then(|| format!("{to}{}", if rest == "/updates" { "-security" } else { rest }))
        };
        let suites: Vec<String> = self.suites.iter().filter_map(rename).collect();
        if suites.is_empty() {
            return None;
        }
        let mut text = format!("Types: deb\nSuites: {}\n", suites.join(" "));
        for (name, value) in &self.rest {
            text.push_str(&format!("{name}: {value}\n"));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `/etc` with that release and those source files.
    fn etc(release: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("apt/sources.list.d")).expect("made");
        fs::write(folder.path().join("os-release"), release).expect("written");
        for (name, text) in files {
            fs::write(folder.path().join("apt").join(name), text).expect("written");
        }
        folder
    }

    const BOOKWORM: &str = "ID=debian\nVERSION_CODENAME=bookworm\n";
    const DEBIAN: &str = "Types: deb\n# a comment\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n\
                          Components: main\nSigned-By: /keys/debian.gpg\n\n\
                          Types: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main\n";

    #[test]
    fn the_machines_sources_are_renamed() {
        let etc = etc(
            BOOKWORM,
            &[
                ("sources.list.d/debian.sources", DEBIAN),
                ("sources.list.d/node.sources", "Types: deb\nURIs: https://other.test\nSuites: nodistro\n"),
                ("sources.list.d/off.sources", "Types: deb\nEnabled: no\nURIs: http://off.test\nSuites: bookworm\n"),
                ("sources.list.d/x.list.disabled", "deb http://disabled.test bookworm main"),
            ],
        );
        let sources = machine_sources(etc.path(), "trixie").expect("sources");
        insta::assert_snapshot!(sources, @r"
        Types: deb
        Suites: trixie trixie-updates
        uris: http://mirror.test/debian
        components: main
        signed-by: /keys/debian.gpg

        Types: deb
        Suites: trixie-security
        uris: http://mirror.test/security
        components: main
        ");
    }

    #[test]
    fn sources_of_the_wanted_suite_come_first() {
        let trixie = "Types: deb\nURIs: http://ready.test/debian\nSuites: trixie\nComponents: main\n";
        let etc = etc(BOOKWORM, &[("sources.list.d/debian.sources", DEBIAN), ("sources.list.d/t.sources", trixie)]);
        let sources = machine_sources(etc.path(), "trixie").expect("sources");
        assert!(sources.contains("ready.test") && !sources.contains("mirror.test"), "{sources}");
    }

    #[test]
    fn one_line_sources_are_understood() {
        let list = "# deb http://no.test bookworm main\ndeb-src http://no.test bookworm main\n\
                    deb [signed-by=/k.gpg arch=amd64,arm64] http://yes.test/debian bookworm main contrib # why\n\
                    deb http://backports.test bookworm-backports main\n";
        let etc = etc(BOOKWORM, &[("sources.list", list)]);
        let sources = machine_sources(etc.path(), "trixie").expect("sources");
        insta::assert_snapshot!(sources, @r"
        Types: deb
        Suites: trixie
        signed-by: /k.gpg
        architectures: amd64 arm64
        uris: http://yes.test/debian
        components: main contrib
        ");
    }

    #[test]
    fn another_distribution_has_no_debian_sources() {
        let list = "deb http://ubuntu.test/ubuntu noble main\n";
        let etc = etc("ID=ubuntu\nVERSION_CODENAME=noble\n", &[("sources.list", list)]);
        assert_eq!(machine_sources(etc.path(), "trixie"), None);
    }
}
