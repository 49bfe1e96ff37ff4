//! Judges the recorded steps of a variant again, from the record and the scenario, without a cluster. The correct judge
//! must give the recorded verdicts. A judge with a deliberate fault ([`Mutant`]) should give another verdict for some
//! step of some variant.

use parallax_language::scenario::Variant;
use parallax_language::scenario::action::Implied;
use parallax_language::scenario::model::{Expect, Matcher, Step};
use parallax_vocab::Cause;
use parallax_vocab::event::{Problem, StepEnded, Verdict};

use super::expect::{Expected, Judgement, Seen, judge_with, prove_with};
use super::look::{Look, Looked};
use super::mutant::Mutant;
use super::variant::{StepResult, problems};

/// A variant together with the recorded results of its steps, in the order in which the steps ended.
#[derive(Debug)]
pub struct Recorded<'a> {
    variant: &'a Variant,
    steps: Vec<RecordedStep>,
}

#[derive(Debug)]
struct RecordedStep {
    ended: StepEnded,
    expected: Expected,
    looked: Option<Looked>,
}

impl<'a> Recorded<'a> {
    /// Prepares the recorded steps for the judge: checks that the scenario still contains each step with the same
    /// `expect`.
    ///
    /// # Errors
    ///
    /// Returns a message about the first recorded step that the scenario no longer contains, or whose `expect` has
    /// changed since.
    pub fn new(variant: &'a Variant, steps: Vec<StepEnded>) -> Result<Self, String> {
        let of_scenario = variant.scenario.steps();
        let read = |ended: StepEnded| {
            let id = ended.step.as_str();
            let step = of_scenario.iter().map(|it| it.step).find(|it| it.id == id);
            let step = step.ok_or_else(|| format!("{}: there is no step `{id}` any more", variant.id))?;
            RecordedStep::new(step, ended).map_err(|why| format!("{}: step `{}`: {why}", variant.id, step.id))
        };
        Ok(Self { variant, steps: steps.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Returns the ids of the steps whose new verdict or cause differs from the record. If the judge has not changed
    /// since the recording and `mutant` is `None`, the list is empty.
    pub fn changed(&self, mutant: Option<Mutant>) -> Vec<String> {
        let results = self.results(mutant);
        let pairs = results.iter().zip(&self.steps);
        let differs = |(result, step): &(&StepResult, &RecordedStep)| {
            (result.verdict, &result.cause) != (step.ended.verdict, &step.ended.cause)
        };
        pairs.filter(differs).map(|(result, _)| result.step.clone()).collect()
    }

    /// Returns the differences between what the variant declares and what the judge now finds.
    pub fn problems(&self, mutant: Option<Mutant>) -> Vec<Problem> {
        let Variant { scenario, fails, blocks, .. } = self.variant;
        problems(&scenario.flow, fails, blocks, &self.results(mutant))
    }

    /// Whether the deliberate fault changes which matchers fail on altered answers. For example, a matcher that always
    /// holds fails on no altered answer, and so loses its proof.
    pub fn loses_proof(&self, mutant: Mutant) -> bool {
        let seen = Seen::default();
        let altered = |step: &RecordedStep, mutant| {
            let (expected, look) = (&step.expected, step.look()?);
            let judged = prove_with(judge_with(expected, look, &seen, mutant), expected, look, &seen, mutant);
            Some(judged.matchers.into_iter().map(|it| it.altered).collect::<Vec<_>>())
        };
        let of_mutant = |step: &&RecordedStep| step.ended.matchers.iter().any(|it| mutant.is_of(&it.matcher));
        self.steps.iter().filter(of_mutant).any(|step| altered(step, None) != altered(step, Some(mutant)))
    }

    fn results(&self, mutant: Option<Mutant>) -> Vec<StepResult> {
        let mut seen = Seen::default();
        let mut results = Vec::new();
        for step in &self.steps {
            let ended = &step.ended;
            let judged = step.judged(&seen, mutant);
            let missed = judged.as_ref().and_then(|it| it.missed()).cloned();
            let (verdict, cause) = match judged {
                Some(Judgement { cause: None, .. }) => (Verdict::Passed, None),
                Some(Judgement { cause, .. }) => (Verdict::Failed, cause),
                None => (ended.verdict, ended.cause.clone()),
            };
            let (id, place) = (ended.step.as_str().to_owned(), ended.place.clone());
            results.push(StepResult { step: id.clone(), verdict, cause, missed, place, sentence: String::new() });
            let chain = ended.answer.as_ref().map(|it| it.evidence.chain.clone());
            seen.chains.extend(chain.filter(|it| !it.is_empty()).map(|it| (id, it)));
        }
        results
    }
}

impl RecordedStep {
    fn new(step: &Step, ended: StepEnded) -> Result<Self, String> {
        let unread = |error: serde_json::Error| format!("the record does not say what it looked at: {error}");
        let expect: Option<Expect> =
            ended.course.expect.clone().map(serde_json::from_value).transpose().map_err(unread)?;
        let looked = ended.course.looked.clone().map(serde_json::from_value).transpose().map_err(unread)?;
        // If a step with an `expect` ran, the record contains the `expect`. If the record contains none, for example
        // because the step was blocked, there is nothing to compare.
        let given = |it: &Option<Vec<_>>| it.clone().unwrap_or_default();
        let (now, then) = (step.expect.as_ref().map(Expect::given), expect.as_ref().map(Expect::given));
        if then.is_some() && given(&now) != given(&then) {
            return Err("it expects something else now".to_owned());
        }
        let expected = match (expect, step.action.rules().implied()) {
            (Some(expect), _) => Expected::Declared(Box::new(expect)),
            (None, Implied::Success) => Expected::Success,
            (None, Implied::Answer) => Expected::Answer,
        };
        Ok(Self { ended, expected, looked })
    }

    /// Judges the step again. Returns `None` if the recorded verdict must be taken as it is: the record contains
    /// nothing that matchers could read (for example because the step was blocked or changed something), or code
    /// outside the judge decided the verdict.
    fn judged(&self, seen: &Seen, mutant: Option<Mutant>) -> Option<Judgement> {
        // The judge evaluates only the matchers that can be written in a scenario (`Matcher`). Other code decides
        // whether the store saw the right address (the witness), whether a state lasted for the required time, and
        // whether captures found a value.
        let by_others = |matcher: &str| Matcher::named(matcher).is_none();
        if matches!(&self.ended.cause, Some(Cause::Mismatch { matcher, .. }) if by_others(matcher)) {
            return None;
        }
        Some(judge_with(&self.expected, self.look()?, seen, mutant))
    }

    fn look(&self) -> Option<Look<'_>> {
        match (&self.looked, &self.ended.course.tally, &self.ended.answer) {
            (Some(looked), ..) => Some(Look::Other(looked)),
            (None, Some(tally), _) => Some(Look::Tally(tally)),
            (None, None, Some(answer)) => Some(Look::Answer(answer)),
            (None, None, None) => None,
        }
    }
}
