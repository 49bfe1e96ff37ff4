//! Hand-made events of runs, for the tests of the reports.

use std::collections::BTreeMap;

use parallax_record::GAVE_UP;
use parallax_vocab::answer::{Evidence, HttpReply, Reply, S3Error};
use parallax_vocab::course::{Course, Figure, Moment, Round};
use parallax_vocab::event::{
    Demands, Failure, Matched, Outcome, Problem, Proof, RECORD_FORMAT, RunStarted, StepEnded, VariantEnded,
    VariantStarted, Verdict, Witness,
};
use parallax_vocab::question::{HttpQuestion, Probe, Question, View};
use parallax_vocab::{Answer, Cause, Certificate, DnsFault, Event, EventKind, TlsFault};

use super::Summary;

const FILE: &str = "scenarios/presign/presigned-url/scenario.yaml";
const BASELINE: &str = "presign/presigned-url";
const NO_REWRITE: &str = "presign/presigned-url+no-rewrite";

/// Builds the events of a run, one after the other. `at_ms` is the time of the next event.
struct Tape {
    at_ms: u64,
    events: Vec<Event>,
}

impl Tape {
    fn new(variants: &[&str]) -> Self {
        let mut tape = Self { at_ms: 0, events: Vec::new() };
        tape.say(
            3,
            EventKind::RunStarted(RunStarted {
                format: RECORD_FORMAT,
                run: "r5f09a2c1".into(),
                parallax: "0.1.0".into(),
                started: "2026-11-22T15:00:00Z".into(),
                filters: vec!["presign".into()],
                variants: variants.iter().map(|id| (*id).into()).collect(),
                directory: "target/e2e/r5f09a2c1".into(),
                demands: Demands::default(),
                seed: None,
                again: vec!["--k3s".into(), "built".into()],
                shard: None,
                standing: false,
                versions: Vec::new(),
            }),
        );
        tape
    }

    fn demand(&mut self, demands: Demands) {
        if let EventKind::RunStarted(started) = &mut self.events[0].event {
            started.demands = demands;
        }
    }

    fn say(&mut self, after_ms: u64, event: EventKind) {
        self.at_ms += after_ms;
        self.events.push(Event { at_ms: self.at_ms, event });
    }

    fn setup(&mut self, id: &str, title: &str, took_ms: u64, detail: &str, error: Option<Failure>) {
        self.say(0, EventKind::SetupStarted { id: id.into(), title: title.into() });
        self.say(took_ms, EventKind::SetupEnded { id: id.into(), took_ms, detail: detail.into(), error });
    }

    fn environment(&mut self) {
        self.setup("engine", "find the container engine", 40, "Docker 26.1.5", None);
        self.setup("image/minio", "obtain minio", 900, "from engine", None);
        self.setup("cluster/c1", "cluster c1 (source-built node)", 10_100, "ready", None);
    }

    fn begin(&mut self, variant: &str) {
        self.setup("environment/p-1", "namespace p-1 with 2 fixtures", 2_100, "ready", None);
        self.say(
            0,
            EventKind::VariantStarted(VariantStarted {
                variant: variant.into(),
                summary: "A URL signed on one side of the cluster's edge opens on the other".into(),
                cluster: "c1".into(),
                namespace: "p-1".into(),
                hosts: BTreeMap::from([("minio.example.com".into(), "minio-1.r5f09a2c1.example.com".into())]),
                file: FILE.into(),
            }),
        );
    }

    fn step(&mut self, step: StepEnded) {
        self.say(step.took_ms, EventKind::StepEnded(Box::new(step)));
    }

    fn end(&mut self, variant: &str, outcome: Outcome) {
        self.say(1, EventKind::VariantEnded(VariantEnded { variant: variant.into(), outcome, took_ms: 3_300 }));
    }

    fn finish(mut self, unproven: &[&str], failure: Option<Failure>, interrupted: bool) -> Vec<Event> {
        self.say(1_800, EventKind::CleanedUp { removed: 5, elsewhere: false, remaining: vec![], took_ms: 1_800 });
        let none = unproven.iter().map(|text| (*text).to_owned()).collect();
        let by_altered = vec!["presign/presigned-url: put.status".to_owned()];
        let ended =
            Summary::from_events(&self.events).ending(Proof { by_altered, none }, failure, interrupted, self.at_ms);
        self.say(0, EventKind::RunEnded(ended));
        self.events
    }
}

pub(super) fn step(variant: &str, id: &str, line: u32) -> StepEnded {
    StepEnded {
        variant: variant.into(),
        step: id.into(),
        kind: "http".into(),
        from: Some("app".into()),
        verdict: Verdict::Passed,
        cause: None,
        matchers: vec![Matched::new("status", true, "200", "200")],
        attempts: 1,
        took_ms: 400,
        deadline_ms: 30_000,
        question: Some(Question {
            view: View::default(),
            deadline_ms: 10_000,
            probe: Probe::Http(HttpQuestion::new(
                "GET",
                "https://minio-1.r5f09a2c1.example.com/photos/a.txt?X-Amz-Signature=[redacted]",
            )),
        }),
        answer: None,
        witness: None,
        course: Course::default(),
        signature: None,
        inside: true,
        blocked_by: Vec::new(),
        place: format!("{FILE}:{line}"),
    }
}

pub(super) fn refused(mut step: StepEnded) -> StepEnded {
    step.verdict = Verdict::Failed;
    step.cause = Some(Cause::Status {
        status: 403,
        s3: Some("SignatureDoesNotMatch".into()),
        detail: "The request signature we calculated does not match".into(),
    });
    step.matchers = vec![Matched::new("status", false, "200", "403")];
    step.answer = Some(Answer {
        outcome: Ok(Reply::Http(HttpReply {
            status: 403,
            headers: BTreeMap::new(),
            body: "<Error/>".into(),
            body_bytes: 8,
            body_sha256: String::new(),
            s3_error: Some(S3Error {
                code: "SignatureDoesNotMatch".into(),
                message: "The request signature we calculated does not match".into(),
            }),
        })),
        evidence: Evidence {
            addresses: vec!["10.43.0.17".parse().expect("an address")],
            peer: Some("10.43.0.17:443".parse().expect("an address")),
            dialled: Some("127.0.0.1:33001".parse().expect("an address")),
            ..Evidence::default()
        },
    });
    step.witness = Some(Witness {
        source: "10.42.0.9".into(),
        host: "minio-1.r5f09a2c1.example.com".into(),
        agrees: true,
        request: None,
    });
    step
}

pub(super) fn untrusted(mut step: StepEnded) -> StepEnded {
    let cause =
        Cause::Tls { fault: TlsFault::UnknownAuthority, detail: "invalid peer certificate: UnknownIssuer".into() };
    step.verdict = Verdict::Failed;
    step.cause = Some(cause.clone());
    step.matchers.clear();
    step.answer = Some(Answer {
        outcome: Err(cause),
        evidence: Evidence {
            addresses: vec!["10.43.0.17".parse().expect("an address")],
            peer: Some("10.43.0.17:443".parse().expect("an address")),
            chain: vec![Certificate {
                subject: "CN=minio".into(),
                issuer: "CN=run r5f09a2c1".into(),
                serial: "01".into(),
                names: vec!["minio-1.r5f09a2c1.example.com".into()],
                not_before: "2026-11-22T14:00:00Z".into(),
                not_after: "2026-11-29T15:00:00Z".into(),
                sha256: "00".into(),
            }],
            ..Evidence::default()
        },
    });
    step
}

pub(super) fn no_such_name(mut step: StepEnded) -> StepEnded {
    step.verdict = Verdict::Failed;
    step.cause = Some(Cause::Dns {
        fault: DnsFault::NoSuchName,
        detail: "minio-1.r5f09a2c1.example.com: 10.43.0.10 says NXDOMAIN".into(),
    });
    step.matchers.clear();
    step
}

fn blocked(mut step: StepEnded) -> StepEnded {
    step.verdict = Verdict::Blocked;
    step.matchers.clear();
    step.attempts = 0;
    step.took_ms = 0;
    step
}

/// The events of a run in which everything is as declared, and one matcher is unproven.
pub(crate) fn all_good() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, NO_REWRITE]);
    tape.environment();
    tape.begin(BASELINE);
    tape.step(step(BASELINE, "inside", 14));
    tape.step(step(BASELINE, "outside", 15));
    tape.end(BASELINE, Outcome::AsExpected);
    tape.begin(NO_REWRITE);
    tape.step(no_such_name(step(NO_REWRITE, "inside", 14)));
    tape.step(blocked(step(NO_REWRITE, "outside", 15)));
    tape.end(NO_REWRITE, Outcome::AsExpected);
    tape.finish(&["presign/presigned-url: outside.body"], None, false)
}

/// The events of a run whose baseline fails in two steps.
pub(crate) fn expectation_failed() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE]);
    tape.environment();
    tape.begin(BASELINE);
    tape.step(refused(step(BASELINE, "inside", 14)));
    tape.step(untrusted(step(BASELINE, "outside", 15)));
    let problems = vec![
        Problem {
            step: "inside".into(),
            place: format!("{FILE}:14"),
            sentence: "the store refused the signature: the Host it saw is not the Host that was signed".into(),
            expected: "status 200".into(),
            seen: "status 403, s3 SignatureDoesNotMatch".into(),
        },
        Problem {
            step: "outside".into(),
            place: format!("{FILE}:15"),
            sentence: "the certificate's issuer is not trusted here: give the vantage `trust: [ca]`".into(),
            expected: "status 200".into(),
            seen: "tls: unknown-authority".into(),
        },
    ];
    tape.end(BASELINE, Outcome::NotAsExpected { problems });
    tape.finish(&[], None, false)
}

/// The events of a run with a break that declares that a step fails. The step passes, so the break is not as declared.
pub(crate) fn break_did_not_break() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, NO_REWRITE]);
    tape.environment();
    tape.begin(BASELINE);
    tape.step(step(BASELINE, "inside", 14));
    tape.end(BASELINE, Outcome::AsExpected);
    tape.begin(NO_REWRITE);
    tape.step(step(NO_REWRITE, "inside", 14));
    let problem = Problem {
        step: "inside".into(),
        place: format!("{FILE}:19"),
        sentence: "the break did not break: `inside` still passes".into(),
        expected: "dns: no-such-name".into(),
        seen: "passed".into(),
    };
    tape.end(NO_REWRITE, Outcome::NotAsExpected { problems: vec![problem] });
    let unproven: Vec<String> = (1..=7).map(|n| format!("presign/presigned-url: step{n}.status")).collect();
    tape.finish(&unproven.iter().map(String::as_str).collect::<Vec<_>>(), None, false)
}

/// The events of a run in which one image cannot be built. Therefore the harness gives up the set-up of another image.
/// Such a run says nothing about the system under test.
pub(crate) fn harness_failed() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, NO_REWRITE]);
    tape.setup("engine", "find the container engine", 40, "Docker 26.1.5", None);
    tape.say(0, EventKind::Warning { text: "only 3.1 GB are free where the engine keeps images: free 5 GB".into() });
    let failure = Failure {
        what: "building image minio failed at step `go install`".into(),
        fix: Some("free some disk space, then `parallax images build minio`".into()),
        evidence: (1..=25).map(|n| format!("go: line {n}")).collect(),
    };
    tape.setup("image/minio", "obtain minio", 12_000, "failed", Some(failure.clone()));
    let given_up = Failure { what: "image/pause was given up".into(), fix: None, evidence: vec![] };
    tape.setup("image/pause", "obtain pause", 12_000, GAVE_UP, Some(given_up));
    for variant in [BASELINE, NO_REWRITE] {
        tape.end(variant, Outcome::Error { failure: failure.clone() });
    }
    tape.finish(&[], None, false)
}

/// The events of a run that Ctrl-C stopped in the first variant. One object of the run could not be removed.
pub(crate) fn interrupted() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, NO_REWRITE]);
    tape.environment();
    tape.begin(BASELINE);
    tape.step(step(BASELINE, "inside", 14));
    tape.end(BASELINE, Outcome::Interrupted);
    let remaining = vec!["network parallax-r5f09a2c1: docker network rm parallax-r5f09a2c1".into()];
    tape.say(0, EventKind::CleanedUp { removed: 4, elsewhere: false, remaining, took_ms: 900 });
    let ended = Summary::from_events(&tape.events).ending(Proof::default(), None, true, tape.at_ms);
    tape.say(0, EventKind::RunEnded(ended));
    tape.events
}

/// The events of a run with a figure that was measured in two rounds. The second round was void at first and was run
/// again.
pub(crate) fn measured() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE]);
    tape.environment();
    tape.begin(BASELINE);
    let moment = |unix_ms: u64, what: &str| Moment { unix_ms, what: what.into() };
    let mut round = |number: u32, moments: Vec<Moment>, void: Option<&str>| {
        let mut inner = step(BASELINE, "crash", 14);
        let round = Round { of: "kills".into(), number, times: 2, seed: 42, after_ms: Some(1_700) };
        inner.course = Course { moments, void: void.map(Into::into), round: Some(round), ..Course::default() };
        tape.step(inner);
    };
    round(1, vec![moment(1_000, "the pod is killed")], None);
    round(2, vec![moment(9_000, "the pod is killed")], Some("the kubelet began container app again"));
    let killed = moment(20_250, "the pod is killed");
    round(2, vec![killed, moment(20_000, "row 7 is acknowledged"), moment(23_000, "the pod is back")], None);
    let mut loss = step(BASELINE, "loss", 20);
    let (name, of, unit) = ("acknowledged writes lost by a crash".into(), "kills".into(), "ms".into());
    let figure = Figure { name, of, unit, count: 2, least: 12.0, median: 12.0, worst: 640.0, worst_round: 2, void: 1 };
    loss.course.figure = Some(figure);
    tape.step(loss);
    tape.end(BASELINE, Outcome::AsExpected);
    tape.finish(&[], None, false)
}

/// The events of a run with one variant that cannot run on this machine.
pub(crate) fn skipped() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, "contract"]);
    tape.environment();
    tape.begin(BASELINE);
    tape.step(step(BASELINE, "inside", 14));
    tape.end(BASELINE, Outcome::AsExpected);
    tape.end(
        "contract",
        Outcome::Skipped { reason: "the published k3s image cannot be had: no registry answers".into() },
    );
    tape.finish(&[], None, false)
}

/// The events of a run in which everything is as declared. Proof was demanded, but seven matchers are unproven.
pub(crate) fn unproven() -> Vec<Event> {
    let mut tape = Tape::new(&[BASELINE, NO_REWRITE]);
    tape.demand(Demands { proof: true, allow_skips: false });
    tape.environment();
    tape.begin(BASELINE);
    tape.step(step(BASELINE, "inside", 14));
    tape.end(BASELINE, Outcome::AsExpected);
    tape.end(NO_REWRITE, Outcome::AsExpected);
    let unproven: Vec<String> = (1..=7).map(|n| format!("presign/presigned-url: step{n}.status")).collect();
    tape.finish(&unproven.iter().map(String::as_str).collect::<Vec<_>>(), None, false)
}

/// The events of a run in which every variant was skipped. `accepted` says whether the user allows such a run
/// (`--allow-skips`).
pub(crate) fn only_skips(accepted: bool) -> Vec<Event> {
    let mut tape = Tape::new(&["contract"]);
    tape.demand(Demands { proof: false, allow_skips: accepted });
    tape.environment();
    tape.end(
        "contract",
        Outcome::Skipped { reason: "the published k3s image cannot be had: no registry answers".into() },
    );
    tape.finish(&[], None, false)
}

/// The events of a run that was killed in the middle of a variant.
pub(crate) fn killed() -> Vec<Event> {
    let mut events = all_good();
    events.truncate(16);
    events
}
