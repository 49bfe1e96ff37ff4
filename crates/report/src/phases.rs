//! Computes the time that each phase of a run took.

use parallax_vocab::{Event, EventKind};

/// The wall-clock time of each phase of a run, in milliseconds. Phases may overlap: an environment may be set up while
/// another cluster starts. So the sum of the phases may differ from the total. If several things of one phase happen at
/// the same time, this time counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// The time for finding the engine, or for installing and starting it.
    pub engine_ms: u64,
    /// The time for obtaining images.
    pub images_ms: u64,
    /// The time for starting clusters and their external networks, until they are ready.
    pub cluster_ms: u64,
    /// The time for setting up the fixtures of environments, until they are ready.
    pub fixtures_ms: u64,
    /// The time for running the steps of the flows.
    pub probes_ms: u64,
    /// The time for removing all objects of the run.
    pub clean_up_ms: u64,
    /// The time of the whole run.
    pub total_ms: u64,
    /// The time that the harness itself needs. In this time, no cluster was starting and no step was running. The time
    /// for which `parallax up` keeps an environment does not count, because the harness then waits for a user.
    pub harness_ms: u64,
}

type Span = (u64, u64);

impl Phases {
    /// Computes the time of each phase from the events of a run.
    pub fn from_events(events: &[Event]) -> Self {
        let mut spans: [Vec<Span>; 6] = Default::default();
        let mut open: Vec<(&str, u64)> = Vec::new();
        let last_ms = events.last().map_or(0, |event| event.at_ms);
        let (mut stands, mut ready_ms) = (false, None);
        for event in events {
            let ended = |took_ms: u64| (event.at_ms.saturating_sub(took_ms), event.at_ms);
            match &event.event {
                EventKind::RunStarted(run) => stands = run.standing,
                EventKind::SetupStarted { id, .. } => open.push((id, event.at_ms)),
                EventKind::SetupEnded { id, took_ms, .. } => {
                    if let Some(index) = open.iter().rposition(|(started, _)| started == id) {
                        open.remove(index);
                    }
                    if let Some(phase) = phase_of(id) {
                        spans[phase].push(ended(*took_ms));
                        ready_ms = ready_ms.or((phase == FIXTURES).then_some(event.at_ms));
                    }
                }
                EventKind::StepEnded(step) => spans[PROBES].push(ended(step.took_ms)),
                EventKind::CleanedUp { took_ms, .. } => spans[CLEAN_UP].push(ended(*took_ms)),
                _ => {}
            }
        }
        for (id, started_ms) in open {
            if let Some(phase) = phase_of(id) {
                spans[phase].push((started_ms, last_ms));
            }
        }
        let down_ms = spans[CLEAN_UP].first().map_or(last_ms, |(from, _)| *from);
        let stood = ready_ms.filter(|_| stands).map(|ready_ms| (ready_ms, down_ms));
        let excused: Vec<Span> = spans[CLUSTER].iter().chain(&spans[PROBES]).copied().chain(stood).collect();
        let [engine, images, cluster, fixtures, probes, clean_up] = spans.map(covered);
        Self {
            engine_ms: engine,
            images_ms: images,
            cluster_ms: cluster,
            fixtures_ms: fixtures,
            probes_ms: probes,
            clean_up_ms: clean_up,
            total_ms: last_ms,
            harness_ms: last_ms.saturating_sub(covered(excused)),
        }
    }

    /// Returns the name and the duration of each phase, in milliseconds, in the order of the run.
    pub fn rows(&self) -> [(&'static str, u64); 6] {
        [
            ("engine", self.engine_ms),
            ("images", self.images_ms),
            ("cluster", self.cluster_ms),
            ("fixtures", self.fixtures_ms),
            ("probes", self.probes_ms),
            ("clean-up", self.clean_up_ms),
        ]
    }
}

const ENGINE: usize = 0;
const IMAGES: usize = 1;
const CLUSTER: usize = 2;
const FIXTURES: usize = 3;
const PROBES: usize = 4;
const CLEAN_UP: usize = 5;

/// Returns the index of the phase to which a set-up step belongs, by the first part of the step's id. `None` if the
/// step belongs to no phase.
fn phase_of(id: &str) -> Option<usize> {
    match id.split('/').next() {
        Some("engine") => Some(ENGINE),
        Some("image") => Some(IMAGES),
        Some("cluster") => Some(CLUSTER),
        Some("environment") => Some(FIXTURES),
        _ => None,
    }
}

/// The total time that `spans` cover, in milliseconds. Overlapping parts count once.
fn covered(mut spans: Vec<Span>) -> u64 {
    spans.sort_unstable();
    let mut total = 0;
    let mut reached = 0;
    for (from, to) in spans {
        let from = from.max(reached);
        if to > from {
            total += to - from;
            reached = to;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_work_counts_once() {
        let table: [(&[Span], u64); 5] = [
            (&[], 0),
            (&[(0, 10), (5, 15)], 15),
            (&[(5, 15), (0, 20)], 20),
            (&[(0, 10), (20, 30)], 20),
            (&[(0, 10), (10, 20), (20, 20)], 20),
        ];
        for (spans, length) in table {
            assert_eq!(covered(spans.to_vec()), length, "{spans:?}");
        }
    }

    #[test]
    fn the_harness_is_what_neither_cluster_nor_probes_took() {
        let ended = |at_ms, id: &str, took_ms| Event {
            at_ms,
            event: EventKind::SetupEnded { id: id.into(), took_ms, detail: String::new(), error: None },
        };
        let events = [
            ended(1_000, "engine", 500),
            ended(8_000, "cluster/c1", 6_000),
            ended(9_000, "cluster/c2", 6_000),
            ended(10_000, "environment/a", 900),
            Event {
                at_ms: 12_000,
                event: EventKind::CleanedUp { removed: 1, elsewhere: false, remaining: vec![], took_ms: 2_000 },
            },
        ];
        let phases = Phases::from_events(&events);
        assert_eq!((phases.cluster_ms, phases.fixtures_ms, phases.clean_up_ms), (7_000, 900, 2_000));
        assert_eq!((phases.total_ms, phases.harness_ms), (12_000, 5_000));
    }

    #[test]
    fn the_time_for_which_an_environment_is_kept_is_not_the_harness() {
        let started = |standing| {
            let started = serde_json::json!({ "format": 1, "run": "r1", "parallax": "", "started": "", "filters": [],
                "variants": [], "directory": "", "standing": standing });
            let event = EventKind::RunStarted(serde_json::from_value(started).expect("a run"));
            Event { at_ms: 0, event }
        };
        let [ready, removed] = [
            EventKind::SetupEnded { id: "environment/a".into(), took_ms: 900, detail: String::new(), error: None },
            EventKind::CleanedUp { removed: 1, elsewhere: false, remaining: vec![], took_ms: 400 },
        ];
        let of = |standing| {
            let (ready, removed) = (ready.clone(), removed.clone());
            let events =
                [started(standing), Event { at_ms: 1_000, event: ready }, Event { at_ms: 61_400, event: removed }];
            Phases::from_events(&events).harness_ms
        };
        assert_eq!((of(false), of(true)), (61_400, 1_400));
    }

    #[test]
    fn a_step_that_never_ended_counts_to_the_end_of_the_record() {
        let events = [
            Event { at_ms: 100, event: EventKind::SetupStarted { id: "image/minio".into(), title: String::new() } },
            Event { at_ms: 700, event: EventKind::Note { text: String::new() } },
        ];
        assert_eq!(Phases::from_events(&events).images_ms, 600);
    }
}
