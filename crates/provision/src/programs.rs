//! The one table of programs that a run, an image recipe or a test looks for on this machine.
//!
//! Whoever needs a program asks for it by its row, and says what for: a use that the row does not declare is an error, so that
//! what `doctor` tells and what `--provision` installs is all that there is.

use std::fmt;

use super::choice::Release;

/// What a program is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// Running scenarios.
    Run,
    /// Building an image by its recipe.
    Recipe,
    /// The tests of this repository.
    Test,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Recipe => "recipe",
            Self::Test => "test",
        })
    }
}

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// The server of containers.
    Dockerd,
    /// What the server sets the addresses of containers up with.
    Iptables,
    /// The command-line client of containers.
    Docker,
    /// Versions of files.
    Git,
    /// The Go compiler.
    Go,
    /// Makes Debian root file systems without being in one.
    Mmdebstrap,
    /// Fetches Python packages.
    Pip,
    /// Fetches packages for Node.
    Npm,
    /// Fetches jars.
    Maven,
    /// The Java compiler.
    Javac,
    /// A static shell and its tools in one program.
    Busybox,
    /// Mounts file systems.
    Mount,
    /// Starts a program in a session of its own.
    Setsid,
    /// Starts a program that ends with this one.
    Setpriv,
    /// Starts a program with mounts and processes of its own.
    Unshare,
}

/// What is known of a program.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Which: the rows have the order of the enum.
    pub tool: Tool,
    /// What a person calls it.
    pub name: &'static str,
    pub command: &'static str,
    /// Debian's and Ubuntu's package.
    pub package: &'static str,
    /// What must come from the same suite as the package.
    pub same_suite: &'static [&'static str],
    /// What asks it for its version.
    pub version: &'static [&'static str],
    pub least: Release,
    /// The package's own least version, where it counts in another way.
    pub least_package: Option<Release>,
    /// What for, and what that is.
    pub uses: &'static [(Use, &'static str)],
}

/// What most rows have.
const PLAIN: Known = Known {
    tool: Tool::Git,
    name: "",
    command: "",
    package: "",
    same_suite: &[],
    version: &["--version"],
    least: Release(0, 0),
    least_package: None,
    uses: &[],
};

/// Every program, in the order in which `doctor` tells them.
pub(crate) const TABLE: &[Known] = &[
    Known {
        tool: Tool::Dockerd,
        name: "dockerd",
        command: "dockerd",
        package: "docker.io",
        // Debian's 20.10 cannot run privileged containers on some machines; newer releases can
        // (docs/facts.md#container-engines).
        least: Release(23, 0),
        uses: &[(Use::Run, "an engine, where none answers yet")],
        ..PLAIN
    },
    Known {
        tool: Tool::Iptables,
        name: "iptables",
        command: "iptables",
        package: "iptables",
        least: Release(1, 4),
        uses: &[(Use::Run, "the networks of an engine on this machine")],
        ..PLAIN
    },
    Known {
        tool: Tool::Docker,
        name: "docker",
        command: "docker",
        package: "docker-cli",
        least: Release(19, 3),
        uses: &[(Use::Test, "looking at the engine apart from the code under test")],
        ..PLAIN
    },
    Known {
        tool: Tool::Git,
        name: "git",
        command: "git",
        package: "git",
        least: Release(2, 0),
        uses: &[
            (Use::Run, "`--breaks changed`"),
            (Use::Test, "tests of `--breaks changed`, and the rules of the house"),
        ],
        ..PLAIN
    },
    Known {
        tool: Tool::Go,
        name: "go",
        command: "go",
        package: "golang-go",
        same_suite: &["golang-src"],
        version: &["env", "GOVERSION"],
        // Kubernetes 1.34's go.mod. From 1.21 on it fetches the toolchain that another module asks for.
        least: Release(1, 24),
        uses: &[(Use::Recipe, "building images from Go modules"), (Use::Test, "an image whose build fails")],
        ..PLAIN
    },
    Known {
        tool: Tool::Mmdebstrap,
        name: "mmdebstrap",
        command: "mmdebstrap",
        package: "mmdebstrap",
        least: Release(1, 0),
        uses: &[(Use::Recipe, "the root file systems of images")],
        ..PLAIN
    },
    Known {
        tool: Tool::Pip,
        name: "pip",
        // Asked through Python: a `pip` of the PATH may belong to another one.
        command: "python3",
        package: "python3-pip",
        version: &["-m", "pip", "--version"],
        // The first that judges platforms by their glibc.
        least: Release(20, 3),
        uses: &[(Use::Recipe, "building images from Python packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Npm,
        name: "npm",
        command: "npm",
        package: "npm",
        // The first that reads lock files of version 3.
        least: Release(7, 0),
        uses: &[(Use::Recipe, "building images from npm packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Maven,
        name: "maven",
        command: "mvn",
        package: "maven",
        // Otherwise it says its version in bold, also where nobody looks.
        version: &["-q", "--version"],
        // The first that the plugin runs in which copies jars.
        least: Release(3, 6),
        uses: &[(Use::Recipe, "building images from Maven packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Javac,
        name: "javac",
        command: "javac",
        package: "default-jdk-headless",
        // The classes of our images are for Java 17.
        least: Release(17, 0),
        // Its versions are 1.17 and the like.
        least_package: Some(Release(1, 17)),
        uses: &[(Use::Recipe, "building images from Java sources")],
        ..PLAIN
    },
    Known {
        tool: Tool::Busybox,
        name: "busybox",
        command: "busybox",
        package: "busybox-static",
        version: &["--help"],
        least: Release(1, 20),
        uses: &[(Use::Test, "the image of the engine's tests")],
        ..PLAIN
    },
    Known {
        tool: Tool::Mount,
        name: "mount",
        command: "mount",
        package: "mount",
        least: Release(2, 0),
        uses: &[(Use::Test, "a disk that is full")],
        ..PLAIN
    },
    Known {
        tool: Tool::Setsid,
        name: "setsid",
        command: "setsid",
        package: "util-linux",
        least: Release(2, 0),
        uses: &[(Use::Run, "starting an engine that outlives the run")],
        ..PLAIN
    },
    Known {
        tool: Tool::Setpriv,
        name: "setpriv",
        command: "setpriv",
        package: "util-linux",
        least: Release(2, 0),
        uses: &[(Use::Recipe, "ending a build together with a run that is killed")],
        ..PLAIN
    },
    Known {
        tool: Tool::Unshare,
        name: "unshare",
        command: "unshare",
        package: "util-linux",
        least: Release(2, 0),
        uses: &[(Use::Recipe, "the root file systems of images, made apart from this machine")],
        ..PLAIN
    },
];

impl Tool {
    /// Its row: the table has the order of the enum, as its test sees.
    pub const fn known(self) -> &'static Known {
        &TABLE[self as usize]
    }

    /// Its package.
    pub const fn package(self) -> &'static str {
        self.known().package
    }

    /// What a person does where it is missing, to go on after "or".
    pub fn by_hand(self) -> String {
        self.known().by_hand()
    }

    /// The command that is looked for.
    pub fn command(self) -> &'static str {
        self.known().command
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.known().name)
    }
}

impl Known {
    /// What a person does where it is missing.
    pub fn by_hand(&self) -> String {
        let least = if self.least > Release(0, 0) { format!(" {} or newer", self.least) } else { String::new() };
        format!("install {}{least} (Debian and Ubuntu: `apt-get install {}`)", self.name, self.package)
    }

    /// What this is needed for by `of`, where that is declared.
    pub fn purpose(&self, of: Use) -> Option<&'static str> {
        self.uses.iter().find_map(|(uses, purpose)| (*uses == of).then_some(*purpose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_has_one_row_with_a_use() {
        for (at, row) in TABLE.iter().enumerate() {
            let same = TABLE.iter().filter(|other| other.tool == row.tool || other.name == row.name).count();
            assert_eq!(same, 1, "{}", row.name);
            assert!(!row.uses.is_empty() && !row.command.is_empty() && !row.package.is_empty(), "{}", row.name);
            // The order of the enum, so that none of its variants is left out.
            assert_eq!(row.tool as usize, at, "{}", row.name);
        }
        assert_eq!(TABLE.len(), Tool::Unshare as usize + 1);
    }
}
