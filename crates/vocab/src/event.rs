//! The events of a run. Reports learn about a run only through its events.
//!
//! One writer (`crates/record`) appends each event as a line of JSON to `target/e2e/RUN/record.jsonl`. Every report is
//! built from events alone, also the live display.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Reply};
use crate::cause::Cause;
use crate::course::Course;
pub use crate::exit::Exit;
use crate::id::{RunId, StepId, VantageId, VariantId};
pub use crate::problem::{BLOCKED, FAILURE, Problem};
use crate::question::Question;
use crate::signature::SignatureFinding;
use crate::versions::Versions;

/// One event with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The time since the run began, in milliseconds.
    pub at_ms: u64,
    /// The kind of the event, with its data.
    pub event: EventKind,
}

/// What happened in a run, with its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// The run begins. This is the first event of every record.
    RunStarted(RunStarted),
    /// The harness did something that the user should know about, for example "installed docker.io 26.1.5".
    Note {
        /// One sentence in lower case, without a full stop.
        text: String,
    },
    /// The harness noticed something that will probably cause a problem. The warning contains the fix.
    Warning {
        /// One sentence about the problem, and how to fix it.
        text: String,
    },
    /// The set-up of one part of the run begins. A part is, for example, an image or a cluster.
    SetupStarted {
        /// The id of the part, the same in every run, for example `image/minio` or `cluster/c1`.
        id: String,
        /// What is set up, in words for the user.
        title: String,
    },
    /// The set-up of a part of the run makes progress. This event is only for the live display, and is not recorded.
    SetupProgress {
        /// The id of the part of the run that is being set up, as in `SetupStarted`.
        id: String,
        /// What the set-up is doing now, in words for the user.
        text: String,
    },
    /// The set-up of a part of the run ended.
    SetupEnded {
        /// The id of the part of the run that was set up, as in `SetupStarted`.
        id: String,
        /// The duration of the set-up in milliseconds.
        took_ms: u64,
        /// The result of the set-up, in words for the user, for example `from engine`, `built in 12 s` or `ready`.
        detail: String,
        /// The failure of the set-up; `None` if it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
    },
    /// The flow of a variant begins.
    VariantStarted(VariantStarted),
    /// A step begins. This event is only for the live display, and is not recorded.
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
        /// The number of containers, networks and volumes that were removed. If `elsewhere` is true, the number of
        /// Kubernetes objects.
        removed: usize,
        /// Whether the run was in a cluster that the harness does not own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        elsewhere: bool,
        /// One line for each object that could not be removed, with a command that removes it.
        remaining: Vec<String>,
        /// The duration of the clean-up in milliseconds.
        took_ms: u64,
    },
    /// The run ended. This is the last event of every record, unless the run was killed.
    RunEnded(RunEnded),
}

impl EventKind {
    /// Whether the event is written to the record. An event that is not written is only for the live display.
    pub fn is_recorded(&self) -> bool {
        !matches!(self, Self::SetupProgress { .. } | Self::StepStarted { .. })
    }
}

/// A part of a cluster's name. If a run starts a cluster again after a failure of the machine (`--retry-machine`), the
/// new name is the original name, this text, and the number of the try.
pub const AGAIN: &str = "-again";

/// The version of the record format. A change of the format increments it if older records can then not be read, or
/// would be read wrongly.
pub const RECORD_FORMAT: u32 = 1;

/// The content of the first event of a run: what the user requested, and what the run will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunStarted {
    /// The value of [`RECORD_FORMAT`] at the time when the record was written.
    pub format: u32,
    /// The id of the run.
    pub run: RunId,
    /// The version of Parallax.
    pub parallax: String,
    /// The time at which the run started, in the format of RFC 3339.
    pub started: String,
    /// The filters from the command line, which select scenarios and variants.
    pub filters: Vec<String>,
    /// The variants of the run, in the order in which it will run them.
    pub variants: Vec<VariantId>,
    /// The path of the folder with the record and the reports.
    pub directory: String,
    /// What must be true for the run to succeed, in addition to the verdicts.
    #[serde(default)]
    pub demands: Demands,
    /// The seed of the random order of the variants; `None` if the order is not random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The options of this run that change the behaviour of a variant. A user who runs one variant alone must give them
    /// again, so that the variant behaves as in this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<String>,
    /// The shard that this run is (`--shard K/N`); `None` if the run is not divided into shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<ShardOf>>,
    /// Whether the run keeps its environment until a user ends it (`parallax up`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub standing: bool,
    /// The versions that the user asked for: one entry for each combination. Empty if the run uses the defaults. With
    /// several entries, the id of each variant names the versions at which it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Versions>,
}

/// A shard: one part of a run that is divided over several machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardOf {
    /// The number of this shard, counted from 1.
    pub number: u16,
    /// The number of shards of the whole run.
    pub of: u16,
    /// The variants of all shards together, in the order of the whole run.
    pub whole: Vec<VariantId>,
    /// The hashes of the run's inputs, by name: one hash for each scenario with its fixtures, and one for the files
    /// that all scenarios share. Only shards with equal hashes belong to the same run.
    pub digests: BTreeMap<String, String>,
}

/// What must be true for a run to succeed, in addition to the verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Demands {
    /// Whether an unproven matcher makes the run fail. A matcher is unproven if it failed neither in a break nor on an
    /// altered answer.
    #[serde(default)]
    pub proof: bool,
    /// Whether a run may succeed although it skipped every variant.
    #[serde(default)]
    pub allow_skips: bool,
}

/// A failure that the user can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What failed, in one sentence that names the thing that failed, for example an image or an object.
    pub what: String,
    /// What the user must do; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The last lines of a log, the status of an object, or other lines that show the failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A variant begins: what it is and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantStarted {
    /// The id of the variant.
    pub variant: VariantId,
    /// One sentence about the variant: the summary of the scenario or of the break.
    pub summary: String,
    /// The name of the cluster in the plan, for example `c1`.
    pub cluster: String,
    /// The namespace of the variant.
    pub namespace: String,
    /// The host names of the variant. Maps each name in the scenario to the name that the run uses instead.
    pub hosts: BTreeMap<String, String>,
    /// The path of the scenario file, relative to the project.
    pub file: String,
}

/// The value of [`StepEnded::kind`] for a fixture that did not become ready. The step is then the fixture's readiness
/// check, with an id such as `store.ready`. A fixture that became ready has no such event.
pub const READINESS: &str = "ready";

/// The result of one step, with all its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepEnded {
    /// The id of the variant.
    pub variant: VariantId,
    /// The id of the step.
    pub step: StepId,
    /// The kind of the step, for example `dns`, `http` or `apply`.
    pub kind: String,
    /// The vantage (the place) from which the step sent its question; `None` if the step asks no vantage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<VantageId>,
    /// Whether the step passed, failed or was blocked.
    pub verdict: Verdict,
    /// The cause of the failure; `None` if the step did not fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The matchers of `expect`, each with the expected value, the seen value, and whether it held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matched>,
    /// How often the step was tried.
    pub attempts: u32,
    /// The duration of the step in milliseconds.
    pub took_ms: u64,
    /// The time limit of the step in milliseconds. The time that was left at the end of the step is `deadline_ms` minus
    /// `took_ms`.
    pub deadline_ms: u64,
    /// The question of the last try. Its secrets are removed before the event is written to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// The answer to the last try; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What the store's trace says about the request of the last try; `None` if no trace shows this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Details beyond question and answer, such as captured values, and how long an expectation held.
    #[serde(default, skip_serializing_if = "Course::is_empty")]
    pub course: Course,
    /// The reason why the store refused the signature of the request, as far as the run could find it out. `None` if
    /// the store did not refuse a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Box<SignatureFinding>>,
    /// Whether the step asked a vantage in a pod.
    #[serde(default)]
    pub inside: bool,
    /// The needed steps that did not pass, if the step is blocked. Otherwise empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<StepId>,
    /// The place of the step in the scenario, as `file:line`.
    pub place: String,
}

/// Whether a reply comes from a store. It does if it answers an S3 operation, a call of the store's token service, or a
/// request with a presigned URL. `question` is the question to which the reply belongs.
pub fn is_of_a_store(reply: &Reply, question: Option<&Question>) -> bool {
    let signed =
        || question.and_then(|it| it.probe.facts().http).is_some_and(|http| http.url.contains("X-Amz-Signature"));
    let facts = reply.facts();
    facts.is_of_a_store || facts.headers.is_some() && signed()
}

impl StepEnded {
    /// Whether the step's reply comes from a store, but no trace confirms which address sent the request. The replies
    /// to a prober do not count here; they are counted in [`crate::tally::Tally::of_a_store`].
    pub fn is_unconfirmed(&self) -> bool {
        let reply = self.answer.as_ref().and_then(|answer| answer.reply());
        self.witness.is_none() && reply.is_some_and(|reply| is_of_a_store(reply, self.question.as_ref()))
    }

    /// The number of tries that failed before the step passed. It is 0 if the step passed at the first try, if it did
    /// not pass, or if it has `consistently`.
    pub fn tries_before(&self) -> u32 {
        if self.verdict != Verdict::Passed || self.course.held.is_some() {
            return 0;
        }
        self.attempts.saturating_sub(self.course.in_row.unwrap_or(1))
    }
}

/// The verdict on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every matcher of the step held.
    Passed,
    /// A matcher of the step did not hold, or there was no answer.
    Failed,
    /// The step was not run, because a step that it needs did not pass.
    Blocked,
}

/// One matcher of a step, and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matched {
    /// The name of the matcher in the scenario, for example `status`, `body` or `header.content-type`.
    pub matcher: String,
    /// Whether the matcher held.
    pub held: bool,
    /// The value that the scenario expects.
    pub expected: String,
    /// The value that the step observed, or the reason why there was no value.
    pub seen: String,
    /// Whether there was no value to compare, for example because there was no answer or no log. The matcher then does
    /// not hold. But it compared nothing, so this is no proof that it can distinguish a wrong value from a right one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// Whether the matcher held on the answer, but failed on a copy of the answer that was altered in one place. This
    /// shows that the matcher compares a value. It does not show that the system under test can make the matcher fail.
    /// Only a break shows this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub altered: bool,
}

impl Matched {
    /// Creates the result of a matcher that had a value to compare.
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

    /// Creates the result of a matcher that had no value to compare and therefore did not hold. `why` says what was
    /// missing.
    pub fn unseen(matcher: impl Into<String>, expected: impl Into<String>, why: impl Into<String>) -> Self {
        Self { unseen: true, ..Self::new(matcher, false, expected, why) }
    }
}

/// What the trace of a store says about one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// The address from which the request came, as the store saw it.
    pub source: String,
    /// The `Host` header of the request, as the store saw it.
    pub host: String,
    /// Whether `source` is an address of the vantage that sent the request. For a vantage in a pod, `source` must be
    /// the pod's address. For a vantage outside, `source` must be an address through which outside clients reach the
    /// cluster.
    pub agrees: bool,
    /// The request as the store saw it. Present only if the store refused the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Arrived>,
}

/// A request in the form in which it reached the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// The method of the request.
    pub method: String,
    /// The path as the store's trace shows it. Usually the trace shows the decoded path. But if the encoding of the
    /// path is unusual, the trace shows the path as it was sent.
    pub path: String,
    /// The query as it was sent, still percent-encoded.
    pub query: String,
    /// The headers, with lower-case names. If a header occurs several times, its values are joined with `,`.
    pub headers: BTreeMap<String, String>,
}

/// A variant ended: its outcome and duration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantEnded {
    /// The id of the variant.
    pub variant: VariantId,
    /// The outcome of the variant.
    pub outcome: Outcome,
    /// The duration of the variant in milliseconds.
    pub took_ms: u64,
}

/// The outcome of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything happened as the scenario declares: each declared success, and each declared failure with its cause.
    AsExpected,
    /// Something happened that the scenario does not declare, or something that it declares did not happen.
    NotAsExpected {
        /// The differences from what the scenario declares, in the order of the flow.
        problems: Vec<Problem>,
    },
    /// The harness, the engine or the machine failed. This says nothing about the system under test.
    Error {
        /// What failed, and what the user can do.
        failure: Failure,
    },
    /// The variant was not run, because this machine cannot run it.
    Skipped {
        /// The reason why the variant was skipped.
        reason: String,
    },
    /// The user interrupted the run before the variant ended.
    Interrupted,
    /// The variant was not begun, because the number of failed variants had reached `--max-fail`.
    NotBegun {
        /// The reason why the variant was not begun.
        reason: String,
    },
}

/// The end of a run: the number of variants by outcome, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunEnded {
    /// The meaning of the run's exit code.
    pub exit: Exit,
    /// The number of variants that were as declared.
    pub passed: usize,
    /// The number of variants that were not as declared, or that ended with an error. It is 1 if no variant failed but
    /// the run as a whole failed.
    pub failed: usize,
    /// The number of variants that were skipped.
    pub skipped: usize,
    /// The unproven matchers, as `scenario: step.matcher`: they failed neither in a break nor on an altered answer.
    pub unproven: Vec<String>,
    /// The matchers that failed on an altered answer but in no break of the run, as `scenario: step.matcher`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proven_by_altered: Vec<String>,
    /// The duration of the run in milliseconds.
    pub took_ms: u64,
    /// The failure of the run itself, for example of the engine; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The matchers of baselines that failed in no break, in two sorted lists, as `scenario: step.matcher`. A matcher that
/// failed in a break is proven, so it is in neither list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The matchers that failed in no break, but on an altered answer. This is the weaker proof.
    pub by_altered: Vec<String>,
    /// The unproven matchers, which failed neither in a break nor on an altered answer.
    pub none: Vec<String>,
}
