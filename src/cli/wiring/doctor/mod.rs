//! `parallax doctor` checks whether a run can work on this machine.

mod checks;
mod programs;

use std::fmt::Write as _;

use parallax_vocab::event::Exit;
use tokio_util::sync::CancellationToken;

use self::checks::{Check, State};
use super::machine::{engine_error, failed};
use crate::cli::args::Doctor;
use crate::cli::{CliError, printer};
use crate::run::Machine;
use parallax_provision::{Use, ensure_tools};
use parallax_record::{Redactor, Sink, by_form};
use parallax_vocab::inert;
use serde_json::json;

/// Checks whether a run can work on this machine. With `--tests`, also looks for the programs that the tests need.
/// Fails if a check has the state `error`.
pub async fn doctor(args: Doctor, sink: Sink, _cancel: CancellationToken) -> Result<Exit, CliError> {
    let machine = Machine::find(&sink, args.provision).await.map_err(|error| error.failure());
    let mut tools = Ok(());
    if args.tests {
        tools = ensure_tools(Use::Test, args.provision, &sink).await;
    }
    // The tables are printed even if a program or the engine is missing.
    let checks = checks::all(machine.as_ref().map(|it| &it.engine)).await;
    let standings = parallax_provision::standings().await;
    let sound = sound(&checks);
    if args.json {
        let mut all = json!({
            "can-run": machine.is_ok() && sound.is_ok(),
            "checks": checks,
            "programs": programs::rows(&standings),
        });
        Redactor::default().apply(&mut all);
        let text = serde_json::to_string_pretty(&all).map_err(|error| CliError::Harness(error.to_string()))?;
        printer::data(&format!("{text}\n"));
    } else {
        let text = table(&checks) + &programs::table(&standings, machine.is_ok());
        printer::data(&inert(&by_form(&text)));
    }
    machine.map_err(|failure| failed(&failure))?;
    tools.map_err(|error| engine_error(error.into()))?;
    sound?;
    if !args.json {
        let what = if args.tests { "a run and the tests" } else { "a run" };
        printer::data(&format!("{what} can work on this machine\n"));
    }
    Ok(Exit::AsExpected)
}

/// Fails if a check has the state `error`, because a run could not work then.
fn sound(checks: &[Check]) -> Result<(), CliError> {
    let wrong: Vec<&str> = checks.iter().filter(|it| it.state == State::Error).map(|it| it.name).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let (rows, say) = if wrong.len() == 1 { ("the row", "says") } else { ("the rows", "say") };
    Err(CliError::Harness(format!(
        "a run can fail on this machine: {rows} {} {say} ERROR, each with its fix",
        wrong.join(", ")
    )))
}

/// Returns the results of the checks as text. A check without a problem takes one line. Any other check also has its
/// reason and its fix.
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
    use super::*;

    fn check(name: &'static str, state: State, seen: &str, fix: Option<&str>) -> Check {
        Check { name, state, seen: seen.to_owned(), why: "clusters need it", fix: fix.map(str::to_owned) }
    }

    #[test]
    fn only_a_row_that_says_error_is_one() {
        let of = |states: [State; 2]| {
            sound(&["ports", "clock"].map(|name| check(name, states[usize::from(name == "clock")], "", None)))
        };
        of([State::Ok, State::Unknown]).expect("nothing is wrong");
        of([State::Warning, State::Ok]).expect("a warning is no error");
        let error = of([State::Ok, State::Error]).expect_err("a row says ERROR");
        assert_eq!(error.exit(), Exit::Harness);
        assert_eq!(error.to_string(), "a run can fail on this machine: the row clock says ERROR, each with its fix");
        let error = of([State::Error, State::Error]).expect_err("both rows say ERROR").to_string();
        assert!(error.contains("the rows ports, clock say ERROR"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_reason_and_its_fix() {
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
