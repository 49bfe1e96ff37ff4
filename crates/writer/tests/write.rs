//! Tests the program as a pod runs it: the program is killed, restarted, and stopped.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_parallax-writer");

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("parallax-writer-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    folder.join("app.db")
}

fn start(database: &Path) -> (Child, impl Iterator<Item = Value>) {
    let mut command = Command::new(PROGRAM);
    let command = command.args(["write", "--rate", "500", "--database"]).arg(database);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the writer starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    (child, lines.map_while(Result::ok).map(|line| serde_json::from_str(&line).expect("a line of JSON")))
}

fn look(database: &Path) -> Value {
    let out = Command::new(PROGRAM).args(["look", "--database"]).arg(database).output().expect("the writer runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
fn every_acknowledged_row_survives_a_kill_and_numbers_continue() {
    let database = scratch("kill");
    let (mut child, lines) = start(&database);
    let mut lines = lines.skip(1);
    let acknowledged = lines.by_ref().take(40).last().unwrap()["committed"]["row"].as_u64().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let after = lines.last().and_then(|it| it["committed"]["row"].as_u64()).unwrap_or(acknowledged);
    let seen = look(&database);
    assert!(seen["highest"].as_u64().unwrap() >= after, "{seen}");
    assert_eq!((&seen["missing"], &seen["integrity"]), (&Value::from(0), &Value::from("ok")));

    let (mut child, mut lines) = start(&database);
    let found = lines.next().unwrap();
    assert_eq!(found["started"]["highest"], seen["highest"]);
    let first = lines.next().unwrap()["committed"]["row"].as_u64();
    assert_eq!(first, seen["highest"].as_u64().map(|it| it + 1));
    // After SIGTERM, the program must report the number of the last row.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let stopped = lines.last().unwrap()["stopped"]["row"].as_u64();
    assert!(child.wait().unwrap().success());
    assert_eq!(look(&database)["highest"].as_u64(), stopped);
    std::fs::remove_dir_all(database.parent().unwrap()).unwrap();
}

#[test]
fn a_missing_database_is_an_error_that_names_it() {
    let database = scratch("missing");
    let out = Command::new(PROGRAM).args(["look", "--database"]).arg(&database).output().unwrap();
    assert!(!out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).contains("app.db"));
}
