//! `parallax init`: creates a project with a first scenario.

use std::fs;
use std::path::Path;

use parallax_vocab::event::Exit;

use super::{CliError, printer};

/// The files of a new project: path and text. The scenario is the README's.
const FILES: [(&str, &str); 2] =
    [("scenarios/first/scenario.yaml", include_str!("first.yaml")), (".gitignore", "/target/\n")];

const NEXT: &str = "\
next:
  parallax lint    checks the files
  parallax plan    shows what a run would do
  parallax e2e     runs it; needs a container engine (`parallax doctor` says whether there is one)
";

/// Writes the project's files to `folder`. If one of them already exists, none is written.
pub(super) fn init(folder: &Path) -> Result<Exit, CliError> {
    if folder.join("scenarios").exists() {
        return Err(CliError::Usage(format!("{} holds scenarios/ already; nothing was written", folder.display())));
    }
    if let Some((path, _)) = FILES.iter().find(|(path, _)| folder.join(path).exists()) {
        return Err(CliError::Usage(format!("{path} is there already; nothing was written")));
    }
    for (path, text) in FILES {
        let file = folder.join(path);
        let made = file.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made.and_then(|()| fs::write(&file, text));
        written.map_err(|error| CliError::Harness(format!("failed to write {}: {error}", file.display())))?;
        printer::word(&format!("wrote {path}"));
    }
    printer::word(NEXT.trim_end());
    Ok(Exit::AsExpected)
}
