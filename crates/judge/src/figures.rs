//! Judges the numbers that the rounds of a `repeat` captured: their count, their median, and the worst number.

use parallax_vocab::Cause;
use parallax_vocab::course::Figure;
use parallax_vocab::event::Matched;
use serde_json::Value;

use super::bound::Bound;
use super::expect::equal;
use super::look::Looked;
use parallax_language::scenario::model::{FiguresStep, NumberBound};

/// Judges the number of captured values.
pub(super) fn count(count: usize, looked: &Looked) -> Option<Matched> {
    Some(equal("count", count.to_string(), numbers(looked)?.len().to_string()))
}

/// Judges the median of the captured numbers against `bound`.
pub(super) fn median_within(bound: NumberBound, looked: &Looked) -> Option<Matched> {
    numbers(looked).map(|all| within("median", bound, median(&all), &all))
}

/// Judges the greatest of the captured numbers against `bound`.
pub(super) fn worst_within(bound: NumberBound, looked: &Looked) -> Option<Matched> {
    numbers(looked).map(|all| within("worst", bound, all.last().copied(), &all))
}

fn within(matcher: &str, bound: NumberBound, seen: Option<f64>, numbers: &[f64]) -> Matched {
    let words = seen.map_or("no number".to_owned(), |it| format!("{it} of {}", all(numbers)));
    Bound::from(bound).judge(matcher, seen.as_ref(), words)
}

/// Parses the list of captured values and sorts its numbers in ascending order. A number written as text is accepted.
/// `None` if an item is not a number.
fn numbers(looked: &Looked) -> Option<Vec<f64>> {
    if let Looked::Numbers(list) = looked { sorted(list).ok() } else { None }
}

/// Returns the cause of the step's failure if the list contains something that is not a number.
pub(super) fn not_numbers(list: &str) -> Option<Cause> {
    let (matcher, expected) = ("figures".to_owned(), "numbers".to_owned());
    sorted(list).err().map(|item| Cause::Mismatch { matcher, expected, seen: item.to_string() })
}

/// Computes the figure, which contains the median and the worst number, of a list of numbers. The rounds of the repeat
/// `of` have captured the numbers. `void` is the number of void rounds. Returns `None` if the step gives the figure no
/// name, if the list is empty, or if an item is not a number.
pub fn figure(step: &FiguresStep, of: &str, list: &str, void: u32) -> Option<Figure> {
    let numbers = sorted(list).ok()?;
    let worst = *numbers.last()?;
    let of_round = |(index, item): (usize, &Value)| (number(item) == Some(worst)).then_some(index + 1);
    Some(Figure {
        name: step.name.clone()?,
        of: of.to_owned(),
        unit: step.unit.clone().unwrap_or_default(),
        count: numbers.len(),
        least: *numbers.first()?,
        median: median(&numbers)?,
        worst,
        worst_round: items(list).iter().enumerate().find_map(of_round)?,
        void,
    })
}

/// Parses a text as a number. Returns `None` if the text is not a finite number.
pub fn number_of(text: &str) -> Option<f64> {
    number(&Value::String(text.to_owned()))
}

/// Returns the numbers of a list in ascending order. If an item is not a number, the error is the first such item.
fn sorted(list: &str) -> Result<Vec<f64>, Value> {
    let mut numbers = Vec::new();
    for item in items(list) {
        match number(&item) {
            Some(number) => numbers.push(number),
            None => return Err(item),
        }
    }
    numbers.sort_by(f64::total_cmp);
    Ok(numbers)
}

pub(super) fn items(list: &str) -> Vec<Value> {
    let value = serde_json::from_str(list).unwrap_or_else(|_| Value::String(list.to_owned()));
    if let Value::Array(items) = value { items } else { vec![value] }
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|it| it.is_finite())
}

fn all(sorted: &[f64]) -> String {
    sorted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use parallax_language::scenario::model::Expect;
    use serde_json::json;

    use super::*;
    use crate::judge_look;

    #[test]
    fn a_figure_is_what_the_numbers_come_to() {
        let step: FiguresStep =
            serde_json::from_value(json!({"of": "{{ lost.value }}", "name": "lost", "unit": "ms"})).expect("valid");
        let seen = figure(&step, "kills", "[30, 10, 20, 15]", 2).expect("a figure");
        assert_eq!(seen.to_string(), "median 15 ms, worst 30 ms (round 1), least 10 ms, of 4; 2 more rounds were void");
        assert_eq!((figure(&step, "kills", "[]", 0), figure(&step, "kills", "[1, true]", 0)), (None, None));
        assert_eq!((number_of(" 7.5"), number_of("x")), (Some(7.5), None));
    }

    #[test]
    fn numbers_are_counted_and_their_median_and_worst_are_bounded() {
        for (list, expect, cause) in [
            ("[3, 1, 2.5]", json!({"count": 3, "median": {"below": 3}, "worst": {"below": 4, "at-least": 3}}), None),
            ("[1, 2, 3, 4]", json!({"median": {"at-least": 2, "below": 2.1}}), None),
            (r#"["1", " 7 "]"#, json!({"worst": {"at-least": 7}}), None),
            ("5", json!({"count": 1, "worst": {"below": 6}}), None),
            ("[1, 2]", json!({"count": 3}), Some("count: expected 3, saw 2")),
            ("[9, 1, 2]", json!({"median": {"below": 2}}), Some("median: expected below 2, saw 2 of 1, 2, 9")),
            (
                "[9, 1, 2]",
                json!({"worst": {"at-least": 1, "below": 9}}),
                Some("worst: expected 1 or more and below 9, saw 9 of 1, 2, 9"),
            ),
            ("[]", json!({"worst": {"below": 9}}), Some("worst: expected below 9, saw no number")),
            (r#"[1, "x"]"#, json!({"count": 2}), Some(r#"figures: expected numbers, saw "x""#)),
            ("NaN", json!({"count": 1}), Some(r#"figures: expected numbers, saw "NaN""#)),
        ] {
            let wanted: Expect = serde_json::from_value(expect.clone()).expect("valid");
            let said = judge_look(Some(&wanted), &Looked::Numbers(list.to_owned())).cause.map(|it| it.to_string());
            assert_eq!(said.as_deref(), cause, "{list} {expect}");
        }
    }
}
