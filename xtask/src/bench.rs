//! `cargo xtask bench`: how long a person waits for `lint`, on a made project.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::parts::say;

/// The scenario that is multiplied.
const PATTERN: &str = "tests/good/presigned-url.yaml";
/// How often.
const SCENARIOS: usize = 1_000;
/// In so much time they are to be read and checked.
const WITHIN: Duration = Duration::from_secs(1);
/// The best of so many times: the others say what else the machine did.
const TIMES: usize = 5;

/// Measures and tells; the figure is for a person, so nothing fails by it.
pub(crate) fn run(parallax: &Path) -> Result<bool> {
    let project = parallax.with_file_name("bench-lint");
    make(&project).with_context(|| format!("failed to make {}", project.display()))?;
    let mut best = Duration::MAX;
    for _ in 0..TIMES {
        let began = Instant::now();
        let output = Command::new(parallax).arg("lint").arg("--project").arg(&project).output();
        let output = output.with_context(|| format!("failed to start {}", parallax.display()))?;
        best = best.min(began.elapsed());
        ensure!(output.status.success(), "lint failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let ratio = best.as_secs_f64() / WITHIN.as_secs_f64();
    say(&format!(
        "lint of {SCENARIOS} scenarios: {:.2} s, best of {TIMES}; {ratio:.2} of the {} s that it may take on an idle machine",
        best.as_secs_f64(),
        WITHIN.as_secs()
    ));
    Ok(true)
}

fn make(project: &Path) -> std::io::Result<()> {
    if project.exists() {
        std::fs::remove_dir_all(project)?;
    }
    let pattern = std::fs::read_to_string(PATTERN)?;
    for number in 0..SCENARIOS {
        let folder = project.join(format!("scenarios/area-{}/s{number}", number % 10));
        std::fs::create_dir_all(&folder)?;
        let text = pattern.replacen("name: presigned-url", &format!("name: s{number}"), 1);
        std::fs::write(folder.join("scenario.yaml"), text)?;
    }
    Ok(())
}
