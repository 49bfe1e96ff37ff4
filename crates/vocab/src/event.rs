//! What happens in a run: the only link from the runner to reports.
//!
//! One writer (`crates/record`) puts each event as a line of JSON into `target/e2e/RUN/record.jsonl`; every report, the
//! live display included, is made from events alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Reply};
use crate::cause::Cause;
use crate::course::Course;
use crate::id::{RunId, StepId, VantageId, VariantId};
use crate::question::Question;
use crate::signature::SignatureFinding;

/// One event with its instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// What happened.
    pub event: EventKind,
}

/// The kinds of event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// First event of every record.
    RunStarted(RunStarted),
    /// Something that the harness did and a person should know, for example "installed docker.io 26.1.5".
    Note {
        /// One sentence, lower case, no full stop.
        text: String,
    },
    /// Something that will probably hurt, with its fix.
    Warning {
        /// One sentence, and the fix.
        text: String,
    },
    /// A part of the environment is being made: engine, an image, the world, a cluster, a namespace. Each is a test
    /// case of its own in the reports.
    SetupStarted {
        /// Stable id, for example `image/minio`, `cluster/c1`, `variant/presign/presigned-url/fixtures`.
        id: String,
        /// What is being done, for people.
        title: String,
    },
    /// Progress within a set-up step. Shown live, not recorded.
    SetupProgress {
        /// The set-up's id.
        id: String,
        /// What it is doing now.
        text: String,
    },
    /// A set-up step ended.
    SetupEnded {
        /// The set-up's id.
        id: String,
        /// Duration in milliseconds.
        took_ms: u64,
        /// How it ended, for people: `from engine`, `built in 12 s`, `ready`.
        detail: String,
        /// Why it failed, where it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A variant's flow begins.
    VariantStarted(VariantStarted),
    /// What a running variant is waiting for. Shown live, not recorded.
    Waiting {
        /// Which variant.
        variant: VariantId,
        /// On what.
        on: String,
        /// The deadline in milliseconds.
        deadline_ms: u64,
    },
    /// A step begins. Shown live, not recorded.
    StepStarted {
        /// Which variant.
        variant: VariantId,
        /// Which step.
        step: StepId,
    },
    /// A step ended.
    StepEnded(Box<StepEnded>),
    /// A variant ended.
    VariantEnded(VariantEnded),
    /// What was removed at the end, and what could not be.
    CleanedUp {
        /// Containers, networks and volumes removed.
        removed: usize,
        /// What is still there, each with the command that removes it.
        remaining: Vec<String>,
        /// Duration in milliseconds.
        took_ms: u64,
    },
    /// Last event of every record that ended in order.
    RunEnded(RunEnded),
}

impl EventKind {
    /// Whether the event belongs into the record, or is for the live display only.
    pub fn is_recorded(&self) -> bool {
        !matches!(self, Self::SetupProgress { .. } | Self::Waiting { .. } | Self::StepStarted { .. })
    }
}

/// The format of records. It goes up with each change after which a record of before cannot be read any more, or would be
/// read wrongly.
pub const RECORD_FORMAT: u32 = 1;

/// The run and its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// [`RECORD_FORMAT`], as it was when the record was written.
    pub format: u32,
    /// The run's id.
    pub run: RunId,
    /// Parallax's version.
    pub parallax: String,
    /// RFC 3339.
    pub started: String,
    /// Filters as given.
    pub filters: Vec<String>,
    /// Variants that will run, in order.
    pub variants: Vec<VariantId>,
    /// Where the record and the reports go.
    pub directory: String,
    /// What the run demands beyond verdicts.
    #[serde(default)]
    pub demands: Demands,
    /// The seed of a random order, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What a run demands beyond verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Demands {
    /// A matcher that nothing has shown to be able to fail makes the run red.
    #[serde(default)]
    pub proof: bool,
    /// A run in which everything was skipped is accepted.
    #[serde(default)]
    pub allow_skips: bool,
}

/// A failure that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What failed: one sentence that names the resource.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Last lines of a log, an object's status, whatever proves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A variant and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantStarted {
    /// Which variant.
    pub variant: VariantId,
    /// The scenario's or break's summary.
    pub summary: String,
    /// The cluster, by its name in the plan.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Host names: as the scenario says → as the run uses.
    pub hosts: BTreeMap<String, String>,
    /// The scenario file, relative to the project.
    pub file: String,
}

/// The kind of a [`StepEnded`] that stands for the readiness of a fixture: its step is `fixture.name`, and it is there
/// only where it did not come.
pub const READINESS: &str = "ready";

/// One step with all its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepEnded {
    /// Which variant.
    pub variant: VariantId,
    /// Which step.
    pub step: StepId,
    /// `dns`, `http`, `apply`, …
    pub kind: String,
    /// From which vantage, where it is a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<VantageId>,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Each matcher of `expect` and whether it held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matched>,
    /// How often it was tried.
    pub attempts: u32,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// The deadline in milliseconds: with `took_ms`, the margin.
    pub deadline_ms: u64,
    /// The last question, redacted when written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// The last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What the server itself says about who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// How it went: captures, how long it held.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
    /// What was found out about a signature that the store refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<SignatureFinding>>,
    /// Whether the vantage is a pod.
    #[serde(default)]
    pub inside: bool,
    /// Of a blocked step: the steps that it needs and that did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<StepId>,
    /// `file:line` of the step in the scenario.
    pub place: String,
}

/// Whether an answer is a store's: of S3 or of its token service, or what a signed URL brought.
pub fn is_of_a_store(reply: &Reply, question: Option<&Question>) -> bool {
    match reply {
        Reply::S3(_) | Reply::Sts(_) => true,
        Reply::Http(_) => {
            question.and_then(|it| it.probe.http()).is_some_and(|http| http.url.contains("X-Amz-Signature"))
        }
        _ => false,
    }
}

impl StepEnded {
    /// Whether a store's answer is one that no trace of a store confirms.
    pub fn is_unconfirmed(&self) -> bool {
        let reply = self.answer.as_ref().and_then(|answer| answer.reply());
        self.witness.is_none() && reply.is_some_and(|reply| is_of_a_store(reply, self.question.as_ref()))
    }

    /// How many tries did not hold before it came to hold; none where it did at once, or did not.
    pub fn tries_before(&self) -> u32 {
        if self.verdict != Verdict::Passed || self.course.held.is_some() {
            return 0;
        }
        self.attempts.saturating_sub(self.course.in_row.unwrap_or(1))
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every matcher held.
    Passed,
    /// One did not, or nothing came back.
    Failed,
    /// A step it depends on failed; it was not tried.
    Blocked,
}

/// One matcher and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matched {
    /// Name as in the scenario: `status`, `body`, `header.content-type`.
    pub matcher: String,
    /// Whether it held.
    pub held: bool,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether there was nothing to compare with: no answer, no listing, no log. It then did not hold, and has not shown that
    /// it can tell a wrong value from a right one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// Of one that held: whether it says no of an answer that differs from this one in one place. It shows that the matcher
    /// compares; that the system can turn it red, only a break shows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub altered: bool,
}

impl Matched {
    /// A matcher that was compared with something.
    pub fn new(matcher: impl Into<String>, held: bool, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            matcher: matcher.into(),
            held,
            expected: expected.into(),
            seen: seen.into(),
            unseen: false,
            altered: false,
        }
    }

    /// A matcher that had nothing to look at: it did not hold. `why` says what was missing.
    pub fn unseen(matcher: impl Into<String>, expected: impl Into<String>, why: impl Into<String>) -> Self {
        Self { unseen: true, ..Self::new(matcher, false, expected, why) }
    }
}

/// What the store's own trace says of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Address that the request came from, as the store saw it.
    pub source: String,
    /// `Host` as the store saw it.
    pub host: String,
    /// Whether the address is where the vantage is: a pod's for a pod, anything else for the outside.
    pub agrees: bool,
    /// The request itself as the store saw it, where it refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arrived>,
}

/// A request as it arrived at the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// Method.
    pub method: String,
    /// Path as the store's trace shows it: decoded, or as it was sent where its encoding is unusual.
    pub path: String,
    /// Query, as it was sent.
    pub query: String,
    /// Headers with lower-case names; values of equal names joined with `,`.
    pub headers: BTreeMap<String, String>,
}

/// How a variant ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantEnded {
    /// Which variant.
    pub variant: VariantId,
    /// How it ended.
    pub outcome: Outcome,
    /// Duration in milliseconds.
    pub took_ms: u64,
}

/// A variant's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was as declared: what should hold held, what should fail failed, with its cause.
    AsExpected,
    /// The system under test is not as declared.
    NotAsExpected {
        /// Each difference, in the flow's order.
        problems: Vec<Problem>,
    },
    /// The harness, the engine or the machine failed; nothing is said about the system under test.
    Error {
        /// What failed.
        failure: Failure,
    },
    /// It could not run here.
    Skipped {
        /// Why.
        reason: String,
    },
    /// The run was interrupted before it ended.
    Interrupted,
}

/// One difference between what was declared and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Which step.
    pub step: StepId,
    /// `file:line` of the declaration.
    pub place: String,
    /// One sentence: what is wrong, with the fix where one is known.
    pub sentence: String,
    /// What was declared.
    pub expected: String,
    /// What was seen.
    pub seen: String,
}

/// Totals and the way the process ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEnded {
    /// How the process ends.
    pub exit: Exit,
    /// Variants as expected.
    pub passed: usize,
    /// Variants not as expected, or with an error.
    pub failed: usize,
    /// Variants skipped.
    pub skipped: usize,
    /// Matchers that nothing has shown to be able to fail, as `scenario: step.matcher`.
    pub unproven: Vec<String>,
    /// Matchers that no break of the run turned red, and an altered answer did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven_by_altered: Vec<String>,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// Why the run itself failed, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What is known of the matchers of baselines, as `scenario: step.matcher`, sorted. Those that a break turned red are not named:
/// a fault of the system has shown what there is to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// No break turned them red, and each said no of an answer that was altered in one place.
    pub by_altered: Vec<String>,
    /// Nothing turned them red.
    pub none: Vec<String>,
}

/// Exit codes. They tell *your system is wrong* from *the harness or the machine failed*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// 0: everything was as declared.
    AsExpected,
    /// 1: an expectation failed, or a break did not break.
    NotAsExpected,
    /// 2: a scenario or the command line is wrong; nothing was started.
    Usage,
    /// 3: the harness, the engine or the machine failed.
    Harness,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::NotAsExpected => 1,
            Self::Usage => 2,
            Self::Harness => 3,
            Self::Interrupted => 130,
        }
    }
}
