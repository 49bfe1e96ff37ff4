//! `cargo xtask test` runs all tests.
//!
//! Image builds compile Go and take minutes. They run at the same time as the build of the tests, which takes minutes
//! too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::parts::{End, Parts, say};
use crate::{cargo, e2e};

/// The options of `parallax e2e` for the scenarios. If a problem of the machine leaves a variant without a verdict, the
/// variant runs once more, and the report says so. A variant that is not as declared never runs again.
const AGAIN_AFTER_THE_MACHINE: [&str; 2] = ["--retry-machine", "1"];
/// The time limit for image builds. Without a cache, the builds take about twenty-five minutes on two cores, and longer
/// while a compiler runs.
const IMAGES_LIMIT: Duration = Duration::from_mins(45);
/// The beginning of the commands in docs/your-own-stack.md that build the images of the demo chart.
const DEMO_BUILDS: &str = "parallax images build ";
/// The images from which the test of the demo chart copies the programs that a user already has.
const DEMO_TOOLS: [&str; 2] = ["helm", "kubectl"];
/// The number of tests at the same time for each processor. The tests with an engine wait most of the time, for the end
/// of a time limit or for a cluster. Without this, the test runner takes one for each processor.
const TESTS_FOR_EACH_PROCESSOR: usize = 2;
/// The test runner's own variable for the number of tests at the same time.
const TEST_THREADS: &str = "RUST_TEST_THREADS";
/// The interval between progress lines during a wait.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// The number of lines that are shown of the output of a failed build.
const TAIL_LINES: usize = 60;

/// Runs all parts. Returns whether none failed. The scenarios run last, so that their line `N passed, N failed, N
/// skipped` is the last line on standard output.
pub(crate) fn run(provision: bool) -> Result<bool> {
    let flag = if provision { &["--provision"][..] } else { &[] };
    let parallax = cargo::build()?;
    let mut parts = Parts::default();
    let engine = if provision {
        // The programs that the tests need are installed before the first test starts, because tests install nothing
        // themselves.
        parts.run("machine", || cargo::succeeds(Command::new(&parallax).args(["doctor", "--provision", "--tests"])))
    } else {
        true
    };
    let mut images = if engine { Some(Images::start(&parallax, "fetch", &[], flag)?) } else { None };
    if images.is_some() {
        say("images are built while the tests compile");
    }
    parts.run("test build", || cargo::succeeds(cargo::cargo().args(["test", "--workspace", "--no-run"])));
    // Tests that start clusters need the images. The time limits of these tests do not include image builds.
    if let Some(images) = &mut images {
        parts.run("images", || {
            let fetched = images.finish()?;
            let built = Images::start(&parallax, "build", &of_the_demo()?, flag)?.finish()?;
            Ok(fetched && built)
        });
    }
    parts.run("rust tests", || {
        // With the variable `PARALLAX_TEST_NO_ENGINE`, a developer can run the tests quickly without an engine. Here
        // the variable is removed, because every test must run.
        let mut tests = cargo::cargo();
        tests.args(["test", "--workspace", "--no-fail-fast"]).env_remove("PARALLAX_TEST_NO_ENGINE");
        if std::env::var_os(TEST_THREADS).is_none() {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            // One more, because a test that waits for its turn to start a cluster holds one.
            tests.env(TEST_THREADS, (processors * TESTS_FOR_EACH_PROCESSOR + 1).to_string());
        }
        let (ok, failed) = cargo::tests(&mut tests)?;
        Ok(if ok { End::Ok } else { End::Failed(failed) })
    });
    parts.run("scenarios", || {
        if engine {
            cargo::succeeds(e2e::command(&parallax).args(flag).args(AGAIN_AFTER_THE_MACHINE)).map(End::from)
        } else {
            Ok(End::Skipped("the machine is not set up".to_owned()))
        }
    });
    Ok(parts.close())
}

/// Returns the names of the images that the test of the demo chart needs: the images that docs/your-own-stack.md
/// builds, and the tools that a user has. Some of these images are in no scenario, so `parallax images fetch` does
/// not build them.
fn of_the_demo() -> Result<Vec<&'static str>> {
    let page = include_str!("../../docs/your-own-stack.md");
    let commands = page.lines().filter_map(|it| it.strip_prefix(DEMO_BUILDS));
    let built: Vec<&str> =
        commands.flat_map(|it| it.split_whitespace().take_while(|word| !word.starts_with("--"))).collect();
    ensure!(!built.is_empty(), "docs/your-own-stack.md has no line that begins with `{DEMO_BUILDS}`");
    Ok(built.into_iter().chain(DEMO_TOOLS).collect())
}

/// A running process of `parallax images fetch` or `parallax images build`.
struct Images {
    child: Child,
    log: PathBuf,
    began: Instant,
}

impl Images {
    /// Starts `parallax images COMMAND` with the names of images and the options `flag`.
    fn start(parallax: &Path, command: &str, names: &[&str], flag: &[&str]) -> Result<Self> {
        // The log is in the folder of the binaries, so that `cargo clean` removes the log too.
        let log = parallax.with_file_name(format!("images-{command}.log"));
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let mut started = Command::new(parallax);
        // The variable `CI` makes the program print plain lines instead of progress bars, because the output goes to
        // a file.
        started.args(["images", command]).args(names).args(flag).env("CI", "true");
        started.stdout(file.try_clone()?).stderr(file);
        let child = started.spawn().with_context(|| format!("failed to start {}", parallax.display()))?;
        say(&format!("the output of `parallax images {command}` goes to {}", log.display()));
        Ok(Self { child, log, began: Instant::now() })
    }

    /// Waits until the command ends, and reports progress. Returns whether the command succeeded.
    fn finish(&mut self) -> Result<bool> {
        let mut reported = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                say(&self.tail(if status.success() { 3 } else { TAIL_LINES }));
                return Ok(status.success());
            }
            if self.began.elapsed() > IMAGES_LIMIT {
                self.child.kill()?;
                say(&self.tail(TAIL_LINES));
                anyhow::bail!("images were not built within {} minutes", IMAGES_LIMIT.as_secs() / 60);
            }
            if reported.elapsed() >= SAY_EVERY {
                say(&format!("images, for {} s now:\n{}", self.began.elapsed().as_secs(), self.tail(1)));
                reported = Instant::now();
            }
            // The standard library cannot wait for a child with a time limit, so this code polls twice a second.
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
        // The child still runs here only if the tests were aborted. Otherwise the kill has no effect.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_of_the_demo_are_those_of_its_page_and_the_tools() {
        let names = of_the_demo().expect("the page");
        for name in ["k3s", "agent", "uploads", "litestream", "helm", "kubectl"] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
}
