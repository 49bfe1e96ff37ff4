//! Copies the machine's own apt sources for another suite.
//!
//! Only the sources of Debian's own archive are copied. Such a source is for this machine's release and has only
//! Debian's components. Its key is Debian's archive key, or it names no key. Third-party sources are not copied,
//! because their servers may not have the other suite.
//!
//! The option `trusted` is not copied. Somebody who set this option decided that apt accepts unsigned packages from
//! one source of this machine. The decision does not cover another suite, whose packages become part of images that
//! run privileged. Every mirror of Debian's archive has Debian's signatures, so the copied sources work without the
//! option.

use std::path::{Path, PathBuf};

use parallax_record::{Noted as _, Present as _};

use super::error::ProvisionError;
use super::system::System;

/// The components of Debian's own archive. A third-party repository has another component, such as `stable`, or it has
/// the component `main` in a suite of its own, such as `bookworm-pgdg`.
const COMPONENTS: [&str; 4] = ["main", "contrib", "non-free", "non-free-firmware"];
/// The suffixes of the suites in Debian's archive. The name of a suite is the release's codename and a suffix, for
/// example `bookworm-updates`.
const POCKETS: [&str; 3] = ["", "-updates", "-security"];

/// One apt source of Debian's own archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// The fields of the source that are copied unchanged, such as `Signed-By`, with their continuation lines.
    copied: Vec<String>,
}

/// Returns apt sources of Debian's own archive for the suite `suite`, in the format of a `.sources` file. They are a
/// copy of this machine's own sources, in which the name of the suite is replaced. The folder `etc` is this machine's
/// `/etc`. Returns `None` if the machine is not Debian, or has no such sources.
pub fn debian_sources(etc: &Path, suite: &str) -> Option<String> {
    let system = System::from_os_release(&std::fs::read_to_string(etc.join("os-release")).ok()?).ok()?;
    let sources = own_archive(&read(&etc.join("apt")).ok()?, &system.codename);
    let known = system.is_debian && !system.codename.is_empty() && !sources.is_empty();
    known.then(|| renamed(&sources, &system.codename, suite))
}

/// Reads apt's source files in the folder `etc_apt`, in the order in which apt reads them.
pub(crate) fn read(etc_apt: &Path) -> Result<Vec<(PathBuf, String)>, ProvisionError> {
    let mut paths = vec![etc_apt.join("sources.list")];
    let parts = etc_apt.join("sources.list.d");
    let entries = std::fs::read_dir(&parts).present("list the sources of apt").into_iter().flatten();
    let mut extra: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.noted("list the sources of apt")?.path())).collect();
    extra.sort();
    paths.extend(
        extra
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "list" || extension == "sources")),
    );
    let mut files = Vec::new();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ProvisionError::File { doing: "read", path, source }),
        }
    }
    Ok(files)
}

/// Finds the sources of Debian's own archive in `files`. Returns those for the release `codename`, such as `bookworm`.
pub(crate) fn own_archive(files: &[(PathBuf, String)], codename: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (path, text) in files {
        let parsed: Vec<Source> = if path.extension().is_some_and(|extension| extension == "sources") {
            text.split("\n\n").filter_map(stanza).collect()
        } else {
            text.lines().filter_map(one_line).collect()
        };
        for mut source in parsed {
            source.suites.retain(|suite| suite.strip_prefix(codename).is_some_and(|pocket| POCKETS.contains(&pocket)));
            if !source.suites.is_empty() && source.is_debians() && !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    sources
}

/// Returns a copy of `sources` for another release, in the format of a `.sources` file. `from` is the codename of the
/// release in `sources`, and `to` is the codename of the other release.
pub(crate) fn renamed(sources: &[Source], from: &str, to: &str) -> String {
    let mut lines = vec![format!("# Written by parallax: this machine's own sources of {from}, for {to}.")];
    for source in sources {
        let suites: Vec<String> = source.suites.iter().map(|suite| suite.replacen(from, to, 1)).collect();
        lines.push("Types: deb".to_owned());
        lines.push(format!("URIs: {}", source.uris.join(" ")));
        lines.push(format!("Suites: {}", suites.join(" ")));
        lines.push(format!("Components: {}", source.components.join(" ")));
        lines.extend(source.copied.iter().cloned());
        lines.push(String::new());
    }
    lines.join("\n")
}

/// Returns an apt preference that gives `suite` a low priority. apt then installs a package from `suite` only on
/// request, or if no other suite has the package.
pub(crate) fn low_pin(suite: &str) -> String {
    format!(
        "# Written by parallax: only what is asked for by name comes from {suite}.\n\
         Package: *\nPin: release n={suite}*\nPin-Priority: 100\n"
    )
}

impl Source {
    fn is_debians(&self) -> bool {
        if !self.components.iter().all(|component| COMPONENTS.contains(&component.as_str())) {
            return false;
        }
        let key = self.copied.iter().find(|field| field.to_ascii_lowercase().starts_with("signed-by:"));
        key.is_none_or(|key| key.contains("debian-archive"))
    }
}

/// Parses a stanza of a `.sources` file. Returns `None` if the stanza is disabled or is not about binary packages.
fn stanza(text: &str) -> Option<Source> {
    let mut fields: Vec<(String, String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            let (_, value, raw) = fields.last_mut()?;
            value.push(' ');
            value.push_str(line.trim());
            raw.push('\n');
            raw.push_str(line);
        } else {
            let (key, value) = line.split_once(':')?;
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned(), line.to_owned()));
        }
    }
    let words = |key: &str| -> Vec<String> {
        let value = fields.iter().find(|(name, ..)| name == key).map(|(_, value, _)| value.as_str());
        value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = words("enabled").first().is_some_and(|word| matches!(word.as_str(), "no" | "false" | "off" | "0"));
    if off || !words("types").contains(&"deb".to_owned()) {
        return None;
    }
    let copied = ["signed-by", "architectures", "check-valid-until"];
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        copied: fields.iter().filter(|(key, ..)| copied.contains(&key.as_str())).map(|(.., raw)| raw.clone()).collect(),
    })
}

/// Parses a line of a `.list` file: `deb [signed-by=… arch=…] URI SUITE COMPONENT…`.
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut copied = Vec::new();
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (options, after) = bracketed.split_once(']')?;
        rest = after;
        for option in options.split_whitespace() {
            let (key, value) = option.split_once('=')?;
            let field = match key {
                "signed-by" => "Signed-By",
                "arch" => "Architectures",
                "check-valid-until" => "Check-Valid-Until",
                _ => continue,
            };
            copied.push(format!("{field}: {}", value.replace(',', " ")));
        }
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), copied })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
        list.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    const DEB822: &str = "\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn both_kinds_of_file_are_taken_over() {
        let list = "# old style\n\
                    deb http://mirror.example/debian bookworm main # trailing\n\
                    deb-src http://mirror.example/debian bookworm main\n\
                    deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                    http://other.example/debian bookworm-updates main non-free-firmware\n";
        let files = files(&[("/etc/apt/sources.list", list), ("/etc/apt/sources.list.d/debian.sources", DEB822)]);
        insta::assert_snapshot!(renamed(&own_archive(&files, "bookworm"), "bookworm", "trixie"));
    }

    #[test]
    fn third_parties_and_other_releases_are_left_out() {
        let cases = [
            (
                "vendor.list",
                "deb [signed-by=/etc/apt/keyrings/docker.gpg] https://vendor.example/linux/debian bookworm stable",
            ),
            ("vendor2.list", "deb https://vendor.example/linux/debian bookworm stable"),
            (
                "vendor3.list",
                "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/debian bookworm main",
            ),
            ("sdk.list", "deb https://vendor.example/apt cloud-sdk-bookworm main"),
            ("pg.list", "deb https://vendor.example/pub/repos/apt bookworm-pgdg main"),
            ("newer.list", "deb http://mirror.example/debian trixie main"),
            ("flat.list", "deb http://mirror.example/flat ./"),
            (
                "off.sources",
                "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
            ),
            ("src.sources", "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"),
            (
                "key.sources",
                "Types: deb\nURIs: http://x.example\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n",
            ),
        ];
        for (name, text) in cases {
            assert_eq!(own_archive(&files(&[(name, text)]), "bookworm"), [], "{name}");
        }
    }

    #[test]
    fn a_debian_machine_knows_where_another_suite_is() {
        let etc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(etc.path().join("apt/sources.list.d")).unwrap();
        std::fs::write(etc.path().join("apt/sources.list.d/debian.sources"), DEB822).unwrap();
        let on = |release: &str| {
            std::fs::write(etc.path().join("os-release"), release).unwrap();
            debian_sources(etc.path(), "trixie")
        };
        let sources = on("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap();
        assert!(sources.contains("Suites: trixie trixie-updates\n") && sources.contains("Suites: trixie-security\n"));
        assert_eq!(on("ID=ubuntu\nVERSION_CODENAME=bookworm\n"), None, "these would be Ubuntu's");
        assert_eq!(on("ID=debian\nVERSION_CODENAME=forky\n"), None, "these belong to another release");
        assert_eq!(on("ID=fedora\n"), None);
    }

    #[test]
    fn trust_without_a_signature_is_not_taken_over() {
        let list = "deb [trusted=yes check-valid-until=no] http://mirror.example/debian bookworm main\n";
        let stanza = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n\
                      Trusted: yes\nCheck-Valid-Until: no\n";
        for (name, text) in [("a.list", list), ("a.sources", stanza)] {
            let copy = renamed(&own_archive(&files(&[(name, text)]), "bookworm"), "bookworm", "trixie");
            assert!(copy.contains("Suites: trixie\n") && copy.contains("\nCheck-Valid-Until: no"), "{copy}");
            assert!(!copy.to_ascii_lowercase().contains("trusted"), "{copy}");
        }
    }

    #[test]
    fn what_is_said_twice_is_taken_once() {
        let files = files(&[("a.sources", DEB822), ("b.sources", DEB822)]);
        assert_eq!(own_archive(&files, "bookworm").len(), 2);
    }
}
