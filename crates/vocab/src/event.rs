//! The events of a run. They are the only connection from the runner to the reports.
//!
//! One writer (`crates/record`) appends each event as a line of JSON to `target/e2e/RUN/record.jsonl`. Every report,
//! including the live display, is built from events alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Reply};
use crate::cause::Cause;
use crate::course::Course;
use crate::id::{RunId, StepId, VantageId, VariantId};
use crate::question::Question;
use crate::signature::SignatureFinding;

/// One event with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// The kind of the event, with its data.
    pub event: EventKind,
}

/// The kinds of event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The first event of every record.
    RunStarted(RunStarted),
    /// An action of the harness that the user should know about, for example "installed docker.io 26.1.5".
    Note {
        /// One sentence, lower case, no full stop.
        text: String,
    },
    /// A condition that will probably cause trouble, with its fix.
    Warning {
        /// One sentence about the problem, and the fix.
        text: String,
    },
    /// A part of the environment is being set up: the engine, an image, the external network, a cluster, a namespace.
    /// Each part is a separate test case in the reports.
    SetupStarted {
        /// Stable id, for example `image/minio`, `cluster/c1`, `variant/presign/presigned-url/fixtures`.
        id: String,
        /// A description of the set-up for the user.
        title: String,
    },
    /// Progress within a set-up step. Shown live, not recorded.
    SetupProgress {
        /// The id of the set-up.
        id: String,
        /// The present activity of the set-up.
        text: String,
    },
    /// A set-up step ended.
    SetupEnded {
        /// The id of the set-up.
        id: String,
        /// The duration in milliseconds.
        took_ms: u64,
        /// The result in words for the user: `from engine`, `built in 12 s`, `ready`.
        detail: String,
        /// The reason for a failure; `None` if the set-up succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// A variant's flow begins.
    VariantStarted(VariantStarted),
    /// A step begins. Shown live, not recorded.
    StepStarted {
        /// The id of the variant.
        variant: VariantId,
        /// The id of the step.
        step: StepId,
    },
    /// A step ended.
    StepEnded(Box<StepEnded>),
    /// A variant ended.
    VariantEnded(VariantEnded),
    /// The clean-up ended. It reports what was removed, and what could not be removed.
    CleanedUp {
        /// The number of containers, networks and volumes that were removed.
        removed: usize,
        /// The objects that still exist, each with the command that removes it.
        remaining: Vec<String>,
        /// The duration in milliseconds.
        took_ms: u64,
    },
    /// The last event of every record of a run that was not killed.
    RunEnded(RunEnded),
}

impl EventKind {
    /// Whether the event is written to the record. Other events are only for the live display.
    pub fn is_recorded(&self) -> bool {
        !matches!(self, Self::SetupProgress { .. } | Self::StepStarted { .. })
    }
}

/// The text between the name of a cluster and the number of the try, if a run starts the cluster again
/// (`--retry-machine`).
pub const AGAIN: &str = "-again";

/// The version of the record format. It is incremented with each change that makes older records unreadable or makes
/// them be read wrongly.
pub const RECORD_FORMAT: u32 = 1;

/// The run and its surroundings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// The value of [`RECORD_FORMAT`] at the time when the record was written.
    pub format: u32,
    /// The id of the run.
    pub run: RunId,
    /// The version of Parallax.
    pub parallax: String,
    /// The start time, in the format of RFC 3339.
    pub started: String,
    /// The filters from the command line.
    pub filters: Vec<String>,
    /// Variants that will run, in order.
    pub variants: Vec<VariantId>,
    /// The folder of the record and the reports.
    pub directory: String,
    /// The requirements of the run in addition to the verdicts.
    #[serde(default)]
    pub demands: Demands,
    /// The seed of a random order, if one was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The command-line options that another run of one of these variants needs in order to behave like this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// The part of a larger run that this run is, if several machines share the larger run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<ShardOf>>,
}

/// A run that is a part of a larger one, which several machines do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardOf {
    /// The number of this part, from 1.
    pub number: u16,
    /// The number of parts of the whole run.
    pub of: u16,
    /// The variants of all parts, in order.
    pub whole: Vec<VariantId>,
    /// Digests of the run's input: of each scenario with its fixtures and files, and of the input that all of them
    /// share, by name. Parts with other digests belong to another run.
    pub digests: BTreeMap<String, String>,
}

/// What a run demands beyond verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Demands {
    /// Whether the run fails if there is a matcher that was never shown to be able to fail.
    #[serde(default)]
    pub proof: bool,
    /// Whether a run in which everything was skipped is accepted.
    #[serde(default)]
    pub allow_skips: bool,
}

/// A failure that the user can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The failure in one sentence, which names the resource.
    pub what: String,
    /// The instruction for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The last lines of a log, an object's status, or other proof.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A variant, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantStarted {
    /// The id of the variant.
    pub variant: VariantId,
    /// The scenario's or break's summary.
    pub summary: String,
    /// The cluster, by its name in the plan.
    pub cluster: String,
    /// The namespace of the variant.
    pub namespace: String,
    /// Host names: maps the name in the scenario to the name that the run uses.
    pub hosts: BTreeMap<String, String>,
    /// The scenario file, relative to the project.
    pub file: String,
}

/// The `kind` of a [`StepEnded`] that reports a fixture which did not become ready. Its step is `fixture.name`. A
/// fixture that became ready has no such event.
pub const READINESS: &str = "ready";

/// One step with all its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepEnded {
    /// The id of the variant.
    pub variant: VariantId,
    /// The id of the step.
    pub step: StepId,
    /// The kind of the step: `dns`, `http`, `apply` or another.
    pub kind: String,
    /// The vantage, if the step is a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<VantageId>,
    /// The verdict of the step.
    pub verdict: Verdict,
    /// The cause of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The results of all matchers of `expect`, each with whether the matcher held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matched>,
    /// The number of tries.
    pub attempts: u32,
    /// The duration in milliseconds.
    pub took_ms: u64,
    /// The deadline in milliseconds; the difference from `took_ms` is the margin.
    pub deadline_ms: u64,
    /// The last question. It is redacted when it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// The last answer that the step got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The report of the store's trace about the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Further details, such as captured values, and how long an expectation held.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
    /// The reason why the store refused a signature, as far as the run found it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<SignatureFinding>>,
    /// Whether the vantage is a pod.
    #[serde(default)]
    pub inside: bool,
    /// The steps that a blocked step needs and that did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<StepId>,
    /// The place of the step in the scenario, as `file:line`.
    pub place: String,
}

/// Whether a store gave the answer. This is so for S3, the store's token service, and the answer to a presigned URL.
pub fn is_of_a_store(reply: &Reply, question: Option<&Question>) -> bool {
    let signed =
        || question.and_then(|it| it.probe.facts().http).is_some_and(|http| http.url.contains("X-Amz-Signature"));
    let facts = reply.facts();
    facts.is_of_a_store || facts.headers.is_some() && signed()
}

impl StepEnded {
    /// Whether a store gave this answer but no trace of the store confirms it. The answers of a prober are in its tally
    /// ([`crate::tally::Tally::of_a_store`]).
    pub fn is_unconfirmed(&self) -> bool {
        let reply = self.answer.as_ref().and_then(|answer| answer.reply());
        self.witness.is_none() && reply.is_some_and(|reply| is_of_a_store(reply, self.question.as_ref()))
    }

    /// The number of tries that failed before the step passed; 0 if it passed at the first try, or did not pass.
    pub fn tries_before(&self) -> u32 {
        if self.verdict != Verdict::Passed || self.course.held.is_some() {
            return 0;
        }
        self.attempts.saturating_sub(self.course.in_row.unwrap_or(1))
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every matcher of the step held.
    Passed,
    /// A matcher did not hold, or there was no answer.
    Failed,
    /// The step was not tried, because a step that it depends on failed.
    Blocked,
}

/// One matcher and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matched {
    /// The name of the matcher in the scenario: `status`, `body`, `header.content-type`.
    pub matcher: String,
    /// Whether the matcher held.
    pub held: bool,
    /// The value that was expected.
    pub expected: String,
    /// The value that was seen.
    pub seen: String,
    /// Whether there was nothing to compare: no answer, no listing, no log. In this case the matcher did not hold, but
    /// it has not shown that it can distinguish a wrong value from a right one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// Whether a matcher that held fails on a copy of this answer that was altered in one place. This shows that the
    /// matcher compares something. Only a break shows that the system can make it fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub altered: bool,
}

impl Matched {
    /// A matcher that had something to compare.
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

    /// A matcher that had nothing to compare and therefore did not hold. `why` says what was missing.
    pub fn unseen(matcher: impl Into<String>, expected: impl Into<String>, why: impl Into<String>) -> Self {
        Self { unseen: true, ..Self::new(matcher, false, expected, why) }
    }
}

/// What the store's own trace says about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The source address of the request, as the store saw it.
    pub source: String,
    /// The `Host` header as the store saw it.
    pub host: String,
    /// Whether the address fits the vantage. For a pod, it must be the pod's address. For the outside, it must be an
    /// address through which outside clients reach the cluster.
    pub agrees: bool,
    /// The request as the store saw it, if the store refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arrived>,
}

/// A request as it arrived at the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// The method of the request.
    pub method: String,
    /// Path as the store's trace shows it: decoded, or as it was sent if its encoding is unusual.
    pub path: String,
    /// Query, as it was sent.
    pub query: String,
    /// Headers with lower-case names. Values of equal names are joined with `,`.
    pub headers: BTreeMap<String, String>,
}

/// How a variant ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantEnded {
    /// The id of the variant.
    pub variant: VariantId,
    /// The outcome of the variant.
    pub outcome: Outcome,
    /// The duration in milliseconds.
    pub took_ms: u64,
}

/// A variant's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was as declared: each expected success and each expected failure, with its cause, occurred.
    AsExpected,
    /// The system under test is not as declared.
    NotAsExpected {
        /// The differences from the declaration, in the order of the flow.
        problems: Vec<Problem>,
    },
    /// The harness, the engine or the machine failed; this says nothing about the system under test.
    Error {
        /// The description of the failure.
        failure: Failure,
    },
    /// The variant could not run on this machine.
    Skipped {
        /// The reason for this outcome.
        reason: String,
    },
    /// The run was interrupted before the variant ended.
    Interrupted,
    /// The variant was not begun, because enough other variants had failed (`--max-fail`).
    NotBegun {
        /// The reason for this outcome.
        reason: String,
    },
}

/// One difference between what was declared and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The id of the step.
    pub step: StepId,
    /// The place of the declaration, as `file:line`.
    pub place: String,
    /// One sentence: what is wrong, with the fix if one is known.
    pub sentence: String,
    /// The result that the scenario declares.
    pub expected: String,
    /// The result that was seen.
    pub seen: String,
}

/// Totals, and the exit status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunEnded {
    /// The exit status of the run.
    pub exit: Exit,
    /// The number of variants that were as expected.
    pub passed: usize,
    /// The number of variants that were not as expected or ended with an error.
    pub failed: usize,
    /// The number of variants that were skipped.
    pub skipped: usize,
    /// Matchers that were not shown to be able to fail, as `scenario: step.matcher`.
    pub unproven: Vec<String>,
    /// Matchers that failed on an altered answer, but in no break of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven_by_altered: Vec<String>,
    /// The duration in milliseconds.
    pub took_ms: u64,
    /// The reason why the run itself failed; `None` if it did not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The matchers of baselines that failed in no break, as `scenario: step.matcher`, sorted. A matcher that failed in a
/// break is fully proven and is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The matchers that failed in no break, but failed on an answer that was altered in one place.
    pub by_altered: Vec<String>,
    /// The matchers that never failed.
    pub none: Vec<String>,
}

/// Exit codes. They distinguish *your system is wrong* from *the harness or the machine failed*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Exit code 0: everything was as declared.
    AsExpected,
    /// Exit code 1: an expectation failed, or a break did not cause the declared failures.
    NotAsExpected,
    /// Exit code 2: a scenario or the command line is wrong, and nothing was started.
    Usage,
    /// Exit code 3: the harness, the engine or the machine failed.
    Harness,
    /// Exit code 130: the run was interrupted.
    Interrupted,
}

impl Exit {
    /// Returns the exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::NotAsExpected => 1,
            Self::Usage => 2,
            Self::Harness => 3,
            Self::Interrupted => 130,
        }
    }

    /// The meaning of a process's exit code; `None` for any other code.
    pub fn of_code(code: u8) -> Option<Self> {
        let all = [Self::AsExpected, Self::NotAsExpected, Self::Usage, Self::Harness, Self::Interrupted];
        all.into_iter().find(|it| it.code() == code)
    }
}
