//! Tests that the harness leaves nothing behind: after success, after a cancelled start, after SIGKILL, and without the
//! ledger.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use parallax_engine::{Collected, ContainerSpec, Kept, Ready, Site, gc};
use parallax_provision::Tool;
use parallax_vocab::RunId;
use serial_test::serial;

use super::bench::{Bench, Killed, docker, objects, this_binary_as};

const SLEEP: &str = "exec /bin/busybox sleep 300";

struct Harness {
    process: Killed,
    output: BufReader<std::process::ChildStdout>,
    run: RunId,
}

impl Harness {
    /// Starts the harness as a process, and waits until its containers run. `reaper` says whether the harness has a
    /// reaper.
    fn start(bench: &Bench, reaper: bool) -> Self {
        let mut harness = Self::spawn(bench, reaper);
        harness.wait_for("harness is up");
        harness
    }

    fn spawn(bench: &Bench, reaper: bool) -> Self {
        let run = bench.run();
        let mut command = this_binary_as("harness");
        command
            .env("PARALLAX_TEST_ENGINE", &bench.engine.endpoint().host)
            .env("PARALLAX_TEST_RUN", run.as_str())
            .env("PARALLAX_TEST_STATE", bench.state().path())
            .env("PARALLAX_TEST_IMAGE", &bench.image)
            .env("PARALLAX_TEST_REAPER", if reaper { "yes" } else { "no" })
            .stderr(Stdio::inherit());
        let mut process = Killed::spawn(&mut command);
        let output = BufReader::new(process.0.stdout.take().unwrap());
        Self { process, output, run }
    }

    fn wait_for(&mut self, wanted: &str) {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the harness ended before {wanted:?}");
        }
    }

    fn objects(&self) -> usize {
        objects(&self.run).len()
    }

    fn end_normally(mut self) {
        use std::io::Write as _;
        self.process.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.wait_for("harness is done");
        assert!(self.process.0.wait().unwrap().success());
    }
}

/// Waits for an effect of another process. No event reports the effect, so this function polls.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 2 min");
        // Another process causes the effect, so this code polls. The deadline is checked above.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn after_sigkill_the_reaper_removes_everything() {
    let Some(bench) = Bench::new().await else { return };
    let mut harness = Harness::start(&bench, true);
    assert_eq!(harness.objects(), 2 + 1 + 2);
    let killed = Instant::now();
    harness.process.kill();
    eventually("the reaper sweeps", || bench.state().is_swept(&harness.run)).await;
    eprintln!("the reaper took {:?} from SIGKILL to its last look", killed.elapsed());
    assert_eq!(harness.objects(), 0);
    bench.assert_nothing_left();

    let collection = gc(&bench.engine, &bench.state()).await.unwrap();
    assert!(collection.runs.iter().all(|(run, _)| *run != harness.run), "gc found something to remove");
    assert_eq!(bench.state().runs().unwrap(), [], "the next gc deletes the ledger of a swept run");
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn after_sigkill_during_creation_no_object_appears_later() {
    let Some(bench) = Bench::new().await else { return };
    for wait_ms in [150, 400, 700] {
        let mut harness = Harness::spawn(&bench, true);
        eventually("the ledger begins", || !bench.state().entries(&harness.run).is_empty()).await;
        // This sleep does not wait for an effect. Its duration decides when the harness is killed. The test tries
        // several durations.
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        harness.process.kill();
        eventually("the reaper sweeps", || bench.state().is_swept(&harness.run)).await;
        assert_eq!(harness.objects(), 0, "killed {wait_ms} ms after its first entry");
    }
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_run_that_ends_normally_leaves_nothing_for_its_reaper() {
    let Some(bench) = Bench::new().await else { return };
    let harness = Harness::start(&bench, true);
    let run = harness.run.clone();
    harness.end_normally();
    bench.assert_nothing_left();
    assert!(!bench.state().run(&run).exists());
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn gc_removes_dead_runs_and_spares_living_and_standing_ones() {
    let Some(bench) = Bench::new().await else { return };
    let mut dead = Harness::start(&bench, false);
    let mut forgotten = Harness::start(&bench, false);
    let living = Harness::start(&bench, false);
    let kept = Kept { project: "/p".into(), directory: "/p/target/e2e/r1".into() };
    let standing_site = Site::open(bench.engine.clone(), bench.state(), bench.run(), Some(&kept)).unwrap();
    standing_site.network("net").await.unwrap();
    dead.process.kill();
    forgotten.process.kill();
    bench.state().forget(&forgotten.run).unwrap();

    let collection = gc(&bench.engine, &bench.state()).await.unwrap();
    let of = |run: &RunId| collection.runs.iter().find(|(other, _)| other == run).map(|(_, what)| what).unwrap();
    let swept = |run: &RunId| matches!(of(run), Collected::Swept(swept) if swept.remaining.is_empty());
    let spared = |run: &RunId, why: &str| matches!(of(run), Collected::Spared(said) if said.contains(why));
    assert!(swept(&dead.run) && swept(&forgotten.run), "{collection:?}");
    assert!(spared(&living.run, "lives") && spared(standing_site.run(), "standing"), "{collection:?}");
    assert_eq!((dead.objects(), forgotten.objects(), living.objects()), (0, 0, 5));

    living.end_normally();
    assert_eq!(standing_site.close().await.removed.len(), 1);
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn two_runs_at_once_do_not_touch_each_other() {
    let Some(bench) = Bench::new().await else { return };
    let (one, two) = (bench.site(), bench.site());
    let start = async |site: &Site| {
        let network = site.network("net").await.unwrap();
        site.start(bench.shell("same", &network.name, SLEEP)).await.unwrap()
    };
    let (first, second) = tokio::join!(start(&one), start(&two));
    assert_ne!(first.name, second.name);
    assert_eq!(one.close().await.removed.len(), 2);
    assert!(bench.engine.is_running(&second.name).await.unwrap());
    assert_eq!(two.close().await.removed.len(), 2);
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_cancelled_start_leaves_nothing_behind() {
    let Some(bench) = Bench::new().await else { return };
    for after_ms in [0, 5, 50, 300, 1500] {
        let site = bench.site();
        let network = site.network("net").await.unwrap();
        let spec = ContainerSpec {
            ready: Ready::LogLine("never".into()),
            ready_within: Duration::from_mins(1),
            ..bench.shell("given-up", &network.name, SLEEP)
        };
        let cancelled = tokio::time::timeout(Duration::from_millis(after_ms), site.start(spec)).await;
        assert!(cancelled.is_err(), "it became ready");
        let began = Instant::now();
        let swept = site.close().await;
        assert_eq!(swept.remaining, [], "cancelled after {after_ms} ms");
        assert!(began.elapsed() < Duration::from_secs(10), "closing waited for readiness: {:?}", began.elapsed());
        bench.assert_nothing_left();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn closing_succeeds_although_others_removed_or_paused_containers() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    let network = site.network("net").await.unwrap();
    let mut names = Vec::new();
    for what in ["gone", "frozen", "going", "stopped"] {
        names.push(site.start(bench.shell(what, &network.name, SLEEP)).await.unwrap().name);
    }
    docker(&["rm", "-fv", &names[0]]);
    docker(&["pause", &names[1]]);
    docker(&["kill", &names[3]]);
    let mut other = std::process::Command::new(Tool::Docker.command());
    let mut other = other.args(["rm", "-fv", &names[2]]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let swept = site.close().await;
    other.wait().unwrap();
    assert_eq!(swept.remaining, []);
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
#[serial(engine)]
async fn a_network_is_removed_with_its_containers_and_without_those_of_another() {
    let Some(bench) = Bench::new().await else { return };
    let site = bench.site();
    for what in ["c1", "c10"] {
        let network = site.network(what).await.unwrap();
        site.start(bench.shell(&format!("{what}-node"), &network.name, SLEEP)).await.unwrap();
    }
    let swept = site.remove_network("c1").await.unwrap();
    assert_eq!((swept.removed.len(), swept.remaining), (2, Vec::new()));
    assert_eq!(objects(site.run()).len(), 2);
    assert_eq!(site.close().await.removed.len(), 2);
    bench.assert_nothing_left();
}
