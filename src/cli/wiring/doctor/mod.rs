//! `parallax doctor` checks whether a run can work on this machine.

mod checks;
mod programs;

use std::fmt::Write as _;
use std::path::PathBuf;

use parallax_vocab::event::Exit;
use tokio_util::sync::CancellationToken;

use self::checks::{Check, State};
use super::machine::{engine_error, failed};
use crate::cli::args::Doctor;
use crate::cli::{CliError, printer};
use crate::run::Machine;
use parallax_provision::{Standing, Use, ensure_tools};
use parallax_record::{Redactor, Sink, by_form};
use parallax_vocab::inert;
use serde_json::json;

/// Checks whether a run can work on this machine. With `--tests`, also looks for the programs that the tests need.
/// Fails if a check has the state `error`. `project` is the project whose scenarios may need further programs.
pub async fn doctor(
    args: Doctor,
    project: Option<PathBuf>,
    sink: Sink,
    _cancel: CancellationToken,
) -> Result<Exit, CliError> {
    // The state before the repair is needed to report what the option `--fix` (or `--provision`) has changed.
    let before = if args.provision {
        let machine = Machine::find(&Sink::silent(), false).await.map_err(|error| error.failure());
        let checks = checks::all(machine.as_ref().map(|it| &it.engine)).await;
        Some((checks, parallax_provision::standings().await))
    } else {
        None
    };
    let machine = Machine::find(&sink, args.provision).await.map_err(|error| error.failure());
    let mut tools = Ok(());
    if args.tests {
        tools = ensure_tools(Use::Test, args.provision, &sink).await;
    }
    // The tables are printed even if a program or the engine is missing.
    let checks = checks::all(machine.as_ref().map(|it| &it.engine)).await;
    let mut standings = parallax_provision::standings().await;
    let needed = project.map(|root| super::objects::programs(&root)).unwrap_or_default();
    standings.retain(|it| needed.contains(it.name) || it.uses.iter().any(|(of, _)| *of != Use::Objects));
    let sound = sound(&checks);
    let fixed = before.map(|(old, programs)| fixed((&old, &checks), (&programs, &standings)));
    if args.json {
        let mut all = json!({
            "can-run": machine.is_ok() && sound.is_ok(),
            "checks": checks,
            "programs": programs::rows(&standings),
        });
        if let Some(fixed) = &fixed {
            all["fixed"] = json!(fixed);
        }
        Redactor::default().apply(&mut all);
        let text = serde_json::to_string_pretty(&all).map_err(|error| CliError::Harness(error.to_string()))?;
        printer::data(&format!("{text}\n"));
    } else {
        let mut text = table(&checks) + &programs::table(&standings, machine.is_ok());
        if let Some(fixed) = &fixed {
            text += &told(fixed, checks.iter().any(|it| it.fix.is_some()));
        }
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

/// Describes what `--fix` has done: each check whose state has changed, and each program that has been installed.
/// Each argument is a pair: the results before the repair, and the results after it.
fn fixed((old, new): (&[Check], &[Check]), (had, have): (&[Standing], &[Standing])) -> Vec<String> {
    let checks = new.iter().filter_map(|now| {
        let then = old.iter().find(|it| it.name == now.name).filter(|it| it.state != now.state)?;
        Some(format!("{}: was {} ({}), is {} ({})", now.name, then.state.word(), then.seen, now.state.word(), now.seen))
    });
    let programs = have.iter().filter_map(|now| {
        let path = now.found.as_ref().ok()?;
        had.iter().find(|it| it.name == now.name && it.found.is_err())?;
        Some(format!("{}: installed, {}", now.name, path.display()))
    });
    checks.chain(programs).collect()
}

/// Returns the lines about what `--fix` has done. `is_left` says whether a check still has a fix that the user must
/// carry out.
fn told(fixed: &[String], is_left: bool) -> String {
    let lines: Vec<String> = fixed.iter().map(|it| format!("  {it}\n")).collect();
    match (lines.is_empty(), is_left) {
        (false, _) => format!("fixed\n{}", lines.concat()),
        (true, true) => {
            "fixed\n  nothing: what is left cannot be repaired from here; each row says what to do\n".to_owned()
        }
        (true, false) => "fixed\n  nothing, because nothing was wrong\n".to_owned(),
    }
}

/// Fails if a check has the state `error`, because a run could then fail on this machine.
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
    fn what_fix_has_done_is_told() {
        let program = |found: Result<&str, &str>| Standing {
            name: "dockerd",
            found: found.map(Into::into).map_err(Into::into),
            uses: &[],
            by_hand: String::new(),
        };
        let (old, new) = (check("engine", State::Error, "none", Some("x")), check("engine", State::Ok, "26.1", None));
        let (had, have) = (program(Err("missing")), program(Ok("/usr/sbin/dockerd")));
        let all =
            fixed((std::slice::from_ref(&old), std::slice::from_ref(&new)), (&[had], std::slice::from_ref(&have)));
        assert_eq!(all, ["engine: was ERROR (none), is ok (26.1)", "dockerd: installed, /usr/sbin/dockerd"]);
        assert_eq!(told(&all[..1], false), "fixed\n  engine: was ERROR (none), is ok (26.1)\n");
        let same = [new];
        let all = fixed((&same, &same), (std::slice::from_ref(&have), std::slice::from_ref(&have)));
        assert!(told(&all, true).contains("each row says what to do"));
        assert!(told(&all, false).contains("nothing was wrong"));
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
