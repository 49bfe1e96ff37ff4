//! Tests of probers: a slow answer delays no question, each question has its own connection, and equal answers are
//! stored once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parallax_probe::{Prober, allow_open_files};
use parallax_vocab::prober::{KINDS_LIMIT, Known, ProberQuestion, Series};
use parallax_vocab::{Cause, Probe, Question, View};
use tokio::io::AsyncWriteExt as _;

use super::{get, http_reply, server};

fn asking(url: &str, rate: u32, deadline_ms: u64) -> ProberQuestion {
    let question = Question { view: View::default(), deadline_ms, probe: Probe::Http(get(url)) };
    ProberQuestion { question, rate, headers: std::iter::once("x-turn".to_owned()).collect(), body: false }
}

/// Reads outcomes until `enough` returns true. The time limit is long enough for a slow machine.
async fn read_until(prober: &Prober, enough: impl Fn(&Series) -> bool) -> Series {
    let began = Instant::now();
    let mut series = prober.read(Known::default());
    while !enough(&series) {
        assert!(began.elapsed() < Duration::from_secs(20), "{series:?}");
        // The prober does not signal new outcomes, so the test polls it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        series.join(prober.read(series.known())).expect("a page of ours");
    }
    series
}

/// Starts a server and returns its URL. The server calls `turn` with the number of each connection. `turn` returns the
/// delay of the answer, and the value of the answer's header `x-turn`. The header `x-request-id` differs in each
/// answer.
async fn turns(turn: impl Fn(u64) -> (Duration, String) + Clone + Send + 'static) -> String {
    let count = Arc::new(AtomicU64::new(0));
    let at = server::tcp(move |mut stream| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (delay, turn) = turn(number);
        async move {
            server::head(&mut stream).await;
            // The test needs a slow answer, so the server waits before it answers.
            tokio::time::sleep(delay).await;
            let head =
                format!("HTTP/1.1 200 OK\r\nx-turn: {turn}\r\nx-request-id: {number}\r\ncontent-length: 2\r\n\r\nok");
            stream.write_all(head.as_bytes()).await.ok();
        }
    });
    format!("http://{}/", at.await)
}

#[tokio::test]
async fn a_slow_answer_does_not_delay_the_next_question() {
    let url = turns(|number| (Duration::from_secs(u64::from(number == 0) * 2), "same".to_owned())).await;
    let mut prober = Prober::start(asking(&url, 50, 10_000));
    let series = read_until(&prober, |it| it.outcomes.len() >= 20).await;
    // The first, slow answer is still missing, although the answers to twenty later questions have arrived.
    assert!(series.in_flight >= 1, "{series:?}");
    assert!(series.outcomes.iter().all(|it| it.took_us < 2_000_000), "{series:?}");
    prober.stop().await;
    let whole = prober.read(Known::default());
    assert_eq!(whole.in_flight, 0);
    assert_eq!(whole.outcomes.iter().filter(|it| it.took_us >= 2_000_000).count(), 1);
    assert_eq!((whole.dropped, whole.broken.as_ref()), (0, None));
    // The header `x-request-id` differs in each answer. But the question compares only the header `x-turn`, so the
    // prober does not keep `x-request-id`, and all answers count as equal.
    assert_eq!(whole.kinds.len(), 1);
    assert_eq!(http_reply(&whole.kinds[0]).headers.keys().collect::<Vec<_>>(), ["x-turn"]);
    // After the stop, no further question is asked.
    tokio::time::sleep(Duration::from_millis(100)).await; // The pause is long enough for five questions.
    assert_eq!(prober.read(Known::default()), whole);
}

#[tokio::test]
async fn answers_past_the_limit_are_one_more_kind() {
    let url = turns(|number| (Duration::ZERO, number.to_string())).await;
    let mut prober = Prober::start(asking(&url, 100, 10_000));
    read_until(&prober, |it| it.outcomes.len() > KINDS_LIMIT + 5).await;
    prober.stop().await;
    let series = prober.read(Known::default());
    assert_eq!(series.kinds.len(), KINDS_LIMIT + 1);
    let last = &series.kinds[KINDS_LIMIT];
    assert!(matches!(&last.outcome, Err(Cause::Client { detail }) if detail.contains("different answers")), "{last:?}");
}

#[tokio::test]
async fn failures_are_outcomes_and_a_page_begins_where_the_last_one_ended() {
    let mut prober = Prober::start(asking("http://127.0.0.1:1/", 100, 1_000));
    let first = read_until(&prober, |it| it.outcomes.len() >= 5).await;
    prober.stop().await;
    let rest = prober.read(first.known());
    let whole = prober.read(Known::default());
    assert_eq!(whole.outcomes.len(), first.outcomes.len() + rest.outcomes.len());
    assert_eq!(whole.outcomes[first.outcomes.len()..], rest.outcomes[..]);
    assert_eq!((whole.kinds.len(), rest.kinds.len()), (1, 0));
    assert!(matches!(whole.kinds[0].outcome, Err(Cause::Connect { .. })));
}

#[tokio::test]
async fn a_dropped_prober_stops_asking() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    let at = server::tcp(move |stream| {
        counter.fetch_add(1, Ordering::Relaxed);
        async move { drop(stream) }
    });
    let prober = Prober::start(asking(&format!("http://{}/", at.await), 100, 1_000));
    read_until(&prober, |it| !it.outcomes.is_empty()).await;
    drop(prober);
    // Questions that were sent before the prober was dropped may still arrive. If the prober still asked, it would ask
    // twenty times in each pause of this loop.
    for _ in 0..50 {
        let before = asked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await; // The test must show that nothing happens in this pause.
        if asked.load(Ordering::Relaxed) == before {
            return;
        }
    }
    panic!("it still asks");
}

#[test]
fn more_files_can_be_open_than_one_prober_needs() {
    let now = || rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let before = now();
    allow_open_files();
    let after = now();
    assert_eq!(after.maximum, before.maximum);
    assert!(after.current.is_none_or(|it| it >= before.maximum.unwrap_or(u64::MAX).min(10_000)), "{after:?}");
}
