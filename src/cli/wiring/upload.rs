//! Uploads the record and the reports of a run to a bucket, and reads records from a bucket.

use std::path::{Path, PathBuf};

use parallax_vocab::Event;

use crate::bucket::{Bucket, BucketError, Place};
use crate::bundle;
use crate::cli::{CliError, printer};
use parallax_record::{RECORD_FILE, Recorder};

impl From<BucketError> for CliError {
    fn from(error: BucketError) -> Self {
        match error {
            BucketError::Trust { .. } => Self::Usage(error.to_string()),
            BucketError::Request { .. } | BucketError::TooMuch { .. } => Self::Harness(error.to_string()),
        }
    }
}

/// The folder in a bucket to which a run uploads its record and its reports.
#[derive(Debug)]
pub struct Upload {
    bucket: Bucket,
    /// The address of the folder to which this run uploads.
    to: Place,
}

impl Upload {
    /// Uploads the record that exists so far, if the user has named a bucket. This has two purposes. It shows before
    /// the run starts that the bucket can be written. It also replaces the record that an earlier attempt at the same
    /// shard has left. Otherwise, if this machine were lost, the old record would be mistaken for the record of this
    /// attempt.
    pub async fn begin(to: Option<Place>, directory: &Path, recorder: &Recorder) -> Result<Option<Self>, CliError> {
        let Some(to) = to else { return Ok(None) };
        recorder.mark().wait();
        let bucket = Bucket::open(to.clone()).await?;
        bucket.put(RECORD_FILE, &directory.join(RECORD_FILE)).await?;
        Ok(Some(Self { bucket, to }))
    }

    /// Uploads all files of the run that other people may read, and prints the address of the folder in the bucket.
    /// The record is uploaded last. So a reader who finds a complete record also finds the reports.
    pub async fn end(upload: Option<Self>, directory: &Path) -> Result<(), CliError> {
        let Some(Self { bucket, to }) = upload else { return Ok(()) };
        let mut files = to_share(directory)?;
        files.sort_by_key(|name| name == RECORD_FILE);
        for name in files {
            bucket.put(&name, &directory.join(&name)).await?;
        }
        printer::word(&format!("record and reports are in {to}"));
        Ok(())
    }
}

/// Returns the names of the files in a run's folder that other people may read: records, reports, logs and the
/// bundle.
fn to_share(directory: &Path) -> Result<Vec<String>, CliError> {
    let failed = |error: std::io::Error| CliError::Harness(format!("failed to read {}: {error}", directory.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if bundle::is_to_read(&name) || name == Path::new(bundle::FILE) {
            names.extend(name.to_str().map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// Reads all records in a folder of a bucket and in the folders below it. Returns each record with its address.
pub async fn records(of: Place) -> Result<Vec<(String, Vec<Event>)>, CliError> {
    let bucket = Bucket::open(of.clone()).await?;
    let mut records = Vec::new();
    for place in bucket.named(RECORD_FILE).await? {
        let shown = place.to_string();
        let events = parallax_record::parse(&shown, &bucket.get(&place).await?)?;
        records.push((shown, events));
    }
    if records.is_empty() {
        return Err(CliError::Usage(format!("there is no {RECORD_FILE} below {of}; `e2e --upload` puts it there")));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::to_share;

    #[test]
    fn keys_and_kubeconfigs_stay_here() {
        let home = tempfile::tempdir().expect("a folder");
        for name in [
            "record.jsonl",
            "report.html",
            "junit.xml",
            "harness.log",
            "repro.tar",
            "c1.kubeconfig",
            "ca.pem",
            "store.env",
        ] {
            std::fs::write(home.path().join(name), "x").expect("written");
        }
        let names = to_share(home.path()).expect("read");
        assert_eq!(names, ["harness.log", "junit.xml", "record.jsonl", "report.html", "repro.tar"]);
    }
}
