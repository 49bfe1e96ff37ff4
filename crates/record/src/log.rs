//! The log of the harness: messages of `tracing` go to `harness.log` in the run's folder, and with `-v` to standard
//! error.
//!
//! The log is not a report: it contains no events of the record, and no verdict depends on it. It is for people who
//! want to know why the harness waited, tried again or gave up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use parallax_vocab::{in_full, inert};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt as layer};

use super::{RecordError, Redactor};

/// The name of the log within the run's folder.
pub const LOG_FILE: &str = "harness.log";
/// The `tracing` filter for the file if `RUST_LOG` is not set: Parallax's own messages, each request to the apiserver,
/// and the messages of other crates from level `info` on.
const FILE_FILTER: &str = "info,parallax=debug,parallax_probe=debug,kube_client=debug,kube_runtime=debug";
/// The `tracing` filters for standard error if `RUST_LOG` is not set: the first for one `-v`, the second for more than
/// one.
const SCREEN_FILTERS: [&str; 2] = ["warn,parallax=debug,parallax_probe=debug", FILE_FILTER];

/// The destination of the log. All clones have the same destination. Before the call of [`Log::write_to`], which names
/// the folder, nothing is written to a file.
#[derive(Clone, Default)]
pub struct Log {
    target: Arc<Mutex<Target>>,
    shown: bool,
}

#[derive(Default)]
struct Target {
    file: Option<File>,
    redactor: Redactor,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Creates the log and makes it receive the messages of `tracing` in this process. `verbose` is the number of `-v`
    /// options on the command line. `RUST_LOG` overrides the filters of both the file and standard error.
    pub fn install(verbose: u8) -> Self {
        let log = Self { shown: verbose > 0, ..Self::default() };
        let given = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|it| !it.trim().is_empty());
        let filter = |default: &str| {
            let text = given.as_deref().unwrap_or(default);
            EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).parse_lossy(text)
        };
        let file = layer::layer().with_ansi(false).with_writer(log.clone()).with_filter(filter(FILE_FILTER));
        let screen = usize::from(verbose).checked_sub(1).map(|more| {
            let default = SCREEN_FILTERS[more.min(SCREEN_FILTERS.len() - 1)];
            let screen = Screen(log.clone());
            layer::layer().with_ansi(false).with_writer(screen).with_filter(filter(default))
        });
        // `try_init` fails if the process already has a subscriber, for example the subscriber of a test. This log then
        // stays empty, which does no harm.
        let _ = tracing_subscriber::registry().with(file).with(screen).try_init();
        log
    }

    /// Writes all later messages to `harness.log` in the folder `directory`, without the secrets that `redactor` knows.
    pub fn write_to(&self, directory: &Path, redactor: Redactor) -> Result<(), RecordError> {
        let path = directory.join(LOG_FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|source| RecordError::Write { path: path.display().to_string(), source })?;
        *self.target() = Target { file: Some(file), redactor };
        Ok(())
    }

    /// Whether the log also goes to standard error. If so, the caller must not show progress bars there, because they
    /// would overwrite the log.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    fn target(&self) -> std::sync::MutexGuard<'_, Target> {
        // If a thread panicked while it had the lock, the lock is poisoned. The target is still usable, because no
        // writer leaves it half changed.
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clean(&self, bytes: &[u8]) -> String {
        self.target().redactor.text(&String::from_utf8_lossy(bytes))
    }
}

/// Each call of `write` receives one whole message, because the formatting layer of `tracing` calls `write` once for
/// each message. So no secret is split between two calls, and each message can be redacted alone.
impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = self.clean(bytes);
        match &mut self.target().file {
            Some(file) => file.write_all(text.as_bytes()).map(|()| bytes.len()),
            None => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes messages of the log to standard error, with the secrets redacted.
#[derive(Clone)]
struct Screen(Log);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(inert(&self.0.clean(bytes)).as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Adds a method to `Result` for errors that the caller ignores, but that the log must contain.
pub trait Noted<T> {
    /// Returns the value of an `Ok`. For an `Err`, logs that the action `what` (such as `read the file`) failed, and
    /// returns `None`.
    fn noted(self, what: &str) -> Option<T>;
}

impl<T, E: std::error::Error> Noted<T> for Result<T, E> {
    fn noted(self, what: &str) -> Option<T> {
        self.map_err(|error| tracing::debug!(error = in_full(&error), "cannot {what}")).ok()
    }
}

/// Adds a method to `Result` for reading something that may be missing.
pub trait Present<T> {
    /// Returns the value, or `None` if the thing does not exist. For any other error, logs that the action `what`
    /// failed, and returns `None`.
    fn present(self, what: &str) -> Option<T>;
}

impl<T> Present<T> for std::io::Result<T> {
    fn present(self, what: &str) -> Option<T> {
        match self {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => other.noted(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::Secret;

    use super::*;

    #[test]
    fn what_is_said_goes_into_the_file_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let redactor = Redactor::default();
        redactor.register(&Secret::new("s3cr3t-of-the-store"));
        let log = Log::default();
        let file = layer::layer().with_ansi(false).with_writer(log.clone());
        let subscriber = tracing_subscriber::registry().with(file);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before there is a file");
            log.write_to(folder.path(), redactor).unwrap();
            tracing::info!(key = "s3cr3t-of-the-store", "a store is asked");
        });
        let text = std::fs::read_to_string(folder.path().join(LOG_FILE)).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("a store is asked key=\"[redacted]\""), "{text}");
    }
}
