//! Runs cargo and its subcommands.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// The name of the binary that the tasks start. When it runs, this binary puts the other binaries of the workspace into
/// containers.
pub(crate) const HARNESS: &str = "parallax";

/// Returns a command for the cargo that started xtask. The command does not inherit the variables that cargo has set
/// for xtask itself. With these variables, build scripts that read them would run again.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].iter().any(|own| text.starts_with(own)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command and returns whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.status().with_context(|| format!("failed to start {}", command.get_program().display()))?;
    Ok(status.success())
}

/// Runs tests. Returns whether they succeeded, and the names of the tests that failed. The output of the tests is
/// passed on line by line.
pub(crate) fn tests(command: &mut Command) -> Result<(bool, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let mut failed = Vec::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("failed to read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        writeln!(std::io::stdout().lock(), "{line}").context("failed to pass on what the tests print")?;
        failed.extend(failed_test(&line).map(str::to_owned));
    }
    Ok((child.wait().context("failed to wait for cargo")?.success(), failed))
}

/// Returns the name of the failed test, if this line of libtest reports a failure.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Builds all binaries of the workspace except xtask, and returns the path of `parallax`. One call of cargo builds all
/// binaries, so that each dependency is compiled once. The other binaries, which `parallax` puts into containers, are
/// in the same folder. The binaries are not listed by name. If a name were missing in such a list, nobody would notice
/// on a machine with an older build.
pub(crate) fn build() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--workspace", "--exclude", env!("CARGO_PKG_NAME"), "--bins"]);
    match built(&mut command)?.into_iter().find(|path| path.file_name().is_some_and(|name| name == HARNESS)) {
        Some(path) => Ok(path),
        None => bail!("cargo built no `{HARNESS}`"),
    }
}

/// Runs a `cargo build`, and returns the paths of the executables that it built.
pub(crate) fn built(command: &mut Command) -> Result<Vec<PathBuf>> {
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output = command.output().context("failed to start cargo")?;
    ensure!(output.status.success(), "the build failed (above)");
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not text")?;
    Ok(executables(&messages))
}

/// Returns the paths of the executables in cargo's messages. Each line of the messages is one JSON document.
fn executables(messages: &str) -> Vec<PathBuf> {
    let of_line = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    messages.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_that_failed_are_named() {
        for (line, name) in [
            ("test e2e::shards::two_shards ... FAILED", Some("e2e::shards::two_shards")),
            ("test src/lib.rs - f (line 3) ... FAILED", Some("src/lib.rs - f (line 3)")),
            ("test a_failed_run ... ok", None),
            ("test result: FAILED. 1 passed; 1 failed", None),
            ("error: test failed, to rerun pass `--lib`", None),
        ] {
            assert_eq!(failed_test(line), name, "{line}");
        }
    }

    #[test]
    fn executables_are_found_in_cargos_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"executable\":null,\"fresh\":true}\n",
            "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/x\"],\"executable\":\"/t/a b/x\",\"fresh\":true}\n",
            "{\"executable\":\"/t/with\\\"quote\\u00e9\"}\n",
            "{\"reason\":\"compiler-message\",\"message\":{\"rendered\":\"\\\"executable\\\":\\\"/no\\\"\"}}\n",
            "{\"executable\":\"/t/torn",
        );
        assert_eq!(executables(messages), [PathBuf::from("/t/a b/x"), PathBuf::from("/t/with\"quoteé")]);
    }
}
