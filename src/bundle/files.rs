//! Reads the files that go into a bundle.

use std::fs;
use std::path::Path;

use parallax_record::{Redactor, by_form};
use walkdir::WalkDir;

use super::{BundleError, file_error};

/// The largest number of files of one folder.
const FILES_LIMIT: usize = 2_000;
/// The size of the largest file that is included, in bytes. Larger files are left out, such as the record of a long run
/// or large data of a scenario.
const FILE_LIMIT: u64 = 32 * 1024 * 1024;
/// The kinds of files in the run's folder that other people may read. Keys, kubeconfigs and environment files are never
/// included.
const OF_RUN: [&str; 4] = ["html", "jsonl", "log", "xml"];

/// Decides which texts count as secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The secrets of the run, and texts that look like a credential.
    Form,
    /// Only the registered secrets of the run are redacted. For example, a list of digests has lines that look like a
    /// token but are not secret.
    Known,
}

/// A file in the archive: its path and its content.
pub type Packed = (String, Vec<u8>);

/// The regular files below `folder`, redacted, with `prefix` before their paths, and the paths of the files from which
/// a secret was removed. Links are left out. With `Look::Known`, only secrets of the run count.
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

/// Whether a file in a run's folder is a record, a report or a log. The name of the file decides.
pub fn is_to_read(path: &Path) -> bool {
    path.extension().is_some_and(|it| OF_RUN.iter().any(|of| it == *of))
}

/// The record, the reports and the logs in the folder of a run.
pub fn of_run(folder: &Path, redactor: &Redactor) -> Result<Vec<Packed>, BundleError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).max_depth(1).sort_by_file_name().into_iter().take(FILES_LIMIT) {
        let entry = entry.map_err(|error| file_error("read", folder)(error.into()))?;
        let wanted = is_to_read(entry.path());
        let small = entry.metadata().is_ok_and(|about| about.len() <= FILE_LIMIT);
        if entry.file_type().is_file() && wanted && small {
            let content = fs::read(entry.path()).map_err(file_error("read", entry.path()))?;
            // The file was redacted when it was written. A second redaction costs little, and corrects a mistake of the
            // first.
            files.push((format!("run/{}", entry.file_name().display()), clean(content, redactor, Look::Form).0));
        }
    }
    Ok(files)
}

/// Removes the secrets of the run from the content of a file. Returns the content and whether a secret was removed. A
/// content that is not text is unchanged: it belongs to the project and existed before the run had secrets.
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
