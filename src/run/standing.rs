//! Serves a variant that is kept (`parallax up`). Its environment stays after its flow, and its steps run again when
//! another process requests it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use parallax_vocab::event::{Outcome, Problem, VariantEnded};
use parallax_vocab::program::RunReply;
use parallax_vocab::{EventKind, StepId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apart::{Apart, Fresh};
use super::environment::Stage;
use super::error::RunError;
use super::flow::Flow;
use super::follow::Stands;
use super::lives::Lives;
use super::look::{self, Inside};
use super::reach::Reach;
use super::reset::Found;
use super::scene::Scene;
use parallax_language::fixture::Contributions;
use parallax_language::scenario::diagnostic::suggest;
use parallax_language::scenario::model::Step;
use parallax_plan::VariantPlan;
use parallax_record::Redactor;

/// The settings of a run that keeps its environment and serves requests. Such a run has exactly one variant.
#[derive(Debug)]
pub struct Standing {
    /// The step at which the first flow stops. `None` runs the whole flow.
    pub until: Option<Until>,
    /// The channel with the requests of other processes. The requests are served one after the other.
    pub asked: Mutex<mpsc::Receiver<Asked>>,
    /// The function that reads the project again.
    pub reload: Reload,
}

/// The step after which or before which a flow stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The flow stops after this step.
    After(StepId),
    /// The flow stops before this step.
    Before(StepId),
}

impl Until {
    /// The number of the steps in `steps` that run. If none of them is the step at which the flow stops, all of them
    /// run.
    fn count(&self, steps: &[Step]) -> usize {
        let at = |id: &StepId| steps.iter().position(|it| it.id == id.as_str());
        match self {
            Self::After(id) => at(id).map_or(steps.len(), |at| at + 1),
            Self::Before(id) => at(id).unwrap_or(steps.len()),
        }
    }
}

/// A function that reads the project again. The error says why the variant cannot continue with the new content of the
/// files.
#[derive(Clone)]
pub struct Reload(pub Arc<dyn Fn() -> BoxFuture<'static, Result<Renewed, Answer>> + Send + Sync>);

/// The kept variant as the project's files are now.
#[derive(Debug)]
pub struct Renewed {
    /// The plan of the variant.
    pub variant: VariantPlan,
    /// The contributions of each fixture with a chart or a kustomization, with the objects that these make now.
    pub made: BTreeMap<String, Contributions>,
    /// The values that keep what they are, because they differ each time the objects are made, for example `Secret app
    /// data.password`.
    pub kept: Vec<String>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

/// A request of another process, and the channel for its answer.
#[derive(Debug)]
pub struct Asked {
    /// The request of the other process.
    pub request: Request,
    /// The channel through which the other process gets the answer.
    pub answer: oneshot::Sender<Answer>,
    /// Cancelled when the process that sent the request is gone.
    pub gone: CancellationToken,
}

/// What another process can ask of a variant that is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Return the ways to reach the environment.
    Reach,
    /// Read the project again, restore the environment, and run the flow again from its beginning.
    Flow,
    /// Read the project again, and run one step again.
    Step(StepId),
    /// Read the project again, and run the steps from the first changed step on.
    Reload,
    /// Run a program at a vantage.
    Run {
        /// The id of the vantage. `None` selects the only vantage of the scenario.
        from: Option<String>,
        /// The program, as a name or a path, and its arguments.
        argv: Vec<String>,
        /// The standard input of the program. `None` means an empty input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stdin: Option<String>,
    },
    /// Prepare a shell at a vantage.
    Enter {
        /// The id of the vantage. `None` selects the only vantage of the scenario.
        from: Option<String>,
    },
    /// Return the last lines of logs in the environment.
    Logs {
        /// The log to return: a pod, a fixture, a vantage, a node, `world`, or the target of a `log` step. `None`
        /// returns the logs of every pod.
        of: Option<String>,
        /// At most this many lines are returned from the end of each log.
        tail: usize,
    },
    /// End the run, and remove everything that it created.
    End,
}

/// The answer to a request of another process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// Steps have run. The list contains each difference between the results of the steps and what the scenario
    /// declares. The list is empty if there is no difference.
    Ran(Vec<Problem>),
    /// The ways to reach the environment. Each entry is a word for the purpose of a command, and the command.
    Reach(Vec<(String, String)>),
    /// The exit code and the output of a program that ran at a vantage.
    Program(RunReply),
    /// Where a prepared shell runs, and the script that starts it.
    Inside(Inside),
    /// The name and the lines of each log.
    Logs(Vec<(String, Vec<String>)>),
    /// The run is about to end, so the request is not carried out.
    Ends,
    /// The request cannot be fulfilled, but nothing failed in the harness. The text is the reason.
    No(String),
    /// The harness or the machine failed while it carried out the request. The text is the reason.
    Failed(String),
}

/// A variant that is kept: its environment, the settings of its run, and the objects of its charts and kustomizations.
struct Kept<'a> {
    stage: &'a Stage<'a>,
    standing: &'a Standing,
    stands: Stands,
}

/// Runs the flow of a variant, and then serves the requests of other processes until one of them ends the run.
pub(super) async fn serve(
    stage: &Stage<'_>,
    standing: &Standing,
    (mut lives, found, fresh): (Lives, &Found, &Fresh),
) -> Result<(), RunError> {
    let mut variant = Cow::Borrowed(&stage.scene.plan.variants[0]);
    let mut kept =
        Kept { stage, standing, stands: Stands::of(&stage.scene.plan.namespace, &stage.scene.plan.fixtures) };
    let mut asked = standing.asked.lock().await;
    let reach = Reach::of(stage).await;
    let mut apart = fresh.first();
    let mut until = standing.until.as_ref();
    let mut waiting: Option<oneshot::Sender<Answer>> = None;
    loop {
        let mut flow = Flow::begin(stage, variant, &lives, &apart);
        let last = until.take();
        let mut begun = Begun::of(&flow.variant.variant.scenario.flow, last);
        let outcome = Box::pin(first(&mut flow, last)).await;
        let outcome = outcome.unwrap_or_else(|error| Outcome::Error { failure: error.failure() });
        // There is no verdict if only a part of the flow ran.
        if last.is_none() {
            verdict(stage, &flow, outcome.clone());
        }
        send(stage, waiting.take(), &ran(outcome));
        let next = loop {
            // If the channel is closed, no further request can arrive, so the run ends.
            let Some(Asked { request, answer, gone }) = asked.recv().await else { return Ok(()) };
            let said = match request {
                Request::Reach => Answer::Reach(reach.lines.clone()),
                Request::Step(id) => Box::pin(again(&mut flow, &mut kept, &mut begun, &id)).await,
                Request::Logs { of, tail } => {
                    let client = stage.applier.client();
                    Box::pin(look::logs(client, &stage.scene, &flow.variant, of.as_deref(), tail)).await
                }
                Request::Enter { from } => {
                    let proxy = reach.proxy();
                    Box::pin(look::inside(stage, (&flow.variant, proxy.as_deref()), from.as_deref())).await
                }
                Request::Run { from, argv, stdin } => {
                    let proxy = reach.proxy();
                    let at = (flow.variant.as_ref(), proxy.as_deref());
                    let program = Box::pin(look::program(stage, at, from.as_deref(), &argv, stdin));
                    tokio::select! {
                        said = program => said,
                        () = gone.cancelled() => Answer::No("nobody waits for the program".to_owned()),
                    }
                }
                Request::Reload => Box::pin(reloaded(&mut flow, &mut kept, &mut begun)).await,
                Request::Flow => match Box::pin(from_the_start(&mut flow, &mut kept, (found, fresh))).await {
                    Ok(next) => {
                        waiting = Some(answer);
                        break next;
                    }
                    Err(answer) => answer,
                },
                Request::End => {
                    flow.end_probers().await;
                    // If the whole flow has run before, the variant already has a verdict, and `say` has no effect.
                    stage.context.verdicts.say(&flow.variant.id, Outcome::Interrupted, flow.took_ms());
                    send(stage, Some(answer), &Answer::Ends);
                    return Ok(());
                }
            };
            send(stage, Some(answer), &said);
        };
        variant = Cow::Owned(flow.into_variant());
        (apart, lives) = next;
    }
}

/// Reports how the whole flow ended. The flow may run several times, and each end is recorded; the last one is the
/// variant's verdict.
fn verdict(stage: &Stage<'_>, flow: &Flow<'_>, outcome: Outcome) {
    let (variant, took_ms) = (flow.variant.id.clone(), flow.took_ms());
    let verdicts = &stage.context.verdicts;
    if !verdicts.say(&variant, outcome.clone(), took_ms) {
        let outcome = verdicts.trusted(outcome).unwrap_or_else(|failure| Outcome::Error { failure });
        stage.context.sink.say(EventKind::VariantEnded(VariantEnded { variant, outcome, took_ms }));
    }
}

/// Serves requests for an environment whose flow cannot run, because a part of the environment did not become ready.
pub(super) async fn serve_unready(
    standing: &Standing,
    reach: &Reach,
    why: &str,
    (client, scene, redactor): (&Client, &Scene<'_>, &Redactor),
) {
    let mut asked = standing.asked.lock().await;
    while let Some(Asked { request, answer, .. }) = asked.recv().await {
        let (said, ends) = match request {
            Request::Reach => (Answer::Reach(reach.lines.clone()), false),
            Request::End => (Answer::Ends, true),
            // Logs can be read even now, and they can show why a part of the environment is not ready.
            Request::Logs { of, tail } => {
                let variant = &scene.plan.variants[0];
                (Box::pin(look::logs(client, scene, variant, of.as_deref(), tail)).await, false)
            }
            Request::Flow | Request::Step(_) | Request::Reload | Request::Run { .. } | Request::Enter { .. } => {
                (Answer::No(why.to_owned()), false)
            }
        };
        drop(answer.send(clean(redactor, &said)));
        if ends {
            return;
        }
    }
}

/// Sends an answer to the process that sent the request, if that process still exists. The redactor removes secrets
/// from the answer, because the answer may quote text that a step saw.
fn send(stage: &Stage<'_>, to: Option<oneshot::Sender<Answer>>, answer: &Answer) {
    let Some(to) = to else { return };
    drop(to.send(clean(&stage.context.redactor, answer)));
}

fn clean(redactor: &Redactor, answer: &Answer) -> Answer {
    let unreadable = |_| Answer::Failed("an answer was left out: redaction made it unreadable".to_owned());
    redactor.copy(answer).unwrap_or_else(unreadable)
}

fn ran(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::NotAsExpected { problems } => Answer::Ran(problems),
        Outcome::Error { failure } => Answer::Failed(failure.what),
        Outcome::AsExpected | Outcome::Skipped { .. } | Outcome::Interrupted | Outcome::NotBegun { .. } => {
            Answer::Ran(Vec::new())
        }
    }
}

fn answer_of(result: Result<Outcome, RunError>) -> Answer {
    result.map_or_else(|error| Answer::Failed(error.to_string()), ran)
}

/// Runs the flow until the step at which `until` stops it. If `until` is `None`, runs the whole flow.
async fn first(flow: &mut Flow<'_>, until: Option<&Until>) -> Result<Outcome, RunError> {
    let steps = flow.variant.variant.scenario.flow.clone();
    match until {
        Some(until) => flow.part(&steps[..until.count(&steps)]).await,
        None => flow.whole().await,
    }
}

/// The ids of the steps of a flow that have run. If a flow stopped early (`--until`, `--before`), some of its steps
/// have not run. A later step may need the results of these steps.
struct Begun(BTreeSet<String>);

impl Begun {
    /// The steps that run when the flow runs for the first time. With `until`, they are only a part of the flow.
    fn of(steps: &[Step], until: Option<&Until>) -> Self {
        let count = until.map_or(steps.len(), |until| until.count(steps));
        Self(steps[..count].iter().map(|it| it.id.clone()).collect())
    }

    /// Selects the steps that run now: the wanted steps, and all earlier steps that have not run yet. An earlier step
    /// is a step before the last wanted step. `wanted` gets the index of a step and returns whether the step is wanted.
    fn select(&mut self, steps: &[Step], wanted: impl Fn(usize) -> bool) -> Vec<Step> {
        let count = (0..steps.len()).rev().find(|at| wanted(*at)).map_or(0, |at| at + 1);
        let now = steps[..count].iter().enumerate().filter(|(at, it)| wanted(*at) || !self.0.contains(&it.id));
        let now: Vec<Step> = now.map(|(_, it)| it.clone()).collect();
        self.0.extend(now.iter().map(|it| it.id.clone()));
        now
    }
}

/// Runs one step of the flow again, as it is now in the scenario's file. Earlier steps that have not run yet are run
/// before this step.
async fn again(flow: &mut Flow<'_>, kept: &mut Kept<'_>, begun: &mut Begun, id: &StepId) -> Answer {
    if let Err(answer) = renew(flow, kept).await {
        return answer;
    }
    let scenario = &flow.variant.variant.scenario;
    let Some(wanted) = scenario.flow.iter().position(|it| it.id == id.as_str()) else {
        let fix = suggest(id.as_str(), scenario.flow.iter().map(|it| it.id.as_str()), "it has");
        return Answer::No(format!("{} has no step `{id}`; {fix}", flow.variant.id));
    };
    let steps = begun.select(&scenario.flow, |at| at == wanted);
    answer_of(flow.part(&steps).await)
}

/// Reads the scenario's file again, replaces the variant by the variant in the new file, and runs the steps from the
/// first changed step on.
async fn reloaded(flow: &mut Flow<'_>, kept: &mut Kept<'_>, begun: &mut Begun) -> Answer {
    let first = match renew(flow, kept).await {
        Ok(first) => first,
        Err(answer) => return answer,
    };
    let steps = begun.select(&flow.variant.variant.scenario.flow, |at| at >= first);
    answer_of(flow.part(&steps).await)
}

/// Reads the project again, applies what its charts and kustomizations make now, and replaces the variant by the variant
/// in the new file. Returns the index of the first step that must run again: 0 if objects have changed, because any step
/// may depend on them. If the files contain a mistake, or if they need another environment, the variant stays as it is. The
/// error is then the answer with the reason.
async fn renew(flow: &mut Flow<'_>, kept: &mut Kept<'_>) -> Result<usize, Answer> {
    let Renewed { variant, made, kept: values } = (kept.standing.reload.0)().await?;
    if !values.is_empty() {
        kept.stage.context.sink.warn(format!(
            "each rendering changes {}, so what stands there stays; `parallax down`, then `parallax up` makes it anew",
            values.join(", ")
        ));
    }
    let followed = Box::pin(kept.stands.follow(kept.stage, &made)).await;
    // Even if it ended early, it may have replaced pods.
    if !matches!(followed, Ok(false)) {
        flow.look().await;
    }
    let first = if followed? { 0 } else { first_changed(&flow.variant, &variant) };
    flow.variant = Cow::Owned(variant);
    Ok(first)
}

/// Prepares another run of the whole flow, as it is now in the scenario's file. If this is not possible, the error is
/// the answer to the request, with the reason.
async fn from_the_start(
    flow: &mut Flow<'_>,
    kept: &mut Kept<'_>,
    (found, fresh): (&Found, &Fresh),
) -> Result<(Apart, Lives), Answer> {
    renew(flow, kept).await?;
    put_back(kept.stage, flow, found, fresh).await.map_err(|error| match error {
        error @ RunError::Left { .. } => {
            Answer::No(format!("the flow cannot run again here: {error}; `parallax down`, then `parallax up` again"))
        }
        error => Answer::Failed(error.to_string()),
    })
}

/// The index of the first step that differs between the two plans. If another part of the scenario has changed, any
/// step may behave differently, so the index is 0.
fn first_changed(old: &VariantPlan, new: &VariantPlan) -> usize {
    let without_flow = |plan: &VariantPlan| {
        let mut value = plan.variant.value.clone();
        value.as_object_mut().map(|it| it.remove("flow"));
        value
    };
    let declared = |plan: &VariantPlan| (plan.variant.blocks.clone(), format!("{:?}", plan.variant.fails));
    if without_flow(old) != without_flow(new) || declared(old) != declared(new) {
        return 0;
    }
    let flow = |plan: &VariantPlan| plan.variant.value["flow"].as_array().cloned().unwrap_or_default();
    let (old, new) = (flow(old), flow(new));
    new.iter().zip(&old).take_while(|(new, old)| new == old).count()
}

/// Restores the state that the environment had before its first flow. Returns which events and log lines the next flow
/// may see, and the containers that run now. The containers are read again, because the user may have replaced some of
/// them.
async fn put_back(
    stage: &Stage<'_>,
    flow: &mut Flow<'_>,
    found: &Found,
    fresh: &Fresh,
) -> Result<(Apart, Lives), RunError> {
    flow.end_probers().await;
    if let Some(kind) = flow.effects.irreversible() {
        let what = format!("its `{kind}` step changed what was there before");
        return Err(RunError::Left { namespace: stage.scene.plan.namespace.clone(), what });
    }
    found.put_back(stage, &flow.effects).await?;
    Ok((fresh.next(stage).await?, Lives::of(stage).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_runs_after_those_before_it_that_have_not_run() {
        let step = |id: &str| serde_json::from_value(serde_json::json!({ "id": id, "dns": { "name": "x" } }));
        let flow: Vec<Step> = ["a", "b", "c", "d"].map(|id| step(id).expect("a step")).into();
        let ids = |steps: Vec<Step>| steps.into_iter().map(|it| it.id).collect::<Vec<_>>();
        let mut begun = Begun::of(&flow, Some(&Until::After(StepId::new("a"))));
        assert_eq!(ids(begun.select(&flow, |at| at == 0)), ["a"]);
        assert_eq!(ids(begun.select(&flow, |at| at == 2)), ["b", "c"]);
        assert_eq!(ids(begun.select(&flow, |at| at == 2)), ["c"]);
        assert_eq!(ids(begun.select(&flow, |at| at >= 3)), ["d"]);
        assert!(begun.select(&flow, |_| false).is_empty());
        let mut whole = Begun::of(&flow, None);
        assert_eq!(ids(whole.select(&flow, |at| at == 3)), ["d"]);
        // The flow stopped before `b`. When step `c` changes, a reload runs `b` first, because `b` has not run yet.
        let mut begun = Begun::of(&flow, Some(&Until::Before(StepId::new("b"))));
        assert_eq!(ids(begun.select(&flow, |at| at >= 2)), ["b", "c", "d"]);
    }
}
