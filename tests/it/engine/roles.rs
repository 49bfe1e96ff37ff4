//! Processes that tests start and kill. Such a process is this test binary, which runs one of the ignored tests below.
//! Without the variable `PARALLAX_TEST_ROLE`, the ignored tests do nothing.

use parallax_engine::reaper::{self, Reaper};
use parallax_engine::{ContainerSpec, Endpoint, Engine, Site, StateDir, ensure_environment};
use parallax_vocab::RunId;

use super::bench::this_binary_as;

/// Runs the harness as a process that a test can kill. The process starts a network and two containers, prints a line,
/// and waits until the test ends the process.
#[test]
#[ignore = "a process of other tests"]
fn harness() {
    let Ok(role) = std::env::var("PARALLAX_TEST_ROLE") else { return };
    assert_eq!(role, "harness");
    let env = |name: &str| std::env::var(name).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = Engine::connect(&Endpoint::given(env("PARALLAX_TEST_ENGINE"))).await.unwrap();
        let run = RunId::new(env("PARALLAX_TEST_RUN"));
        let site = Site::open(engine, StateDir::at(env("PARALLAX_TEST_STATE")), run, None).unwrap();
        let reaper =
            (env("PARALLAX_TEST_REAPER") == "yes").then(|| Reaper::spawn_as(this_binary_as("reaping"), &site).unwrap());
        let network = site.network("net").await.unwrap();
        for what in ["one", "two"] {
            let spec = ContainerSpec {
                entrypoint: Some(vec!["/bin/busybox".into(), "sleep".into()]),
                command: vec!["300".into()],
                volumes: vec!["/vol".into()],
                ..ContainerSpec::new(what, env("PARALLAX_TEST_IMAGE"), &network.name)
            };
            site.start(spec).await.unwrap();
        }
        println!("harness is up");
        std::io::stdin().read_line(&mut String::new()).unwrap();
        site.close().await;
        if let Some(reaper) = reaper {
            reaper.closed();
        }
        println!("harness is done");
    });
}

/// Runs the reaper of a run as a process.
#[test]
#[ignore = "a process of other tests"]
fn reaping() {
    if std::env::var("PARALLAX_TEST_ROLE").is_ok_and(|role| role == "reaping") {
        let env = |name: &str| std::env::var(name).unwrap();
        let run = RunId::new(env("PARALLAX_TEST_RUN"));
        reaper::main(&run, &env("PARALLAX_TEST_ENGINE"), env("PARALLAX_TEST_STATE").as_ref()).unwrap();
    }
}

/// Runs a program whose environment variables refer to another engine than the program needs.
#[test]
#[ignore = "a process of other tests"]
fn resolving() {
    if std::env::var("PARALLAX_TEST_ROLE").is_ok_and(|role| role == "resolving") {
        println!("begins with {:?}", std::env::var("DOCKER_HOST"));
        ensure_environment(&Endpoint::given("unix:///elsewhere.sock")).unwrap();
        println!("goes on with {:?}", std::env::var("TESTCONTAINERS_COMMAND"));
    }
}
