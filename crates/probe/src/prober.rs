//! The prober, which asks one question at a fixed rate. A slow answer never delays the next question (open loop). Each
//! question uses a new connection. Outcomes are stored compactly, and equal answers are stored only once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parallax_vocab::prober::{
    IN_FLIGHT_LIMIT, KINDS_LIMIT, Known, OUTCOMES_LIMIT, Outcome, PAGE, ProberQuestion, RATE_LIMIT, Series,
};
use parallax_vocab::{Answer, Cause, Evidence};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::clock::unix_ms;
use crate::trail::micros;

/// The number of files that this process should be able to have open at the same time. It is enough for about ten
/// probers that each have the largest possible number of unanswered questions.
const OPEN_FILES: u64 = 10_000;

/// A running prober. Dropping this value stops it and cancels its unanswered questions.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    asker: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    question: ProberQuestion,
    began: Instant,
    began_unix_ms: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    kinds: Vec<Answer>,
    /// For each different answer: its index in `kinds`, by the text that the function `key` returns for the answer.
    known: HashMap<String, usize>,
    asked: usize,
    dropped: u64,
    late: Duration,
    /// The time at which the next question is due; `None` before the first question.
    due: Option<Instant>,
    /// The time from the start of the prober to its stop; `None` while it runs.
    stopped: Option<Duration>,
    broken: Option<String>,
}

impl Seen {
    /// The longest delay from the time at which a question was due to the time at which it was asked. A question that
    /// is due but not asked yet counts too.
    fn late(&self) -> Duration {
        let due = self.due.filter(|_| self.stopped.is_none());
        self.late.max(due.map_or(Duration::ZERO, |due| due.elapsed()))
    }
}

impl Prober {
    /// Starts a prober. It asks its question at a fixed rate until it is stopped or dropped.
    pub fn start(question: ProberQuestion) -> Self {
        let shared =
            Arc::new(Shared { question, began: Instant::now(), began_unix_ms: unix_ms(), seen: Mutex::default() });
        let (stop, stopped) = watch::channel(false);
        let mut asker = JoinSet::new();
        asker.spawn(ask(Arc::clone(&shared), stopped));
        Self { shared, stop, asker }
    }

    /// Returns the outcomes and the different answers that the harness does not have yet, with at most one page of
    /// outcomes. `known` says how many outcomes and answers the harness has already.
    pub fn read(&self, known: Known) -> Series {
        self.shared.page(known)
    }

    /// Stops asking, and waits for the answers to the questions that are still unanswered. This takes at most the
    /// time limit of one question.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.asker.join_next().await {
            if let Err(error) = ended {
                self.shared.broke(&error.to_string());
            }
        }
    }
}

/// Raises this process's limit of open files to [`OPEN_FILES`], as far as the system allows it. Each unanswered
/// question holds a connection, which counts as an open file. The usual limit is 1,024 files, which two probers can
/// exceed. Programs that this process starts inherit the limit.
pub fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(OPEN_FILES, |most| most.min(OPEN_FILES));
    if limit.current.is_some_and(|now| now < current) {
        // If the system refuses, the limit stays as it is, and most runs need no more.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    }
}

/// Asks the question at its rate until `stop`, then waits for the answers that are missing.
async fn ask(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let rate = shared.question.rate.clamp(1, RATE_LIMIT);
    // If this loop was late, `interval` returns the missed ticks immediately. So the prober still asks each question
    // that was due.
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut in_flight = JoinSet::new();
    loop {
        if shared.seen().asked >= OUTCOMES_LIMIT {
            // The prober cannot store more outcomes. If it only stopped here, the statistics would silently leave out
            // the rest of the time. So the prober also reports the series as broken.
            shared.broke(&format!("it has reached the limit of {OUTCOMES_LIMIT} outcomes: lower its rate"));
            break;
        }
        let due = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            due = ticks.tick() => due,
        };
        while let Some(ended) = in_flight.try_join_next() {
            note_end(&shared, ended);
        }
        let full = in_flight.len() >= IN_FLIGHT_LIMIT;
        {
            let mut seen = shared.seen();
            seen.late = seen.late.max(due.elapsed());
            seen.due = Some(due.into_std() + Duration::from_secs(1) / rate);
            if full {
                seen.dropped += 1;
            } else {
                seen.asked += 1;
            }
        }
        if !full {
            let shared = Arc::clone(&shared);
            in_flight.spawn(async move {
                let at = shared.began.elapsed();
                let answer = crate::ask(&shared.question.question).await;
                shared.keep(at, answer);
            });
        }
    }
    {
        let mut seen = shared.seen();
        seen.late = seen.late();
        seen.stopped = Some(shared.began.elapsed());
    }
    while let Some(ended) = in_flight.join_next().await {
        note_end(&shared, ended);
    }
}

fn note_end(shared: &Shared, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        shared.broke(&error.to_string());
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        // No holder of this lock leaves incomplete values, so the values can be used even after a panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broke(&self, why: &str) {
        self.seen().broken.get_or_insert_with(|| why.to_owned());
    }

    fn keep(&self, at: Duration, answer: Answer) {
        let took_us = answer.evidence.took_us;
        let answer = in_short(answer, &self.question);
        let key = key(&answer);
        let mut seen = self.seen();
        let kind = match seen.known.get(&key) {
            Some(kind) => *kind,
            None if seen.kinds.len() < KINDS_LIMIT => {
                seen.kinds.push(answer);
                let kind = seen.kinds.len() - 1;
                seen.known.insert(key, kind);
                kind
            }
            None => {
                if seen.kinds.len() == KINDS_LIMIT {
                    let detail = format!("more than {KINDS_LIMIT} different answers came; this is one of the others");
                    let outcome = Err(Cause::Client { detail });
                    seen.kinds.push(Answer { outcome, evidence: Evidence::default() });
                }
                KINDS_LIMIT
            }
        };
        seen.outcomes.push(Outcome { at_us: micros(at), took_us, kind });
    }

    fn page(&self, known: Known) -> Series {
        let seen = self.seen();
        let rest = seen.outcomes.get(known.outcomes..).unwrap_or_default();
        let outcomes = rest.iter().take(PAGE).copied().collect::<Vec<_>>();
        Series {
            began_unix_ms: self.began_unix_ms,
            asked_for_us: micros(seen.stopped.unwrap_or_else(|| self.began.elapsed())),
            dropped: seen.dropped,
            in_flight: seen.asked - seen.outcomes.len(),
            late_us: micros(seen.late()),
            more: rest.len() > outcomes.len(),
            outcomes,
            kinds: seen.kinds.get(known.kinds..).unwrap_or_default().to_vec(),
            broken: seen.broken.clone(),
        }
    }
}

/// Removes the parts of an answer that differ from question to question. Otherwise no two answers would be equal.
fn in_short(answer: Answer, question: &ProberQuestion) -> Answer {
    let Answer { mut outcome, evidence } = answer;
    if let Ok(reply) = &mut outcome {
        reply.shorten(question);
    }
    // The pattern names each field of the evidence, without `..`. If somebody adds a field, the compiler reports this
    // line, and they must decide whether answers keep the field.
    let Evidence {
        chain,
        peer,
        tls_version,
        // These fields differ from question to question, so they are left out.
        started_unix_ms: _,
        took_us: _,
        dns_us: _,
        connect_us: _,
        tls_us: _,
        addresses: _,
        name_servers: _,
        dialled: _,
        local: _,
    } = evidence;
    let evidence = Evidence { chain, peer, tls_version, ..Evidence::default() };
    Answer { outcome, evidence }
}

/// Returns a text that is the same for two answers that count as equal. The text leaves out the details of a cause,
/// because they contain durations and ports.
fn key(answer: &Answer) -> String {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    for cause in value["cause"].as_object_mut().into_iter().flat_map(|it| it.values_mut()) {
        if let Some(fields) = cause.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "detail" | "waited_ms"));
        }
    }
    value.to_string()
}
