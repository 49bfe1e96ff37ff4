//! The arguments of `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(parallax completions bash)                                          in ~/.bashrc
  parallax completions zsh > \"${fpath[1]}/_parallax\"
  parallax completions fish > ~/.config/fish/completions/parallax.fish
";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  parallax man e2e | man -l -
  parallax man --out ~/.local/share/man/man1
";

/// Arguments of `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct Completions {
    /// The shell for which the script is written.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can complete command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash 4.4 or newer.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct Manual {
    /// The command whose page is printed, for example `e2e`. Without a command, the page of the whole program is
    /// printed.
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Option<String>,
    /// Write the pages of all commands into this folder, and print nothing.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}
