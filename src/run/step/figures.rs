//! `figures`: numbers that rounds captured.

use super::{Attempt, Tried};
use crate::judge;
use crate::run::error::RunError;

pub(super) fn run(it: &Attempt<'_>) -> Result<Tried, RunError> {
    let Some(figures) = &it.step.figures else { return Err(it.wrong("it names no figures".to_owned())) };
    let list = it.words().text(&figures.of).map_err(|reason| it.wrong(reason))?;
    let judgement = judge::judge_figures(&it.expect()?.unwrap_or_default(), &list);
    Ok(Tried { other: serde_json::from_str(&list).ok(), ..Tried::judged(judgement) })
}
