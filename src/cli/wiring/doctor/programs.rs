//! The table of programs that `parallax doctor` prints.

use std::fmt::Write as _;

use parallax_provision::{Standing, Use};
use serde_json::{Value, json};

/// Returns the table of programs as text, with the path of each program and the purposes for which it is used. For a
/// missing program, the table says how to install it.
pub(super) fn table(standings: &[Standing], engine_answers: bool) -> String {
    let mut text = "programs\n".to_owned();
    for standing in standings {
        let (state, place) = match &standing.found {
            Ok(path) => ("ok", path.display().to_string()),
            Err(why) => ("-", why.clone()),
        };
        writeln!(text, "  {state:<4}  {:<10}  {place}", standing.name).expect("a String takes every write");
        for (of, purpose) in standing.uses {
            writeln!(text, "                      {of}: {purpose}").expect("a String takes every write");
        }
        // A program whose only use is `Run` serves to start an engine, so it is not needed if an engine answers.
        let settled = engine_answers && standing.uses.iter().all(|(of, _)| *of == Use::Run);
        if standing.found.is_err() && !settled {
            writeln!(text, "                      fix: {}", fix(standing)).expect("a String takes every write");
        }
    }
    text
}

/// Returns how a missing program can be installed: a command, or an instruction.
fn fix(standing: &Standing) -> String {
    if standing.uses.iter().all(|(of, _)| *of == Use::Objects) {
        return standing.by_hand.clone();
    }
    let by_itself = match standing.uses {
        uses if uses.iter().any(|(of, _)| *of == Use::Test) => "`parallax doctor --tests --provision` installs it",
        uses if uses.iter().any(|(of, _)| *of == Use::Recipe) => {
            "a run with `--provision` installs it before it builds an image that needs it"
        }
        _ => "a run with `--provision` installs it where it needs it",
    };
    format!("{by_itself}, or {}", standing.by_hand)
}

/// Returns the table of programs as JSON, for other software to read.
pub(super) fn rows(standings: &[Standing]) -> Vec<Value> {
    let uses = |standing: &Standing| {
        standing.uses.iter().map(|(of, what)| json!({ "of": of.to_string(), "for": what })).collect::<Vec<_>>()
    };
    let row = |standing: &Standing| match &standing.found {
        Ok(path) => json!({ "name": standing.name, "state": "ok", "path": path, "uses": uses(standing) }),
        Err(why) => {
            json!({ "name": standing.name, "state": "missing", "why": why, "uses": uses(standing), "fix": fix(standing) })
        }
    };
    standings.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_told_with_its_state_its_uses_and_the_fix() {
        let standing = |name, found: Result<&str, &str>, uses| Standing {
            name,
            found: found.map(Into::into).map_err(Into::into),
            uses,
            by_hand: format!("install {name}"),
        };
        let standings = [
            standing("dockerd", Err("missing"), &[(Use::Run, "an engine")]),
            standing("go", Ok("/usr/bin/go"), &[(Use::Recipe, "Go modules"), (Use::Test, "a build that fails")]),
            standing("npm", Err("/usr/bin/npm is 6.0, and 7.0 or newer is needed"), &[(Use::Recipe, "npm packages")]),
            standing("busybox", Err("missing"), &[(Use::Test, "an image")]),
        ];
        insta::assert_snapshot!(table(&standings, true), @r"
        programs
          -     dockerd     missing
                              run: an engine
          ok    go          /usr/bin/go
                              recipe: Go modules
                              test: a build that fails
          -     npm         /usr/bin/npm is 6.0, and 7.0 or newer is needed
                              recipe: npm packages
                              fix: a run with `--provision` installs it before it builds an image that needs it, or install npm
          -     busybox     missing
                              test: an image
                              fix: `parallax doctor --tests --provision` installs it, or install busybox
        ");
        let text = table(&standings, false);
        assert!(
            text.contains("fix: a run with `--provision` installs it where it needs it, or install dockerd"),
            "{text}"
        );
    }
}
