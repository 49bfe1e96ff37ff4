//! The steps `measure` and `figures`: `measure` judges one captured number, and `figures` judges the statistics of a
//! number from all rounds of a `repeat`.

use serde_json::json;

use super::{Attempt, Tried};
use crate::run::error::RunError;
use parallax_judge::Looked;
use parallax_language::scenario::model::{FiguresStep, MeasureStep};
use parallax_language::scenario::template::Template;

pub(super) fn measure(it: &Attempt<'_>, step: &MeasureStep) -> Result<Tried, RunError> {
    let number = |text: &Template| {
        parallax_judge::number_of(text).ok_or_else(|| it.wrong(format!("`{}` is no number", text.as_str())))
    };
    let of = number(&step.of)?;
    let value = match &step.less {
        Some(less) => of - number(less)?,
        None => of,
    };
    let other = Some(json!({ "value": value }));
    Ok(Tried { other, ..Tried::looked(it.expect()?.as_ref(), Looked::Number(value)) })
}

pub(super) fn run(it: &Attempt<'_>, step: &FiguresStep) -> Result<Tried, RunError> {
    let figures = it.fill(step)?;
    let list = figures.of.as_str();
    let referred = step.of.references().unwrap_or_default();
    let steps = it.variant.variant.scenario.steps();
    let of = referred.first().and_then(|named| steps.iter().find(|it| it.step.id == named.name)?.group);
    let figure = parallax_judge::figure(&figures, of.map_or("", |it| &it.id), list, it.results.void_of(&step.of));
    let (other, looked) = (serde_json::from_str(list).ok(), Looked::Numbers(list.to_owned()));
    Ok(Tried { other, figure, ..Tried::looked(it.expect()?.as_ref(), looked) })
}
