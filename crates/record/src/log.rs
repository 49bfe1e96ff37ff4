//! The harness at work: what `tracing` says, into `harness.log` of the run's folder, and with `-v` onto standard error.
//!
//! Not a report: nothing here is an event, and no verdict is made from it. It is for whoever asks why the harness waited,
//! tried again or gave something up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use parallax_vocab::inert;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt as layer};

use super::{RecordError, Redactor};

/// Name of the log within the run's folder.
pub const LOG_FILE: &str = "harness.log";
/// What the file holds where `RUST_LOG` does not say: our own steps, each request to the apiserver, and what others warn of.
const FILE_FILTER: &str = "info,parallax=debug,parallax_probe=debug,kube_client=debug,kube_runtime=debug";
/// What a screen shows with one `-v`, and with more of them.
const SCREEN_FILTERS: [&str; 2] = ["warn,parallax=debug,parallax_probe=debug", FILE_FILTER];

/// Where the log goes. Cheap to clone; until a file is named nothing is written to one.
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
    /// Takes over what `tracing` says in this process. `verbose` counts the `-v` of the command line; `RUST_LOG` wins over
    /// both filters.
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
        // Where another has taken over already (a test's), this log stays empty.
        let _ = tracing_subscriber::registry().with(file).with(screen).try_init();
        log
    }

    /// From now on it is written to a file in this folder, without the secrets that `redactor` knows.
    pub fn write_to(&self, directory: &Path, redactor: Redactor) -> Result<(), RecordError> {
        let path = directory.join(LOG_FILE);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|source| RecordError::Write { path: path.display().to_string(), source })?;
        *self.target() = Target { file: Some(file), redactor };
        Ok(())
    }

    /// Whether it is shown on standard error, where bars would be drawn over it.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    fn target(&self) -> std::sync::MutexGuard<'_, Target> {
        // A writer that panicked left a whole target behind.
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clean(&self, bytes: &[u8]) -> String {
        self.target().redactor.text(&String::from_utf8_lossy(bytes))
    }
}

/// Each event comes in one piece: the layer collects it before it writes.
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

/// Standard error, without secrets.
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

/// What fails without harm leaves a line in the log.
pub trait Noted<T> {
    /// The value; where there is none, `what` could not be done, and that is noted.
    fn noted(self, what: &str) -> Option<T>;
}

impl<T, E: std::error::Error> Noted<T> for Result<T, E> {
    fn noted(self, what: &str) -> Option<T> {
        self.map_err(|error| tracing::debug!(error = in_full(&error), "cannot {what}")).ok()
    }
}

/// An error with all that caused it: the outer ones of a connection say nothing.
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
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
