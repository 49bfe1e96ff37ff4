//! `cargo xtask test`: every test there is.
//!
//! Image builds are Go and take minutes; they run beside the building of the tests, which is Rust and takes minutes too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::parts::{End, Parts, say};
use crate::{cargo, e2e};

/// The operator's images exist only as they are published, and CI's machines reach no registry.
const EXPECTED_SKIPS: [&str; 2] = ["--allow-skip", "identity/operator-sts"];
/// Cold image builds take some ten minutes on two cores; past this they hang.
const IMAGES_LIMIT: Duration = Duration::from_mins(45);
/// While waiting, a line at least this often.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// So much of a failed build's output is shown.
const TAIL_LINES: usize = 60;

/// Runs all parts; whether none failed. Their own closing lines stand in the output as they come; the scenarios' line
/// `N passed, N failed, N skipped` is the last on standard output.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let flag = if provision { &["--provision"][..] } else { &[] };
    let parallax = cargo::build()?;
    let mut parts = Parts::default();
    let engine = if provision {
        // Everything that a test looks for, before the first begins: tests install nothing.
        parts.run("machine", || cargo::succeeds(Command::new(&parallax).args(["doctor", "--provision", "--tests"])))
    } else {
        true
    };
    let mut images = if engine { Some(Images::start(&parallax, flag)?) } else { None };
    parts.run("test build", || cargo::succeeds(cargo::cargo().args(["test", "--workspace", "--no-run"])));
    // The tests that start clusters need the images, and have their own limits.
    if let Some(images) = &mut images {
        parts.run("images", || images.finish());
    }
    parts.run("rust tests", || cargo::succeeds(cargo::cargo().args(["test", "--workspace", "--no-fail-fast"])));
    parts.run("scenarios", || {
        if engine {
            cargo::succeeds(e2e::command(&parallax).args(flag).args(EXPECTED_SKIPS)).map(End::from)
        } else {
            Ok(End::Skipped("the machine is not ready".to_owned()))
        }
    });
    Ok(parts.close())
}

/// `parallax images fetch`, beside everything else.
struct Images {
    child: Child,
    log: PathBuf,
    began: Instant,
}

impl Images {
    fn start(parallax: &Path, flag: &[&str]) -> Result<Self> {
        // Beside the binaries: it goes with them, and is no run of its own.
        let log = parallax.with_file_name("images-fetch.log");
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let mut command = Command::new(parallax);
        // Plain lines, whatever the terminal: they go to a file.
        command.args(["images", "fetch"]).args(flag).env("CI", "true");
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("failed to start {}", parallax.display()))?;
        say(&format!("images are made beside the tests; their output goes to {}", log.display()));
        Ok(Self { child, log, began: Instant::now() })
    }

    /// Waits for the end, saying how it goes.
    fn finish(&mut self) -> Result<bool> {
        let mut said = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                say(&self.tail(if status.success() { 3 } else { TAIL_LINES }));
                return Ok(status.success());
            }
            if self.began.elapsed() > IMAGES_LIMIT {
                self.child.kill()?;
                say(&self.tail(TAIL_LINES));
                anyhow::bail!("images were not made within {} minutes", IMAGES_LIMIT.as_secs() / 60);
            }
            if said.elapsed() >= SAY_EVERY {
                say(&format!("images, for {} s now:\n{}", self.began.elapsed().as_secs(), self.tail(1)));
                said = Instant::now();
            }
            // std can wait for a child only without a limit; this asks twice a second, within the limit above.
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        // Only where the tests were given up: a child that has ended is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
