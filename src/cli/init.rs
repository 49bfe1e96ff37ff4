//! `parallax init` creates a project with a first scenario.

use std::fs;
use std::path::Path;

use parallax_vocab::event::Exit;

use super::{CliError, printer};

/// The files of a new project, each with its path and its text. The scenario is the one that README shows.
const FILES: [(&str, &str); 2] =
    [("scenarios/first/scenario.yaml", include_str!("first.yaml")), (".gitignore", "/target/\n")];

const NEXT: &str = "\
next:
  parallax lint    checks the files
  parallax plan    shows what a run would do
  parallax e2e     runs it; needs a container engine (`parallax doctor` says whether there is one)
";

/// Writes the files of a new project to `folder`. Fails if the folder already contains scenarios. An existing file is
/// not changed.
pub(super) fn init(folder: &Path) -> Result<Exit, CliError> {
    if folder.join("scenarios").exists() {
        return Err(CliError::Usage(format!("{} holds scenarios/ already; nothing was written", folder.display())));
    }
    for (path, text) in FILES {
        let file = folder.join(path);
        if file.exists() {
            printer::word(&left(path, text, &file));
            continue;
        }
        let made = file.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made.and_then(|()| fs::write(&file, text));
        written.map_err(CliError::file("write", &file))?;
        printer::word(&format!("wrote {path}"));
    }
    printer::word(NEXT.trim_end());
    Ok(Exit::AsExpected)
}

/// Returns the message about a file that already exists. The message names the lines that the user should add.
fn left(path: &str, text: &str, file: &Path) -> String {
    let there = fs::read_to_string(file).unwrap_or_default();
    // `target`, `/target` and `target/` exclude the same folder, so they count as the same line.
    let bare = |line: &str| line.trim().trim_matches('/').to_owned();
    let missing: Vec<&str> = text.lines().filter(|line| there.lines().all(|it| bare(it) != bare(line))).collect();
    if missing.is_empty() {
        format!("left {path} as it is")
    } else {
        format!("left {path} as it is; add the line `{}`", missing.join("`, `"))
    }
}
