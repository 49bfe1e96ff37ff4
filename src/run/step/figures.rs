//! `measure` and `figures`: numbers that were captured, alone and of all rounds.

use serde_json::json;

use super::{Attempt, Tried};
use crate::judge;
use crate::run::error::RunError;
use parallax_language::scenario::model::{FiguresStep, MeasureStep};
use parallax_language::scenario::template::Template;

pub(super) fn measure(it: &Attempt<'_>, step: &MeasureStep) -> Result<Tried, RunError> {
    let number =
        |text: &Template| judge::number_of(text).ok_or_else(|| it.wrong(format!("`{}` is no number", text.as_str())));
    let of = number(&step.of)?;
    let value = match &step.less {
        Some(less) => of - number(less)?,
        None => of,
    };
    let judgement = judge::judge_measure(&it.expect()?.unwrap_or_default(), value);
    Ok(Tried { other: Some(json!({ "value": value })), ..Tried::judged(judgement) })
}

pub(super) fn run(it: &Attempt<'_>, step: &FiguresStep) -> Result<Tried, RunError> {
    let figures = it.fill(step)?;
    let list = figures.of.as_str();
    let judgement = judge::judge_figures(&it.expect()?.unwrap_or_default(), list);
    let referred = step.of.references().unwrap_or_default();
    let steps = it.variant.variant.scenario.steps();
    let of = referred.first().and_then(|named| steps.iter().find(|it| it.step.id == named.name)?.group);
    let figure = judge::figure(&figures, of.map_or("", |it| &it.id), list, it.kept.void_of(&step.of));
    Ok(Tried { other: serde_json::from_str(list).ok(), figure, ..Tried::judged(judgement) })
}
