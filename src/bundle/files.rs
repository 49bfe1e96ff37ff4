//! Reads the files that go into a bundle.

use std::fs;
use std::path::Path;

use parallax_record::{Redactor, by_form};
use walkdir::WalkDir;

use super::{BundleError, file_error};

/// The largest number of files that are read from one folder. Further files are left out.
const FILES_LIMIT: usize = 2_000;
/// The size of the largest file that is included, in bytes. Larger files, such as the record of a long run, are left
/// out.
const FILE_LIMIT: u64 = 32 * 1024 * 1024;
/// The extensions of the files in a run's folder that are included. Keys, kubeconfigs and environment files have other
/// extensions and are never included, because they contain secrets.
const OF_RUN: [&str; 4] = ["html", "jsonl", "log", "xml"];

/// The rule that decides whether a file of the bundle is redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A file is redacted if it contains a registered secret of the run, or a text that looks like a credential.
    Form,
    /// A file is redacted only if it contains a registered secret of the run. This rule is for files such as lists of
    /// digests: they have lines that look like tokens but are not secret.
    Known,
}

/// A file in the archive: its path and its content.
pub type Packed = (String, Vec<u8>);

/// Reads the regular files below `folder`, and removes secrets from them. `look` decides which files are redacted.
/// Each returned path begins with `prefix`. Also returns the paths of the files that contained a secret. Symbolic
/// links are left out.
pub fn below(
    folder: &Path,
    prefix: &str,
    redactor: &Redactor,
    look: Look,
) -> Result<(Vec<Packed>, Vec<String>), BundleError> {
    let (mut files, mut redacted) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().take(FILES_LIMIT) {
        let entry = entry.map_err(|error| file_error("read", folder)(error.into()))?;
        let small = entry.metadata().is_ok_and(|about| about.len() <= FILE_LIMIT);
        if !entry.file_type().is_file() || !small {
            continue;
        }
        let name = entry.path().strip_prefix(folder).unwrap_or(entry.path()).display().to_string();
        let content = fs::read(entry.path()).map_err(file_error("read", entry.path()))?;
        let path = format!("{prefix}/{name}");
        let (content, changed) = clean(content, redactor, look);
        if changed {
            redacted.push(path.clone());
        }
        files.push((path, content));
    }
    Ok((files, redacted))
}

/// Whether a file in a run's folder is a record, a report or a log, and so may be included in the bundle. The extension
/// of the file's name decides.
pub fn is_to_read(path: &Path) -> bool {
    path.extension().is_some_and(|it| OF_RUN.iter().any(|of| it == *of))
}

/// Returns the record, the reports and the logs in the folder of a run, redacted.
pub fn of_run(folder: &Path, redactor: &Redactor) -> Result<Vec<Packed>, BundleError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).max_depth(1).sort_by_file_name().into_iter().take(FILES_LIMIT) {
        let entry = entry.map_err(|error| file_error("read", folder)(error.into()))?;
        let wanted = is_to_read(entry.path());
        let small = entry.metadata().is_ok_and(|about| about.len() <= FILE_LIMIT);
        if entry.file_type().is_file() && wanted && small {
            let content = fs::read(entry.path()).map_err(file_error("read", entry.path()))?;
            // The file was already redacted when the run wrote it. A second redaction costs little, and removes a
            // secret that the first redaction missed.
            files.push((format!("run/{}", entry.file_name().display()), clean(content, redactor, Look::Form).0));
        }
    }
    Ok(files)
}

/// Removes the secrets of the run from the content of a file. Returns the content, and whether a secret was removed.
/// Content that is not text is returned unchanged, because it comes from the project and existed before the run created
/// its secrets.
fn clean(content: Vec<u8>, redactor: &Redactor, look: Look) -> (Vec<u8>, bool) {
    let Ok(text) = std::str::from_utf8(&content) else { return (content, false) };
    let cleaned = redactor.text(text);
    let unchanged = cleaned == text || look == Look::Known && cleaned == by_form(text);
    if unchanged { (content, false) } else { (cleaned.into_bytes(), true) }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Secret;

    use super::*;

    #[test]
    fn secrets_and_files_for_the_owner_alone_stay_out() {
        let home = tempfile::tempdir().expect("a folder");
        let redactor = Redactor::default();
        redactor.register(&Secret::new("hunter22hunter22"));
        for name in ["record.jsonl", "c1.kubeconfig", "store.env", "ca.pem", "harness.log", "repro.tar"] {
            fs::write(home.path().join(name), "key hunter22hunter22").expect("written");
        }
        let files = of_run(home.path(), &redactor).expect("read");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["run/harness.log", "run/record.jsonl"]);
        assert!(files.iter().all(|(_, content)| content == b"key [redacted]"));
        fs::write(home.path().join("go.sum"), "h1:eyJhbGciOiJIUzI1NiJ9abc=").expect("written");
        let (files, redacted) = below(home.path(), "project", &redactor, Look::Known).expect("read");
        assert_eq!((files.len(), redacted.len()), (7, 6), "a digest that looks like a token is none");
        assert_eq!(below(home.path(), "project", &redactor, Look::Form).expect("read").1.len(), 7);
    }

    #[test]
    fn a_link_leads_nowhere() {
        let home = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("a")).expect("linked");
        assert_eq!(below(home.path(), "project", &Redactor::default(), Look::Form).expect("read").0, []);
    }
}
