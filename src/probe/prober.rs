//! A prober at a vantage: in this process, or in the agent at the other end of a session. An outcome is the result of
//! one question. Each read fetches the outcomes that are new since the last read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parallax_vocab::prober::{Known, OUTCOMES_LIMIT, PAGE, ProberOrder, ProberQuestion, Series};

use super::{ProbeError, Session};
use parallax_record::Noted as _;

/// The time limit for an agent to carry out an order to a prober: start, read, stop or end. The limit does not include
/// the time that a prober waits for the answers to its own questions.
const ORDER_LIMIT: Duration = Duration::from_secs(5);
/// The number that the next prober gets. All sessions share this counter, so no two probers have the same number.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A running prober, and all outcomes that have been read from it so far.
#[derive(Debug)]
pub struct Prober {
    place: Place,
    /// The time limit of one question of the prober. After the prober is stopped, the last answers arrive within this
    /// time.
    deadline: Duration,
    series: Series,
}

#[derive(Debug)]
enum Place {
    Here(parallax_probe::Prober),
    There { session: Arc<Session>, number: u64 },
}

impl Place {
    fn in_words(&self) -> String {
        match self {
            Self::Here(_) => "the harness itself".to_owned(),
            Self::There { session, .. } => session.place().to_owned(),
        }
    }
}

impl Prober {
    pub(super) fn here(question: ProberQuestion) -> Self {
        let deadline = Duration::from_millis(question.question.deadline_ms);
        Self { place: Place::Here(parallax_probe::Prober::start(question)), deadline, series: Series::default() }
    }

    pub(super) async fn there(session: Arc<Session>, question: ProberQuestion) -> Result<Self, ProbeError> {
        let deadline = Duration::from_millis(question.question.deadline_ms);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        session.prober(number, ProberOrder::Start(Box::new(question)), ORDER_LIMIT).await?;
        Ok(Self { place: Place::There { session, number }, deadline, series: Series::default() })
    }

    /// Reads the new outcomes, and returns all outcomes so far.
    pub async fn read(&mut self) -> Result<&Series, ProbeError> {
        self.pages(ProberOrder::Read).await
    }

    /// Stops asking, waits for the answers that have not arrived yet, and returns all outcomes. Later reads return the
    /// same outcomes.
    pub async fn stop(&mut self) -> Result<&Series, ProbeError> {
        self.pages(ProberOrder::Stop).await
    }

    /// Stops the prober without reading its outcomes. If the prober's session broke, the agent has already stopped the
    /// prober.
    pub async fn end(self) {
        if let Place::There { session, number } = self.place {
            session.prober(number, ProberOrder::End, ORDER_LIMIT).await.noted("end a prober");
        }
    }

    async fn pages(&mut self, order: fn(Known) -> ProberOrder) -> Result<&Series, ProbeError> {
        // The loop is limited, because an agent may be broken: it may report more outcomes than a prober keeps, or
        // always announce another page.
        for _ in 0..=OUTCOMES_LIMIT.div_ceil(PAGE) {
            let page = self.page(order(self.series.known())).await?;
            if let Some(why) = page.broken {
                return Err(ProbeError::Prober { why });
            }
            self.series.join(page).map_err(|why| ProbeError::Garbled { place: self.place.in_words(), why })?;
            if !self.series.more {
                return Ok(&self.series);
            }
        }
        Err(ProbeError::Prober { why: format!("it tells of more than {OUTCOMES_LIMIT} outcomes") })
    }

    async fn page(&mut self, order: ProberOrder) -> Result<Series, ProbeError> {
        match (&mut self.place, order) {
            (Place::There { session, number }, order) => {
                session.prober(*number, order, ORDER_LIMIT + self.deadline).await
            }
            (Place::Here(prober), ProberOrder::Stop(known)) => {
                prober.stop().await;
                Ok(prober.read(known))
            }
            (Place::Here(prober), ProberOrder::Read(known)) => Ok(prober.read(known)),
            (Place::Here(_), ProberOrder::Start(_) | ProberOrder::End) => Ok(Series::default()),
        }
    }
}
