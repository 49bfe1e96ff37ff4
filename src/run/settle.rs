//! Decides how often a step is tried. A step with `eventually` is tried until it holds. A step with `consistently` is
//! tried again and again during the declared span, and must hold each time. Any other step is tried once.

use std::time::{Duration, Instant};

use parallax_vocab::course::Held;
use parallax_vocab::{Cause, millis};

use super::error::RunError;
use super::step::{Attempt, Tried, act_within};
use parallax_language::scenario::action::Looks;
use parallax_language::scenario::duration::Span;
use parallax_language::scenario::model::{CauseSpec, Step};

/// The time limit of a step without `eventually`, and of each try of `consistently`.
const STEP_WITHIN: Duration = Duration::from_secs(15);
/// The time limit of a step that starts a program. A browser or a Java virtual machine may take many seconds to start.
const PROGRAM_WITHIN: Duration = Duration::from_mins(1);
/// The shortest pause between two tries of a step. The harness polls because no event reports the effect for which the
/// step waits.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The longest pause after a try that started a program. Up to this limit, the pause is as long as the try was.
const LONGEST_AFTER_PROGRAM: Duration = Duration::from_secs(3);
/// The longest pause between the tries of a step that has not held yet. The pause is a tenth of the time that the step
/// has waited. So the step takes at most a tenth longer than necessary, and a long wait needs few tries.
const LONGEST_WAITING: Duration = Duration::from_secs(1);
/// The longest pause while a step shows its declared failure. Only the tries at a known later moment decide whether the
/// failure lasts long enough. Earlier tries only cost processor time.
const LONGEST_FAILING: Duration = Duration::from_secs(2);
/// The pause between two tries of `consistently` is the span of `consistently` divided by this number, but at least
/// [`AGAIN_AFTER`] and at most [`LONGEST_LOOKING`]. A failure that is shorter than the pause may not be seen.
const LOOKS: u32 = 50;
/// The longest pause between two tries of `consistently`.
const LONGEST_LOOKING: Duration = Duration::from_millis(250);
/// If a step has less time left than this, no further try starts. (For a step with a time limit below 10 s, a tenth of
/// the time limit counts instead.) A try with so little time would fail only because its time is short, and the timeout
/// would wrongly be reported as the cause.
const LEAST: Duration = Duration::from_secs(1);
/// If a try had at least this much time, a timeout is a valid result of the try: the end of the step's time did not cut
/// the try short.
const ENOUGH: Duration = Duration::from_secs(5);
/// The agent may have to be placed in an application's own pod before a try. The time for this does not count towards
/// the step's time limit, but at most this much time per step stays uncounted. Without this bound, a step would never
/// end if the pod is replaced again and again.
const COMING_UNCOUNTED: Duration = Duration::from_mins(2);
/// The time by which a try may exceed its step's time limit. An answer that arrives at the deadline must still be
/// transferred, and its witness and evidence must be collected. A try that takes even longer counts as not answered.
const GRACE: Duration = Duration::from_secs(8);
/// The part of [`GRACE`] during which a try may wait for its witness, the store's report of who sent the request.
pub(super) const FOR_THE_WITNESS: Duration = Duration::from_secs(6);

/// The tries of a step: their number and the result of the last one.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) attempts: u32,
    pub(super) last: Option<Tried>,
    pub(super) held: Option<Held>,
    /// How many tries held one after the other, up to the last try. `None` if the step has no `stays`.
    pub(super) in_row: Option<u32>,
}

/// Counts how many tries have held one after the other. `wanted` is the number that the step requires.
#[derive(Clone, Copy, Debug)]
struct Row {
    wanted: u32,
    held: u32,
    /// The largest number of tries that have held one after the other so far.
    most: u32,
}

impl Row {
    fn of(wanted: Option<u16>) -> Self {
        Self { wanted: wanted.map_or(1, u32::from), held: 0, most: 0 }
    }

    /// Counts a try. Returns whether enough tries have held one after the other.
    fn take(&mut self, holds: bool) -> bool {
        self.held = if holds { self.held + 1 } else { 0 };
        self.most = self.most.max(self.held);
        self.held >= self.wanted
    }

    /// The cause of a failed step with `stays`: not enough of its tries held one after the other.
    fn broken(self) -> Cause {
        Cause::Mismatch {
            matcher: "stays".to_owned(),
            expected: format!("{} tries in a row that hold", self.wanted),
            seen: format!("{} in a row at the end, and never more than {}", self.held, self.most),
        }
    }
}

/// The time limit of a try: the remaining time of the step. The first try of a step that asks or reads, and the extra
/// try at the end, get at least the time of a step without `eventually`. Otherwise a slow machine could fail a step
/// with a short `eventually`. A step that waits for an effect during its try gets only the remaining time.
fn longest(step: &Step, left: Duration, is_first: bool) -> Duration {
    let waits = step.nature().is_act() || step.action.looks().is_some_and(Looks::follows);
    if is_first && !waits { left.max(of_one_try(step)) } else { left }
}

/// The time limit within which the expectation of a step must hold.
pub(super) fn within(step: &Step) -> Duration {
    let given = step.eventually.map(Span::to_duration).or_else(|| act_within(step));
    given.unwrap_or_else(|| of_one_try(step))
}

/// The time that one try of a step may take if the step declares no time.
fn of_one_try(step: &Step) -> Duration {
    if runs_a_program(step) { PROGRAM_WITHIN } else { STEP_WITHIN }
}

/// Whether each try of this step starts a program.
fn runs_a_program(step: &Step) -> bool {
    step.action.asks().is_some_and(|it| it.special().runs.is_some())
}

/// Tries a step until its result is final. `declared` is the cause with which the step must fail. It is `None` if the
/// variant does not declare that this step fails.
pub(super) async fn settle(attempt: Attempt<'_>, declared: Option<&CauseSpec>) -> Result<Settled, RunError> {
    let mut row = Row::of(attempt.step.stays);
    let (attempts, mut tried) = Box::pin(come_to_hold(attempt, declared, &mut row)).await?;
    if tried.judgement.cause.is_none() && row.held < row.wanted {
        tried.judgement.cause = Some(row.broken());
    }
    let in_row = attempt.step.stays.map(|_| row.held);
    let settled = Settled { attempts, last: Some(tried), held: None, in_row };
    match attempt.step.consistently {
        Some(span) if settled.last.as_ref().is_some_and(|it| it.judgement.cause.is_none()) => {
            Box::pin(stay(attempt, declared, span.to_duration(), settled)).await
        }
        _ => Ok(settled),
    }
}

/// Tries a step until its expectation holds, its declared failure is permanent, or its time is over. Only a step with
/// `eventually` is tried more than once.
///
/// - A step that is declared to fail is tried again while it holds, because the failure may come later.
/// - A declared failure proves nothing as long as the baseline could show the same failure. Therefore two tries in a
///   row must show the failure. The failure must also last longer than the step needed in the baseline until it held.
/// - A cause that may disappear without help must last until the end of the step's time. If only the last try shows the
///   cause, one more try is made after the time is over.
/// - If the end of the time cuts the last try short, the result of the previous try is used.
/// - If the apiserver does not answer during a try, the try has no result and is repeated. If this happens in the last
///   try, the result is an error of the harness. If the step asks from an application's own pod and this pod does not
///   run, the try is handled in the same way.
async fn come_to_hold(
    attempt: Attempt<'_>,
    declared: Option<&CauseSpec>,
    row: &mut Row,
) -> Result<(u32, Tried), RunError> {
    let (mut began, limit) = (Instant::now(), within(attempt.step));
    let mut uncounted = COMING_UNCOUNTED;
    let least = LEAST.min(limit / 10);
    let mut attempts = 0;
    let mut before = None;
    let mut took = Duration::ZERO;
    let mut was_declared = false;
    let mut is_extra = false;
    let (variant, step) = (&attempt.variant.id, &attempt.step.id);
    let baselines = &attempt.stage.context.baselines;
    loop {
        attempts += 1;
        // If the workload has replaced its pod, the agent is placed in the new pod. The placing may take longer than a
        // try. So it is done before the try, and its duration does not count towards the step's time.
        let coming = Instant::now();
        let came = attempt.guest_comes().await;
        if came.is_ok() {
            let took = coming.elapsed().min(uncounted);
            uncounted -= took;
            began += took;
        }
        let past = baselines.past(variant, step, limit);
        // In a break, a step may have less time than it needed in the baseline. Then a declared failure at the time
        // limit would prove nothing, so the limit is extended.
        let within = if declared.is_some() && attempt.step.eventually.is_some() { limit.max(past) } else { limit };
        let left = within.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        let left = longest(attempt.step, left, before.is_none() || is_extra);
        let asked = Instant::now();
        let tried = match came {
            Ok(()) => bounded(Attempt { left, ..attempt }).await,
            Err(error) => Err(error),
        };
        let over = began.elapsed() + least_pause(attempt.step, asked.elapsed()) + least > within;
        let tried = match tried {
            Err(error) if error.may_pass() && attempt.step.eventually.is_some() && !over => {
                tracing::debug!(step = attempt.step.id, %error, "a try could not be made and is made again");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
            tried => tried?,
        };
        let is_timeout = tried.judgement.cause.as_ref().is_some_and(Cause::is_timeout);
        // On a busy machine, a try takes about as long as the previous try. A try that had one and a half times this
        // time was not cut short.
        let enough = ENOUGH.max(took.mul_f32(1.5));
        if let Some(before) = before.take().filter(|_| over && left < enough && is_timeout) {
            return Ok((attempts, before));
        }
        took = asked.elapsed();
        let in_row = row.take(tried.judgement.cause.is_none());
        let mut due = None;
        let settled = match &tried.judgement.cause {
            None if !in_row => {
                was_declared = false;
                false
            }
            None => {
                was_declared = false;
                baselines.held(variant, step, began.elapsed());
                declared.is_none() || attempt.step.consistently.is_some()
            }
            Some(cause) => {
                let is_declared = declared.is_some_and(|spec| parallax_judge::matches(spec, cause));
                let again = std::mem::replace(&mut was_declared, is_declared) && is_declared;
                is_extra = over && is_declared && !again && !is_extra;
                let lasts_until = if cause.may_heal() { within.saturating_sub(least) } else { past };
                due = again.then_some(lasts_until);
                again && !cause.may_heal() && began.elapsed() >= past
            }
        };
        if settled || tried.decided || attempt.step.eventually.is_none() || over && !is_extra {
            return Ok((attempts, tried));
        }
        before = Some(tried);
        let is_counting = row.wanted > 1 && row.held > 0;
        let pause = if is_counting { AGAIN_AFTER } else { pause(began.elapsed(), due, within.saturating_sub(least)) };
        // The code polls because no event reports the effect for which the step waits.
        tokio::time::sleep(pause.max(least_pause(attempt.step, took))).await;
    }
}

/// Returns the shortest pause after a try that took `took`. A program, such as a browser, needs processor time that
/// other flows need too. After such a try, the pause is as long as the try was, but at most [`LONGEST_AFTER_PROGRAM`].
fn least_pause(step: &Step, took: Duration) -> Duration {
    if runs_a_program(step) { took.clamp(AGAIN_AFTER, LONGEST_AFTER_PROGRAM) } else { AGAIN_AFTER }
}

/// Returns the pause before the next try of a step whose tries began `elapsed` ago. `due` is the moment until which the
/// declared failure must last, if the last tries showed this failure. `last` is the last moment at which a try may
/// start. `due` and `last` are measured from the beginning of the tries. If the pause would pass `due` (or `last`, if
/// `due` is `None`), it ends at this moment or at most [`AGAIN_AFTER`] later, so that a try is made then.
fn pause(elapsed: Duration, due: Option<Duration>, last: Duration) -> Duration {
    let (grown, next) = match due {
        Some(due) => (elapsed.min(LONGEST_FAILING), due),
        None => ((elapsed / 10).min(LONGEST_WAITING), last),
    };
    let left = next.saturating_sub(elapsed);
    if left.is_zero() { AGAIN_AFTER } else { grown.min(left).max(AGAIN_AFTER) }
}

/// Runs one try with a hard time limit: the remaining time of the step, plus [`GRACE`]. Without this limit, a try that
/// gets no answer could last forever.
async fn bounded(attempt: Attempt<'_>) -> Result<Tried, RunError> {
    let overdue = |_| RunError::Overdue {
        place: attempt.place.to_owned(),
        step: attempt.step.id.clone(),
        within_s: within(attempt.step).as_secs(),
        grace_s: GRACE.as_secs(),
    };
    tokio::time::timeout(attempt.left + GRACE, attempt.run()).await.map_err(overdue)?
}

/// What the tries of a step with `consistently` have shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// The last try met the expectation.
    Hold,
    /// The last try showed the failure that this variant declares. A single try may fail for another reason, so the
    /// failure proves nothing until the next try shows it too.
    Doubtful,
    /// The step has failed. No further try is made.
    Fail,
}

impl Shown {
    /// Takes the result of a try: its cause if it failed, otherwise `None`.
    fn take(&mut self, cause: Option<&Cause>, declared: Option<&CauseSpec>) {
        let is_declared = |cause| declared.is_some_and(|spec| parallax_judge::matches(spec, cause));
        *self = match (cause, *self) {
            (None, _) => Self::Hold,
            (Some(cause), Self::Hold) if is_declared(cause) => Self::Doubtful,
            (Some(_), _) => Self::Fail,
        };
    }
}

/// Repeats the tries of `consistently` until the span is over or the step has failed.
///
/// A try may have no result, for example because the apiserver does not answer. Such a try shows nothing, so the last
/// try must have a result. If no try has a result for [`STEP_WITHIN`], the result of the step is an error of the
/// harness.
async fn stay(
    attempt: Attempt<'_>,
    declared: Option<&CauseSpec>,
    span: Duration,
    mut settled: Settled,
) -> Result<Settled, RunError> {
    let began = Instant::now();
    let span_ms = millis(span);
    let mut held = Held { span_ms, held_ms: 0, tries: 1, broke: None };
    let mut seen = Instant::now();
    let mut is_blind = false;
    let mut looks = Shown::Hold;
    let between = (span / LOOKS).clamp(AGAIN_AFTER, LONGEST_LOOKING);
    while looks != Shown::Fail && (is_blind || looks == Shown::Doubtful || began.elapsed() < span) {
        // The code polls because only repeated tries can show that nothing changes.
        tokio::time::sleep(if looks == Shown::Doubtful { AGAIN_AFTER } else { between }).await;
        settled.attempts += 1;
        let tried = match attempt.guest_comes().await {
            Ok(()) => bounded(Attempt { left: STEP_WITHIN, ..attempt }).await,
            Err(error) => Err(error),
        };
        let tried = match tried {
            Err(error) if error.may_pass() && seen.elapsed() < STEP_WITHIN => {
                tracing::debug!(step = attempt.step.id, %error, "a look could not be taken and is taken again");
                is_blind = true;
                continue;
            }
            tried => tried?,
        };
        (seen, is_blind) = (Instant::now(), false);
        held.held_ms = millis(began.elapsed());
        looks.take(tried.judgement.cause.as_ref(), declared);
        match looks {
            Shown::Hold => held.tries += 1,
            Shown::Doubtful => {}
            Shown::Fail => held.broke = Some(settled.attempts),
        }
        settled.last = Some(tried);
    }
    settled.held = Some(held);
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use parallax_vocab::ConnectFault;

    use super::*;

    #[test]
    fn a_declared_failure_of_one_look_proves_nothing() {
        let declared: CauseSpec = serde_json::from_value(serde_json::json!({ "connect": "refused" })).expect("a cause");
        let connect = |fault| Some(Cause::Connect { fault, detail: String::new() });
        let (refused, timeout) = (|| connect(ConnectFault::Refused), || connect(ConnectFault::Timeout));
        for (looks, declared, fails) in [
            (vec![refused()], Some(&declared), false),
            (vec![refused(), None], Some(&declared), false),
            (vec![refused(), None, refused()], Some(&declared), false),
            (vec![refused(), refused()], Some(&declared), true),
            (vec![refused(), timeout()], Some(&declared), true),
            // A failure that is not the declared failure counts at once. If no failure is declared, any failure counts
            // at once.
            (vec![timeout()], Some(&declared), true),
            (vec![refused()], None, true),
        ] {
            let mut seen = Shown::Hold;
            for cause in &looks {
                seen.take(cause.as_ref(), declared);
            }
            assert_eq!(seen == Shown::Fail, fails, "{looks:?}");
        }
    }

    #[test]
    fn pauses_grow_but_never_pass_the_moment_that_decides() {
        let ms = Duration::from_millis;
        for (elapsed, due, last, pause_ms) in [
            // A step that waits until it holds. The pause is a tenth of the elapsed time, but does not go beyond the
            // last moment.
            (ms(0), None, ms(29_000), 100),
            (ms(3_000), None, ms(29_000), 300),
            (ms(20_000), None, ms(29_000), 1_000),
            (ms(28_500), None, ms(29_000), 500),
            (ms(29_500), None, ms(29_000), 100),
            // A step that shows its declared failure. The pause is as long as the elapsed time, but does not go beyond
            // the moment until which the failure must last.
            (ms(400), Some(ms(2_000)), ms(29_000), 400),
            (ms(1_800), Some(ms(2_000)), ms(29_000), 200),
            (ms(9_000), Some(ms(29_000)), ms(29_000), 2_000),
            (ms(2_050), Some(ms(2_000)), ms(29_000), 100),
        ] {
            assert_eq!(pause(elapsed, due, last), ms(pause_ms), "{elapsed:?} {due:?}");
        }
    }

    #[test]
    fn only_enough_tries_in_a_row_satisfy_stays() {
        let table: [(Option<u16>, &[bool], bool); 6] = [
            (None, &[false, true], true),
            (Some(3), &[true, true], false),
            (Some(3), &[true, true, true], true),
            // The server alternates between working and failing, so two consecutive tries never hold.
            (Some(2), &[true, false, true, false, true], false),
            (Some(2), &[true, false, true, true], true),
            (Some(2), &[true, true, false], false),
        ];
        for (wanted, tries, enough) in table {
            let mut row = Row::of(wanted);
            let last = tries.iter().fold(false, |_, holds| row.take(*holds));
            assert_eq!(last, enough, "{wanted:?} of {tries:?}");
        }
        let mut row = Row::of(Some(3));
        for holds in [true, true, false, true] {
            row.take(holds);
        }
        assert!(row.broken().to_string().contains("1 in a row at the end, and never more than 2"), "{}", row.broken());
    }
}
