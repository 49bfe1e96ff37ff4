//! The single table of programs that a run, an image recipe or a test looks for on this machine.
//!
//! Code that needs a program states the row of the program and the use. If the row does not list this use, the result
//! is an error. So no program is missing from the table: `doctor` shows every program that Parallax can need, and
//! `--provision` can install each of them.

use std::fmt;

use super::choice::Release;

/// The use for which a program is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// The program is needed to run scenarios.
    Run,
    /// The program is needed to build an image by its recipe.
    Recipe,
    /// The program is needed by the tests of this repository.
    Test,
    /// The program makes Kubernetes objects of files of a project. It is needed only by scenarios that say so.
    Objects,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Recipe => "recipe",
            Self::Test => "test",
            Self::Objects => "objects",
        })
    }
}

/// A program that Parallax may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// The server of the container engine.
    Dockerd,
    /// The program with which Docker's server configures container networks.
    Iptables,
    /// The container engine's command-line client.
    Docker,
    /// The version control program.
    Git,
    /// The compiler of Go.
    Go,
    /// The program that creates Debian root file systems, also on a machine that is not Debian.
    Mmdebstrap,
    /// The program that downloads Python packages.
    Pip,
    /// The program that downloads packages for Node.js.
    Npm,
    /// The program that downloads Java archives (JARs).
    Maven,
    /// The compiler of Java.
    Javac,
    /// The program that builds Rust crates.
    Cargo,
    /// The program that builds the libraries in C that some crates contain.
    Make,
    /// A single program that contains a static shell and common commands.
    Busybox,
    /// The program that mounts file systems.
    Mount,
    /// The program that starts another program in a new session.
    Setsid,
    /// The program that replaces itself with another program. The kernel ends that program when the process that called
    /// `setpriv` has ended.
    Setpriv,
    /// The program that starts another program in new namespaces, for example for mounts and processes.
    Unshare,
    /// The program that makes Kubernetes objects of charts.
    Helm,
    /// The program that makes Kubernetes objects of kustomizations.
    Kustomize,
    /// The command-line client of Kubernetes, which contains `kustomize`.
    Kubectl,
}

/// A row of the table of programs.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The program. The rows of the table are in the order of [`Tool`]'s variants.
    pub tool: Tool,
    /// The name of the program in messages.
    pub name: &'static str,
    pub command: &'static str,
    /// The name of the package that contains the program, on Debian and Ubuntu. Empty if they have none; a person must
    /// then install the program.
    pub package: &'static str,
    /// Packages that must come from the same suite as `package`. apt itself would take them from its default suite.
    pub same_suite: &'static [&'static str],
    /// The arguments with which the program prints its version.
    pub version: &'static [&'static str],
    pub least: Release,
    /// The minimum version of the package. `None` if the package has the same version numbers as the program.
    pub least_package: Option<Release>,
    /// The uses of the program, each with its purpose in words.
    pub uses: &'static [(Use, &'static str)],
}

/// The default values of a row of the table of programs.
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

/// Every program, in the order in which `doctor` lists them.
pub(crate) const TABLE: &[Known] = &[
    Known {
        tool: Tool::Dockerd,
        name: "dockerd",
        command: "dockerd",
        package: "docker.io",
        // Docker 20.10, which older Debian releases have, cannot run privileged containers on some machines. Newer
        // releases of Docker can (docs/facts.md#container-engines).
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
        // The go.mod file of Kubernetes 1.34 needs at least this version. If another module needs a newer version, Go
        // itself downloads the newer toolchain. Every version of Go since 1.21 can do this.
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
        // Python runs pip as a module, because a program `pip` on the PATH may belong to another Python.
        command: "python3",
        package: "python3-pip",
        version: &["-m", "pip", "--version"],
        // This is the first version of pip that selects packages by the glibc version of the platform.
        least: Release(20, 3),
        uses: &[(Use::Recipe, "building images from Python packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Npm,
        name: "npm",
        command: "npm",
        package: "npm",
        // This is the first version of npm that reads lock files of version 3.
        least: Release(7, 0),
        uses: &[(Use::Recipe, "building images from npm packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Maven,
        name: "maven",
        command: "mvn",
        package: "maven",
        // Without the option `-q`, Maven prints its version in bold, even if the output is not a terminal. Parallax
        // would then read the digits in the escape sequence for bold text as the version.
        version: &["-q", "--version"],
        // This is the first version of Maven that runs the plugin that copies JARs.
        least: Release(3, 6),
        uses: &[(Use::Recipe, "building images from Maven packages")],
        ..PLAIN
    },
    Known {
        tool: Tool::Javac,
        name: "javac",
        command: "javac",
        package: "default-jdk-headless",
        // The classes in the images of Parallax are compiled for Java 17.
        least: Release(17, 0),
        // The package has its own version numbers: package version 1.17 installs Java 17.
        least_package: Some(Release(1, 17)),
        uses: &[(Use::Recipe, "building images from Java sources")],
        ..PLAIN
    },
    Known {
        tool: Tool::Cargo,
        name: "cargo",
        command: "cargo",
        package: "cargo",
        // The dependencies of Garage 2.5 need at least this version of Rust.
        least: Release(1, 89),
        uses: &[(Use::Recipe, "building images from Rust crates")],
        ..PLAIN
    },
    Known {
        tool: Tool::Make,
        name: "make",
        command: "make",
        package: "make",
        least: Release(4, 0),
        uses: &[(Use::Recipe, "libraries in C that Rust crates contain")],
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
    Known {
        tool: Tool::Helm,
        name: "helm",
        command: "helm",
        version: &["version", "--short"],
        least: Release(3, 0),
        uses: &[(Use::Objects, "a fixture whose objects come from a chart")],
        ..PLAIN
    },
    Known {
        tool: Tool::Kustomize,
        name: "kustomize",
        command: "kustomize",
        version: &["version"],
        least: Release(4, 0),
        uses: &[(Use::Objects, "a fixture whose objects come from a kustomization (`kubectl` serves, too)")],
        ..PLAIN
    },
    Known {
        tool: Tool::Kubectl,
        name: "kubectl",
        command: "kubectl",
        version: &["version", "--client"],
        uses: &[(Use::Objects, "a fixture whose objects come from a kustomization, without `kustomize`")],
        ..PLAIN
    },
];

impl Tool {
    /// Returns the row of this tool in the table of programs. A test verifies that the rows have the order of the
    /// enum's variants.
    pub const fn known(self) -> &'static Known {
        &TABLE[self as usize]
    }

    /// Returns the name of the tool's package.
    pub const fn package(self) -> &'static str {
        self.known().package
    }

    /// Returns instructions for a person to install the tool. They start with the verb "install" in lower case, so
    /// that they can be a part of a longer sentence.
    pub fn by_hand(self) -> String {
        self.known().by_hand()
    }

    /// Returns the name of the command that starts the tool.
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
    /// Returns instructions for a person to install the program.
    pub fn by_hand(&self) -> String {
        let least = if self.least > Release(0, 0) { format!(" {} or newer", self.least) } else { String::new() };
        if self.package.is_empty() {
            return format!("install {}{least} on the PATH", self.name);
        }
        format!("install {}{least} (Debian and Ubuntu: `apt-get install {}`)", self.name, self.package)
    }

    /// Returns the purpose of the program for the use `of`, if the row declares that use.
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
            assert!(!row.uses.is_empty() && !row.command.is_empty(), "{}", row.name);
            let by_hand = row.uses.iter().all(|(of, _)| *of == Use::Objects);
            assert_eq!(row.package.is_empty(), by_hand, "{}", row.name);
            // Each row must be at the index of its variant in the enum. The check of the table's length below then
            // shows that every variant has a row.
            assert_eq!(row.tool as usize, at, "{}", row.name);
        }
        assert_eq!(TABLE.len(), Tool::Kubectl as usize + 1);
    }
}
