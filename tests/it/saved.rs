//! Tests that the scenarios that `parallax check --save` writes are valid.

use parallax::check::{Cell, Checked, Row, State, Wanted, endpoint, scenario};
use parallax_language::fixture::Library;
use parallax_language::scenario::Loaded;
use parallax_vocab::Secret;

fn wanted(given: &str, region: &str) -> Wanted {
    let (endpoint, host, port) = endpoint(given).unwrap();
    Wanted {
        endpoint,
        host,
        port,
        region: region.to_owned(),
        access: None,
        bucket: Some("photos".to_owned()),
        trust: Vec::new(),
        given_trust: true,
        name_servers: Vec::new(),
        identity: None,
        large_mib: 2,
        links_for_s: None,
        application: None,
        id: "r1".to_owned(),
    }
}

fn cell(state: State, text: &str) -> Cell {
    Cell { state, text: text.to_owned(), why: None, section: None }
}

fn row(name: &'static str, inside: State, outside: State) -> Row {
    Row { name, inside: cell(inside, "opens with canary-of-a-key"), outside: cell(outside, "opens"), differs: false }
}

#[track_caller]
fn in_order(text: &str) {
    let loaded = Loaded::read(&Library::shipped(), "mine", "scenarios/mine/scenario.yaml", text.as_bytes());
    let loaded = loaded.unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
    assert!(loaded.warnings.is_empty(), "{:?}\n{text}", loaded.warnings);
}

#[test]
fn what_was_checked_becomes_a_scenario_that_is_in_order() {
    let good = |name| row(name, State::Good, State::Good);
    let rows = ["name", "store", "keys", "presigned PUT", "signed headers", "cors"].map(good).to_vec();
    let mut checked = Checked { rows, secrets: vec![Secret::new("canary-of-a-key")], ..Checked::default() };
    let whole = scenario("mine", &wanted("https://minio.example.com", "us-east-1"), &checked);
    in_order(&whole);
    insta::assert_snapshot!(whole);
    // The following checks had no keys and no pod. The last two endpoints have hosts that a scenario cannot use: an IP
    // address, and a name without a dot.
    checked.rows = vec![row("store", State::NotAsked, State::Bad)];
    checked.no_inside = Some("--outside-only".to_owned());
    for endpoint in ["https://minio.example.com:9000", "http://10.0.0.7:9000", "https://minio"] {
        in_order(&scenario("mine", &wanted(endpoint, "eu-central-1"), &checked));
    }
    checked.rows.push(row("keys", State::NotAsked, State::Good));
    in_order(&scenario("mine", &wanted("https://minio.example.com", "us-east-1"), &checked));
}
