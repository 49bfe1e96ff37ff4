//! Tests sessions with the real agent as a child process, and with fake agents that misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parallax_vocab::prober::{Known, Outcome, PAGE, ProberOrder, ProberQuestion, Series};
use parallax_vocab::question::{Addressing, HttpQuestion, PresignQuestion, S3Access, S3Operation, S3Question};
use parallax_vocab::wire::{self, FromAgent, ToAgent};
use parallax_vocab::{Answer, Cause, Evidence, Probe, Question, Reply, Secret, View};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;

use super::{ProbeError, Prober, Session, Vantage};

/// The path of the agent, which is built next to this test.
fn agent() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let built = test.ancestors().nth(2).expect("it lies in target/TRIPLE/debug/deps").join("parallax-agent");
    assert!(built.exists(), "{} is missing; build the workspace first: cargo build --workspace", built.display());
    built
}

/// Opens a session with an agent in a child process. Also returns the id of the process, and a channel that reports its
/// exit status.
async fn with_child(mut command: Command) -> (Result<Session, ProbeError>, Pid, oneshot::Receiver<String>) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("it starts");
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("it runs");
    let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else { panic!("all three are piped") };
    let (tell, told) = oneshot::channel();
    let (tell_session, told_session) = oneshot::channel();
    tokio::spawn(async move {
        let status = child.wait().await.map_or_else(|why| why.to_string(), |status| status.to_string());
        let _ = tell.send(status.clone());
        let _ = tell_session.send(status);
    });
    let ended = async { told_session.await.unwrap_or_default() };
    (Session::open("pod app of namespace test", stdin, stdout, stderr, ended).await, pid, told)
}

async fn with_agent() -> (Session, Pid, oneshot::Receiver<String>) {
    let mut command = Command::new(agent());
    command.arg("session");
    let (session, pid, ended) = with_child(command).await;
    (session.expect("the agent says hello"), pid, ended)
}

/// Opens a session with a fake agent that speaks the protocol version `version`. Also returns the stream to which the
/// fake agent writes, and a sender that reports the end of the pod.
async fn with_fake(version: u32) -> (Result<Session, ProbeError>, DuplexStream, oneshot::Sender<String>) {
    let (stdout, mut fake) = tokio::io::duplex(4096);
    let (gone, told) = oneshot::channel();
    let hello = FromAgent::Hello { version, host: "fake".to_owned(), addresses: vec![] };
    fake.write_all(&wire::encode(&hello).expect("short")).await.expect("it fits");
    let ended = async { told.await.unwrap_or_default() };
    let session = Session::open("pod app of namespace test", tokio::io::sink(), stdout, tokio::io::empty(), ended);
    (session.await, fake, gone)
}

fn get(url: &str, deadline_ms: u64) -> Question {
    let probe = Probe::Http(HttpQuestion::new("GET", url));
    Question { view: View::default(), deadline_ms, probe }
}

/// Starts a server that accepts connections but never answers. Returns its listener and its URL. The server exists as
/// long as the listener.
async fn silence() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    (listener, url)
}

fn access() -> S3Access {
    S3Access {
        endpoint: "https://minio.example.com".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: Secret::new("secret"),
        session_token: None,
        addressing: Addressing::Path,
    }
}

#[tokio::test]
async fn the_agent_answers_as_this_process_does() {
    let (session, _, ended) = with_agent().await;
    assert!(!session.hello().host.is_empty());
    let presign = Probe::Presign(PresignQuestion::new(access(), "GET", "photos", "a.txt", 60));
    let question = Question { view: View::default(), deadline_ms: 5_000, probe: presign };
    let refused = get("http://127.0.0.1:1/", 5_000);
    let (url, here, there, both) = tokio::join!(
        session.ask(question),
        Vantage::Outside.ask(refused.clone()),
        session.ask(refused.clone()),
        session.ask(refused.clone()),
    );
    assert!(matches!(url.expect("answered").outcome, Ok(Reply::Presign(_))));
    let here = here.expect("answered").outcome;
    assert!(matches!(here, Err(Cause::Connect { .. })));
    assert_eq!(here, there.expect("answered").outcome);
    assert_eq!(here, both.expect("answered").outcome);
    session.close().await;
    assert_eq!(ended.await.as_deref(), Ok("exit status: 0"));
}

#[tokio::test]
async fn a_prober_in_the_agent_sees_what_one_in_this_process_sees() {
    let (session, _, ended) = with_agent().await;
    let session = Arc::new(session);
    let (_listener, silent) = silence().await;
    for (url, deadline_ms, cause) in
        [("http://127.0.0.1:1/", 5_000, "connect: refused"), (silent.as_str(), 100, "deadline")]
    {
        let question = get(url, deadline_ms);
        let asked = ProberQuestion { question, rate: 100, headers: BTreeSet::new(), body: false };
        let here = Vantage::Outside.prober(asked.clone()).await.expect("started");
        let there = Prober::there(Arc::clone(&session), asked).await.expect("started");
        for mut prober in [here, there] {
            let began = Instant::now();
            while prober.read().await.expect("it tells").outcomes.len() < 5 {
                assert!(began.elapsed() < Duration::from_secs(20));
                // The prober asks at its own rate and reports only on request, so the test polls.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let series = prober.stop().await.expect("it tells").clone();
            assert_eq!((series.in_flight, series.kinds.len()), (0, 1), "{series:?}");
            let seen = series.kinds[0].cause().expect("a cause").to_string();
            assert!(seen.starts_with(cause), "{seen}");
            assert_eq!(*prober.read().await.expect("it tells"), series, "it asks no more");
            prober.end().await;
        }
    }
    let unknown = session.prober(99, ProberOrder::Read(Known::default()), Duration::from_secs(5)).await;
    assert!(matches!(unknown, Err(ProbeError::Garbled { .. })), "{unknown:?}");
    Arc::into_inner(session).expect("no prober is left").close().await;
    assert_eq!(ended.await.as_deref(), Ok("exit status: 0"));
}

#[tokio::test]
async fn a_killed_agent_is_no_cause_but_an_error_at_once() {
    let (session, pid, _) = with_agent().await;
    let (_listener, url) = silence().await;
    let began = Instant::now();
    let kill = async {
        // The agent must already be working on the question when it is killed. No event reports this, so the test
        // sleeps.
        tokio::time::sleep(Duration::from_millis(100)).await;
        kill_process(pid, Signal::KILL).expect("it runs");
    };
    let (answer, ()) = tokio::join!(session.ask(get(&url, 60_000)), kill);
    let Err(ProbeError::AgentGone { place, why }) = answer else { panic!("{answer:?}") };
    assert_eq!((place.as_str(), why.as_str()), ("pod app of namespace test", "signal: 9 (SIGKILL)"));
    assert!(began.elapsed() < Duration::from_secs(10));
    let again = session.ask(get(&url, 60_000)).await;
    assert!(matches!(again, Err(ProbeError::AgentGone { .. })), "{again:?}");
}

#[tokio::test]
async fn a_deleted_pod_ends_what_waits_though_its_streams_freeze() {
    let (session, _fake, gone) = with_fake(wire::VERSION).await;
    let session = session.expect("hello");
    let delete = async {
        // The agent must already be working on the question when the pod is deleted. No event reports this, so the test
        // sleeps.
        tokio::time::sleep(Duration::from_millis(50)).await;
        gone.send("the pod was deleted".to_owned()).expect("it is watched");
    };
    let (answer, ()) = tokio::join!(session.ask(get("http://127.0.0.1:1/", 60_000)), delete);
    let words = answer.map_err(|why| why.to_string());
    assert_eq!(words, Err("the agent in pod app of namespace test is gone: the pod was deleted".to_owned()));
}

#[tokio::test]
async fn an_agent_that_never_answers_is_overdue() {
    let (session, _fake, _gone) = with_fake(wire::VERSION).await;
    let answer = session.expect("hello").ask(get("http://127.0.0.1:1/", 50)).await;
    assert!(matches!(answer, Err(ProbeError::Overdue { waited_ms: 3_050, .. })), "{answer:?}");
}

/// Tests that an answer does not extend the deadline if it arrives slowly, byte by byte. The deadline would be extended
/// if the time limit applied to each read and not to the whole answer.
#[tokio::test]
async fn an_agent_that_answers_a_byte_at_a_time_is_overdue() {
    let (session, mut fake, _gone) = with_fake(wire::VERSION).await;
    let session = session.expect("hello");
    let drops = async {
        fake.write_all(&1_000_u32.to_be_bytes()).await.expect("it is read");
        loop {
            fake.write_all(b" ").await.expect("it is read");
            // The fake agent is slow on purpose: this pause is the fault that the test simulates.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(30), session.ask(get("http://127.0.0.1:1/", 50)));
    tokio::select! {
        answer = asked => {
            let answer = answer.expect("the deadline ends the question");
            assert!(matches!(answer, Err(ProbeError::Overdue { waited_ms: 3_050, .. })), "{answer:?}");
        }
        () = drops => unreachable!("the loop has no end"),
    }
}

#[tokio::test]
async fn frames_that_are_not_ours_end_the_session() {
    let told = FromAgent::Hello { version: wire::VERSION, host: String::new(), addresses: vec![] };
    let table = [
        (vec![0xff; 4], "longer than the limit"),
        (b"\0\0\0\x02no".to_vec(), "not valid"),
        (wire::encode(&told).expect("short"), "a second hello"),
    ];
    for (bytes, expected) in table {
        let (session, mut fake, _gone) = with_fake(wire::VERSION).await;
        let session = session.expect("hello");
        let garbage = async {
            fake.write_all(&bytes).await.expect("it is read");
        };
        let (answer, ()) = tokio::join!(session.ask(get("http://127.0.0.1:1/", 60_000)), garbage);
        let Err(ProbeError::Garbled { why, .. }) = &answer else { panic!("{answer:?}") };
        assert!(why.contains(expected), "{why}");
    }
}

#[tokio::test]
async fn a_session_that_cannot_begin_says_why() {
    let (session, _fake, _gone) = with_fake(wire::VERSION + 1).await;
    let newer = wire::VERSION + 1;
    assert!(matches!(session, Err(ProbeError::Version { theirs, ours: wire::VERSION, .. }) if theirs == newer));

    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    };
    let (session, ..) = with_child(shell("echo no such file >&2; exit 127")).await;
    let words = session.map(|_| ()).map_err(|why| why.to_string());
    let expected =
        "failed to start the agent in pod app of namespace test: exit status: 127; its last words: no such file";
    assert_eq!(words, Err(expected.to_owned()));

    let (session, ..) = with_child(shell("echo this is a banner; exec sleep 30")).await;
    assert!(matches!(session, Err(ProbeError::Garbled { .. })));
}

#[tokio::test]
async fn a_question_that_does_not_fit_a_frame_is_refused_here() {
    let (session, ..) = with_agent().await;
    let operation = S3Operation::Put { bucket: "b".to_owned(), key: "k".to_owned(), body: "x".repeat(2 << 20) };
    let probe = Probe::S3(S3Question { access: access(), operation, headers: BTreeMap::new() });
    let answer = session.ask(Question { view: View::default(), deadline_ms: 1_000, probe }).await;
    assert!(matches!(answer, Err(ProbeError::Question { .. })), "{answer:?}");
    // The session must still work after the error.
    assert!(session.ask(get("http://127.0.0.1:1/", 1_000)).await.is_ok());
}

#[tokio::test]
async fn a_prober_that_never_comes_to_an_end_ends_as_an_error() {
    let page = |at_us| Series {
        outcomes: vec![Outcome { at_us, took_us: 1, kind: 0 }; PAGE],
        kinds: vec![],
        more: true,
        ..Series::default()
    };
    let first = |at_us| {
        let outcome = Err(Cause::Client { detail: "told by a fake".to_owned() });
        let kinds = vec![Answer { outcome, evidence: Evidence::default() }];
        Series { kinds, ..page(at_us) }
    };
    let empty = Series { more: true, ..Series::default() };
    for (start, rest, says) in [
        (first(1), page(1), "more than it can have seen"),
        (empty.clone(), empty, "announced another page"),
        (first(u64::MAX), page(1), "no clock can show"),
    ] {
        let (stdin, mut asked) = tokio::io::duplex(1 << 16);
        let (stdout, mut fake) = tokio::io::duplex(1 << 16);
        let answering = tokio::spawn(async move {
            let hello = FromAgent::Hello { version: wire::VERSION, host: "fake".to_owned(), addresses: vec![] };
            fake.write_all(&wire::encode(&hello).expect("short")).await.expect("it fits");
            let mut buffer = Vec::new();
            while let Ok(1..) = asked.read_buf(&mut buffer).await {
                while let Ok(Some(message)) = wire::decode::<ToAgent>(&mut buffer) {
                    let (request, series) = match message {
                        ToAgent::Prober { request, order: ProberOrder::Start(_), .. } => (request, Series::default()),
                        ToAgent::Prober { request, order: ProberOrder::Read(Known { outcomes: 0, .. }), .. } => {
                            (request, start.clone())
                        }
                        ToAgent::Prober { request, .. } => (request, rest.clone()),
                        _ => continue,
                    };
                    let told = FromAgent::Series { request, series: Some(Box::new(series)) };
                    if fake.write_all(&wire::encode(&told).expect("a page fits a frame")).await.is_err() {
                        return;
                    }
                }
            }
        });
        let ended = std::future::pending();
        let session = Session::open("pod app", stdin, stdout, tokio::io::empty(), ended).await.expect("hello");
        let question = ProberQuestion {
            question: get("http://127.0.0.1:1/", 1_000),
            rate: 1,
            headers: BTreeSet::new(),
            body: false,
        };
        let mut prober = Prober::there(Arc::new(session), question).await.expect("starts");
        let read = tokio::time::timeout(Duration::from_mins(1), prober.read()).await.expect("it ends").map(|_| ());
        let Err(ProbeError::Garbled { place, why }) = &read else { panic!("{read:?}") };
        assert!(place == "pod app" && why.contains(says), "{place}: {why}");
        answering.abort();
    }
}
