//! Decides by apt's output which version of a package to install. All functions here are pure.

use std::fmt;

/// The first two numbers of a version. Two numbers are enough to distinguish 20.10 from 26.1, and Go 1.19 from 1.24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// Parses a version. The text is the version of a package (`26.1.5+dfsg1-9`, `2:1.24~2`) or the version output of
    /// a program (`go1.26.8`, `mount from util-linux 2.38.1 (libmount 2.38.1: …)`). These are not semantic versions,
    /// so a parser for semantic versions would not read them.
    pub fn parse(text: &str) -> Option<Self> {
        let epoch = text.split_once(':').filter(|(epoch, _)| epoch.parse::<u32>().is_ok());
        let upstream = epoch.map_or(text, |(_, upstream)| upstream);
        let digits = upstream.trim_start_matches(|c: char| !c.is_ascii_digit());
        let mut numbers = digits.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        Some(Self(major, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or_default()))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A version of a package, and the suite that contains the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Available {
    pub version: String,
    pub suite: String,
}

/// Parses the output of `apt-cache madison PACKAGE`, for example `docker.io | 26.1.5 | http://… trixie/main amd64
/// Packages`.
pub(crate) fn read_madison(text: &str) -> Vec<Available> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.split(" | ").map(str::trim);
            let (_, version, place) = (parts.next()?, parts.next()?, parts.next()?);
            let suite = place.split_whitespace().nth(1)?.split('/').next()?;
            place.ends_with("Packages").then(|| Available { version: version.to_owned(), suite: suite.to_owned() })
        })
        .collect()
}

/// Reads the candidate (the version that apt installs by default) from the output of `apt-cache policy PACKAGE`. `None`
/// if apt has no candidate.
pub(crate) fn read_candidate(text: &str) -> Option<String> {
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (version != "(none)").then(|| version.to_owned())
}

/// The way in which a package can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The package is installed by its name alone, and apt then chooses the version `version`.
    Plain {
        /// The version that apt installs by default.
        version: String,
    },
    /// The package comes from a suite that apt knows but does not install from by default.
    FromSuite {
        /// The version of the package to install.
        version: String,
        /// The suite that contains this version of the package.
        suite: String,
    },
    /// No source of this machine has a version that is new enough.
    Nowhere,
}

/// Chooses a version of at least `least`. The function prefers `candidate`, which is the version that apt installs by
/// default. If `candidate` is too old, the function chooses the newest available version.
pub(crate) fn choose(candidate: Option<&str>, available: &[Available], least: Release) -> Choice {
    let fits = |version: &str| Release::parse(version).is_some_and(|release| release >= least);
    if let Some(version) = candidate.filter(|version| fits(version)) {
        return Choice::Plain { version: version.to_owned() };
    }
    let newest = available.iter().filter(|one| fits(&one.version)).max_by_key(|one| {
        // If several suites have the same release, the suite with the shortest name is chosen. This is the main suite,
        // such as `trixie`, and not `trixie-updates` or `trixie-security`. The main suite always exists.
        (Release::parse(&one.version), std::cmp::Reverse(one.suite.len()))
    });
    match newest {
        Some(one) => Choice::FromSuite { version: one.version.clone(), suite: one.suite.clone() },
        None => Choice::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADISON: &str = " docker.io | 26.1.5+dfsg1-9+deb13u1 | http://m.example/debian trixie/main amd64 Packages
 docker.io | 26.1.5+dfsg1-9+deb13u1 | http://m.example/debian-security trixie-security/main amd64 Packages
 docker.io | 20.10.24+dfsg1-1+deb12u1+b6 | http://m.example/debian bookworm/main amd64 Packages
 docker.io | 20.10.24+dfsg1-1 | http://m.example/debian bookworm/main Sources
";

    #[test]
    fn versions_are_compared_as_numbers() {
        for (text, expected) in [
            ("26.1.5+dfsg1-9+deb13u1", Some(Release(26, 1))),
            ("2:1.24~2", Some(Release(1, 24))),
            ("2:1.17-74", Some(Release(1, 17))),
            ("go1.26.8", Some(Release(1, 26))),
            ("go1.21rc2", Some(Release(1, 21))),
            ("24", Some(Release(24, 0))),
            ("pip 23.2.1 from /usr/lib/python3 (python 3.11)", Some(Release(23, 2))),
            ("mount from util-linux 2.38.1 (libmount 2.38.1: btrfs, namespaces)", Some(Release(2, 38))),
            ("BusyBox v1.35.0 (Debian 1:1.35.0-4+b3) multi-call binary.", Some(Release(1, 35))),
            ("devel +abc", None),
            ("", None),
            ("none", None),
        ] {
            assert_eq!(Release::parse(text), expected, "{text}");
        }
        assert!(Release(1, 9) < Release(1, 24));
    }

    #[test]
    fn the_least_change_that_is_new_enough_is_chosen() {
        let known = read_madison(MADISON);
        assert_eq!(known.len(), 3, "sources are no packages");
        let least = Release(23, 0);
        let old = "20.10.24+dfsg1-1+deb12u1+b6";
        let newer = Choice::FromSuite { version: "26.1.5+dfsg1-9+deb13u1".into(), suite: "trixie".into() };
        assert_eq!(choose(Some(old), &known, least), newer);
        assert_eq!(choose(Some(old), &known[2..], least), Choice::Nowhere);
        assert_eq!(choose(None, &[], least), Choice::Nowhere);
        assert_eq!(choose(Some("26.1.5-1"), &known, least), Choice::Plain { version: "26.1.5-1".into() });
    }

    #[test]
    fn candidates_are_read() {
        let policy = "docker.io:\n  Installed: (none)\n  Candidate: 20.10.24+dfsg1\n  Version table:\n";
        assert_eq!(read_candidate(policy).as_deref(), Some("20.10.24+dfsg1"));
        assert_eq!(read_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(read_candidate(""), None);
    }
}
