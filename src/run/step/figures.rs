//! `measure` and `figures`: numbers that were captured, alone and of all rounds.

use serde_json::json;

use super::{Attempt, Tried};
use crate::judge;
use crate::run::error::RunError;
use parallax_language::scenario::template;

pub(super) fn measure(it: &Attempt<'_>) -> Result<Tried, RunError> {
    let Some(measure) = &it.step.measure else { return Err(it.wrong("it measures nothing".to_owned())) };
    let number = |text: &String| {
        let text = it.words().text(text).map_err(|reason| it.wrong(reason))?;
        judge::number_of(&text).ok_or_else(|| it.wrong(format!("`{text}` is no number")))
    };
    let of = number(&measure.of)?;
    let value = match &measure.less {
        Some(less) => of - number(less)?,
        None => of,
    };
    let judgement = judge::judge_measure(&it.expect()?.unwrap_or_default(), value);
    Ok(Tried { other: Some(json!({ "value": value })), ..Tried::judged(judgement) })
}

pub(super) fn run(it: &Attempt<'_>) -> Result<Tried, RunError> {
    let Some(figures) = &it.step.figures else { return Err(it.wrong("it names no figures".to_owned())) };
    let list = it.words().text(&figures.of).map_err(|reason| it.wrong(reason))?;
    let judgement = judge::judge_figures(&it.expect()?.unwrap_or_default(), &list);
    let referred = template::references(&figures.of).unwrap_or_default();
    let steps = it.variant.variant.scenario.steps();
    let of = referred.first().and_then(|named| steps.iter().find(|it| it.step.id == named.name)?.group);
    let figure = judge::figure(figures, of.map_or("", |it| &it.id), &list, it.kept.void_of(&figures.of));
    Ok(Tried { other: serde_json::from_str(&list).ok(), figure, ..Tried::judged(judgement) })
}
