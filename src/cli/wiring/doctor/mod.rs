//! `parallax doctor`: checks whether a run can work on this machine.

mod checks;
mod programs;

use std::fmt::Write as _;

use parallax_vocab::event::Exit;
use tokio_util::sync::CancellationToken;

use self::checks::Check;
use super::machine::{engine_error, failed};
use crate::cli::args::Doctor;
use crate::cli::{CliError, printer};
use crate::run::Machine;
use parallax_provision::{Use, ensure_tools};
use parallax_record::Sink;
use parallax_vocab::inert;
use serde_json::json;

/// Checks whether a run can work here and, on request, whether the tests can.
pub async fn doctor(args: Doctor, sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    let machine = Machine::find(&sink, args.provision).await.map_err(|error| error.failure());
    let mut tools = Ok(());
    if args.tests {
        tools = ensure_tools(Use::Test, args.provision, &sink).await;
    }
    // The tables are printed even if something is missing.
    let checks = checks::all(machine.as_ref().map(|it| &it.engine)).await;
    let standings = parallax_provision::standings().await;
    if args.json {
        let all = json!({
            "can-run": machine.is_ok(),
            "checks": checks,
            "programs": programs::rows(&standings),
        });
        let text = serde_json::to_string_pretty(&all).map_err(|error| CliError::Harness(error.to_string()))?;
        printer::data(&format!("{text}\n"));
    } else {
        printer::data(&inert(&table(&checks)));
        printer::data(&inert(&programs::table(&standings, machine.is_ok())));
    }
    machine.map_err(|failure| failed(&failure))?;
    tools.map_err(|error| engine_error(error.into()))?;
    if !args.json {
        let what = if args.tests { "a run and the tests" } else { "a run" };
        printer::data(&format!("{what} can work on this machine\n"));
    }
    Ok(Exit::AsExpected)
}

/// The checks as text: what is as it should be in one line, the rest with its reason and its fix.
fn table(checks: &[Check]) -> String {
    let mut text = "machine\n".to_owned();
    for check in checks {
        writeln!(text, "  {:<7}  {:<13}  {}", check.state.word(), check.name, check.seen)
            .expect("a String takes every write");
        if let Some(fix) = &check.fix {
            writeln!(text, "                          why: {}", check.why).expect("a String takes every write");
            writeln!(text, "                          fix: {fix}").expect("a String takes every write");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::checks::State;
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_reason_and_its_fix() {
        let check = |name, state, seen: &str, fix: Option<&str>| Check {
            name,
            state,
            seen: seen.to_owned(),
            why: "clusters need it",
            fix: fix.map(str::to_owned),
        };
        let checks = [
            check("engine", State::Ok, "docker 26.1", None),
            check("disk", State::Error, "1.0 GiB free", Some("make room")),
        ];
        insta::assert_snapshot!(table(&checks), @r"
        machine
          ok       engine         docker 26.1
          ERROR    disk           1.0 GiB free
                                  why: clusters need it
                                  fix: make room
        ");
        let json = serde_json::to_value(&checks[1]).expect("JSON");
        assert_eq!(json["state"], "error");
        assert_eq!(json["why"], "clusters need it");
    }
}
