//! `matrix`: expands one step into several, one for each value of an axis.
//!
//! A step that mentions `{{ matrix.AXIS }}` becomes one step for each value of the axis, with the id `ID-VALUE`. Two
//! axes give the product of their values, in the order in which the axes are written. If a step refers to an expanded
//! step, it is expanded too: each copy refers to the copy with the same value. A break refers to one expanded step by
//! `ID-VALUE`, or to all copies by `ID`. If several entries of a break refer to the same expanded step, the entry with
//! more values in its name takes precedence.
//!
//! The expansion changes the value of the document before its shape is checked. Every part of the result keeps its
//! place in the file.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::check::Places as _;
use super::diagnostic::{Diagnostic, suggest};
use super::document::{Document, join};
use super::schema::Form;
use super::template::{self, Reference, is_name};

/// The key of the section in a scenario, and the first word of `{{ matrix.AXIS }}`.
pub const MATRIX: &str = "matrix";
/// The largest number of steps that a scenario may have after the expansion.
const STEPS_LIMIT: usize = 200;

/// One value for each axis of an expanded step, as pairs of axis and value, in the order of the axes.
type Choice = Vec<(String, String)>;

/// The original id of each expanded step. For example, it maps `url-boto3` to `url`.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    names: BTreeMap<String, String>,
}

impl Expansion {
    /// Removes duplicate errors. Without the removal, a mistake in one written step would be reported for each of its
    /// copies.
    pub fn deduplicate(&self, mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut seen = std::collections::HashSet::new();
        errors.retain(|it| {
            let quoted = it.message.split('`').map(|part| self.names.get(part).map_or(part, String::as_str));
            seen.insert((it.line, it.column, quoted.collect::<Vec<_>>().join("`")))
        });
        errors
    }
}

/// Expands a document in place. If the matrix itself is wrong, its errors are returned and nothing is expanded.
pub fn expand(document: &mut Document) -> Result<Expansion, Vec<Diagnostic>> {
    let Some(axes) = axes(document)? else { return Ok(Expansion::default()) };
    let plan = Plan::make(document, &axes)?;
    if axes.is_empty() {
        return Ok(Expansion::default());
    }
    let mut rebuilt = Rebuilt { plan: &plan, value: document.value.clone(), moves: Vec::new(), errors: Vec::new() };
    rebuilt.flow(document);
    rebuilt.breaks(document);
    let Rebuilt { mut value, moves, errors, .. } = rebuilt;
    if !errors.is_empty() {
        return Err(errors);
    }
    // The expanded scenario has no `matrix` section.
    value.as_object_mut().and_then(|map| map.shift_remove(MATRIX));
    document.rebuild(value, &moves);
    let names =
        plan.steps.iter().flat_map(|step| step.choices.iter().map(|it| (expanded_id(&step.id, it), step.id.clone())));
    Ok(Expansion { names: names.collect() })
}

/// The axes of a matrix: pairs of a name and its values.
type Axes = Vec<(String, Vec<String>)>;

/// Reads the axes of a document's `matrix`. Returns `None` if this section has the wrong shape. The check against the
/// schema then reports the mistake.
fn axes(document: &Document) -> Result<Option<Axes>, Vec<Diagnostic>> {
    let Some(section) = document.value.get(MATRIX) else { return Ok(Some(Vec::new())) };
    let Some(section) = section.as_object() else { return Ok(None) };
    let mut errors = Vec::new();
    let mut axes = Vec::new();
    for (axis, values) in section {
        let at = join("/matrix", axis);
        if !is_name(axis) {
            let error = document.key_error(&at, format!("`{axis}` is not a valid name of an axis"));
            errors.push(error.fix("use lower-case letters, digits and dashes, and begin with a letter"));
        }
        let texts: Option<Vec<&str>> = values.as_array().and_then(|it| it.iter().map(Value::as_str).collect());
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else { return Ok(None) };
        for (index, text) in texts.iter().enumerate() {
            let at = format!("{at}/{index}");
            if !is_name(text) {
                let error = document.error(&at, format!("`{text}` is not a valid value of `{axis}`"));
                errors.push(error.fix("it becomes a part of ids, so use lower-case letters, digits and dashes"));
            } else if texts[..index].contains(text) {
                let error = document.error(&at, format!("`{axis}` has the value `{text}` twice"));
                errors.push(error.fix("keep one of them"));
            }
        }
        axes.push((axis.clone(), texts.into_iter().map(str::to_owned).collect()));
    }
    if errors.is_empty() { Ok(Some(axes)) } else { Err(errors) }
}

/// The plan of the expansion: for each step that the file has, the copies into which it is expanded.
struct Plan {
    steps: Vec<Planned>,
    by_id: HashMap<String, usize>,
}

struct Planned {
    id: String,
    axes: Vec<String>,
    /// One choice for each copy of the step. A step that is not expanded has a single empty choice.
    choices: Vec<Choice>,
}

impl Plan {
    fn make(document: &Document, axes: &[(String, Vec<String>)]) -> Result<Self, Vec<Diagnostic>> {
        let flow = document.value.get("flow").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut plan = Self { steps: Vec::new(), by_id: HashMap::new() };
        let mut errors = Vec::new();
        let mut total = 0_usize;
        for (index, step) in flow.iter().enumerate() {
            let at = format!("/flow/{index}");
            let mentioned = mentioned(document, step, &at, axes, &mut errors);
            let followed = followed(step).filter_map(|id| plan.by_id.get(&id)).flat_map(|it| &plan.steps[*it].axes);
            let followed: Vec<String> = followed.cloned().collect();
            let own = axes.iter().filter(|(axis, _)| mentioned.contains(axis) || followed.contains(axis));
            let own: Vec<&(String, Vec<String>)> = own.collect();
            let many = own.iter().fold(1_usize, |product, (_, values)| product.saturating_mul(values.len()));
            total = total.saturating_add(many);
            if !axes.is_empty() && total > STEPS_LIMIT {
                let message = format!("with the matrix, the flow has more than {STEPS_LIMIT} steps at this step");
                errors.push(
                    document
                        .error(&format!("{at}/id"), message)
                        .fix("remove values, or split the scenario into several"),
                );
                break;
            }
            let id = step["id"].as_str().unwrap_or_default().to_owned();
            plan.by_id.entry(id.clone()).or_insert(index);
            plan.steps.push(Planned {
                id,
                axes: own.iter().map(|(axis, _)| axis.clone()).collect(),
                choices: product(&own),
            });
        }
        if errors.is_empty() {
            errors.extend(plan.unused(document, axes));
            errors.extend(plan.clashes(document));
        }
        if errors.is_empty() { Ok(plan) } else { Err(errors) }
    }

    fn unused(&self, document: &Document, axes: &[(String, Vec<String>)]) -> Vec<Diagnostic> {
        let unused = axes.iter().filter(|(axis, _)| !self.steps.iter().any(|step| step.axes.contains(axis)));
        let error = |(axis, _): &(String, Vec<String>)| {
            let error = document.key_error(&join("/matrix", axis), format!("no step uses the axis `{axis}`"));
            error.fix(format!("write `{{{{ matrix.{axis} }}}}` in a step, or remove the axis"))
        };
        unused.map(error).collect()
    }

    /// Finds steps that get equal ids only by the expansion. A later check reports ids that are equal in the file
    /// itself.
    fn clashes(&self, document: &Document) -> Vec<Diagnostic> {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut errors = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            for choice in &step.choices {
                let name = expanded_id(&step.id, choice);
                let Some(first) = taken.insert(name.clone(), index).map(|it| &self.steps[it]) else { continue };
                if choice.is_empty() && first.axes.is_empty() || first.id == step.id {
                    continue;
                }
                let message = format!("`{}` and `{}` both become `{name}`", first.id, step.id);
                let error = document.error(&format!("/flow/{index}/id"), message);
                errors.push(
                    error.fix("the expansion appends the values of the axes to the id; change one of the two ids"),
                );
            }
        }
        errors
    }

    /// Returns the steps that a name in a break refers to: `ID` refers to all copies, `ID-VALUE` to the copies with
    /// that value. The first result is the number of values in the name. An unknown name refers to no step, and a later
    /// check reports it.
    fn steps_of(&self, name: &str) -> (usize, Vec<(&Planned, &Choice)>) {
        if let Some(index) = self.by_id.get(name) {
            let step = &self.steps[*index];
            return (0, step.choices.iter().map(|choice| (step, choice)).collect());
        }
        for step in self.steps.iter().filter(|step| !step.axes.is_empty()) {
            let Some(rest) = name.strip_prefix(step.id.as_str()).and_then(|rest| rest.strip_prefix('-')) else {
                continue;
            };
            for some in subsets(step.axes.len()) {
                let part = |choice: &Choice| -> String {
                    let values = some.iter().map(|index| choice[*index].1.as_str());
                    values.collect::<Vec<_>>().join("-")
                };
                let those: Vec<_> = step.choices.iter().filter(|choice| part(choice) == rest).collect();
                if !those.is_empty() {
                    return (some.len(), those.into_iter().map(|choice| (step, choice)).collect());
                }
            }
        }
        (0, Vec::new())
    }

    /// Replaces `{{ matrix.AXIS }}` in a text by the value of the axis. A reference to an expanded step becomes a
    /// reference to the copy with the same values.
    fn text(&self, text: &str, choice: &Choice) -> String {
        let Ok(references) = template::references(text) else { return text.to_owned() };
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for reference in references {
            out.push_str(&text[at..reference.range.start]);
            match self.value(&reference, choice) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&text[reference.range.clone()]),
            }
            at = reference.range.end;
        }
        out.push_str(&text[at..]);
        out
    }

    fn value(&self, reference: &Reference, choice: &Choice) -> Option<String> {
        if reference.name == MATRIX {
            let axis = reference.field.as_ref()?;
            return choice.iter().find(|(name, _)| name == axis).map(|(_, value)| value.clone());
        }
        let other = self.follow(&reference.name, choice)?;
        let field = reference.field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
        Some(format!("{{{{ {other}{field} }}}}"))
    }

    /// Returns the id of the copy of step `id` that has the values of `choice`. `None` if there is no step `id`, or if
    /// the step has no copy with these values.
    fn follow(&self, id: &str, choice: &Choice) -> Option<String> {
        let step = &self.steps[*self.by_id.get(id)?];
        let own = step.axes.iter().map(|axis| choice.iter().find(|(name, _)| name == axis).cloned());
        Some(expanded_id(id, &own.collect::<Option<Choice>>()?))
    }

    /// Expands one part of a step for one combination of axis values (`choice`). `form` is the schema of the part and
    /// says which texts are ids of other steps.
    fn part(&self, form: Form, value: &Value, choice: &Choice) -> Value {
        match value {
            Value::String(text) if form.is_reference() => {
                Value::String(self.follow(text, choice).unwrap_or_else(|| text.clone()))
            }
            Value::String(text) => Value::String(self.text(text, choice)),
            Value::Array(items) => Value::Array(items.iter().map(|it| self.part(form.entry(), it, choice)).collect()),
            Value::Object(map) => {
                let part = |key: &String, it: &Value| match key.as_str() {
                    "id" if form.is_step() => it.clone(),
                    key => self.part(form.below(key), it, choice),
                };
                Value::Object(map.iter().map(|(key, it)| (key.clone(), part(key, it))).collect())
            }
            other => other.clone(),
        }
    }
}

/// The scenario's value after the expansion of the matrix, and where each of its parts is written in the file.
struct Rebuilt<'a> {
    plan: &'a Plan,
    value: Value,
    /// Pairs of JSON pointers: a pointer into the written value, and the pointer into the expanded value for the same
    /// part.
    moves: Vec<(String, String)>,
    errors: Vec<Diagnostic>,
}

impl Rebuilt<'_> {
    fn flow(&mut self, document: &Document) {
        let Some(flow) = document.value.get("flow").and_then(Value::as_array) else { return };
        let mut steps = Vec::new();
        for (index, (step, planned)) in flow.iter().zip(&self.plan.steps).enumerate() {
            for choice in &planned.choices {
                let mut expanded = self.plan.part(Form::step(), step, choice);
                if !choice.is_empty() {
                    expanded["id"] = Value::String(expanded_id(&planned.id, choice));
                }
                self.moves.push((format!("/flow/{index}"), format!("/flow/{}", steps.len())));
                steps.push(expanded);
            }
        }
        self.value["flow"] = Value::Array(steps);
    }

    fn breaks(&mut self, document: &Document) {
        let of = |section: &'static str| {
            let specs = document.value.get(section).and_then(Value::as_object).into_iter().flatten();
            specs.map(move |(id, spec)| (join(&format!("/{section}"), id), spec))
        };
        for (at, spec) in of("breaks").chain(of("variants")) {
            let blocks = spec.get("blocks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let fails: Vec<&str> =
                spec["fails"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            for (below, form) in [("/change/flow", Form::step()), ("/fails", Form::free())] {
                let pointer = format!("{at}{below}");
                let Some(map) = spec.pointer(below).and_then(Value::as_object) else { continue };
                // Both `blocks` and `fails` can refer to the same expanded step. If the name in `blocks` contains more
                // axis values than the name in `fails`, `blocks` takes precedence, and the step is removed from
                // `fails`.
                let blocks =
                    if below == "/fails" { blocks.iter().filter_map(Value::as_str).collect() } else { Vec::new() };
                let expanded = self.map(document, (map, form), &blocks, &pointer);
                if let Some(target) = self.value.pointer_mut(&pointer) {
                    *target = Value::Object(expanded);
                }
            }
            if !blocks.is_empty() {
                let pointer = format!("{at}/blocks");
                let mut expanded: Vec<Value> = Vec::new();
                for (index, block) in blocks.iter().enumerate() {
                    for name in self.names(block, &fails) {
                        self.moves.push((format!("{pointer}/{index}"), format!("{pointer}/{}", expanded.len())));
                        expanded.push(name);
                    }
                }
                if let Some(target) = self.value.pointer_mut(&pointer) {
                    *target = Value::Array(expanded);
                }
            }
        }
    }

    fn names(&self, block: &Value, fails: &[&str]) -> Vec<Value> {
        let (values, steps) = self.plan.steps_of(block.as_str().unwrap_or_default());
        if steps.is_empty() {
            return vec![block.clone()];
        }
        let names = steps.into_iter().map(|(step, choice)| expanded_id(&step.id, choice));
        names.filter(|name| !self.more_specific(fails, name, values)).map(Value::String).collect()
    }

    /// Whether one of the names in `names` refers to the step `step` and contains more than `values` axis values.
    fn more_specific(&self, names: &[&str], step: &str, values: usize) -> bool {
        names.iter().any(|name| {
            let (others, steps) = self.plan.steps_of(name);
            others > values && steps.iter().any(|(of, choice)| expanded_id(&of.id, choice) == step)
        })
    }

    /// Expands a mapping whose keys refer to steps. An expanded step is left out if a name in `others` also refers to
    /// the step and contains more axis values than the key.
    fn map(
        &mut self,
        document: &Document,
        (map, form): (&Map<String, Value>, Form),
        others: &[&str],
        pointer: &str,
    ) -> Map<String, Value> {
        let mut entries: Vec<(usize, &String, &Value)> =
            map.iter().map(|(name, it)| (self.plan.steps_of(name).0, name, it)).collect();
        entries.sort_by_key(|(values, ..)| *values);
        let mut expanded = Map::new();
        for (values, name, value) in entries {
            let from = join(pointer, name);
            let (_, steps) = self.plan.steps_of(name);
            if steps.is_empty() {
                self.moves.push((from.clone(), from));
                expanded.insert(name.clone(), value.clone());
                continue;
            }
            for (step, choice) in steps {
                self.unknown_axes(document, value, &from, choice);
                let name = expanded_id(&step.id, choice);
                if self.more_specific(others, &name, values) {
                    continue;
                }
                let to = join(pointer, &name);
                if expanded.insert(name, self.plan.part(form, value, choice)).is_some() {
                    // The entries are sorted by the number of axis values in their names, smallest first. So a later
                    // entry takes precedence and replaces the earlier entry.
                    self.moves.retain(|(_, other)| *other != to);
                }
                self.moves.push((from.clone(), to));
            }
        }
        expanded
    }

    /// Reports a mistake in the change of a step: the change mentions an axis that the step does not use.
    fn unknown_axes(&mut self, document: &Document, value: &Value, at: &str, choice: &Choice) {
        for (pointer, reference) in references(value, at) {
            let Some(axis) = reference.field.filter(|_| reference.name == MATRIX) else { continue };
            if !choice.iter().any(|(name, _)| *name == axis) {
                let error = document.error(&pointer, format!("this step has no axis `{axis}`"));
                self.errors.push(error.fix(suggest(&axis, choice.iter().map(|(name, _)| name.as_str()), "its axes")));
            }
        }
    }
}

/// Returns the id of an expanded step: `ID-VALUE-VALUE`, with one value for each axis.
fn expanded_id(id: &str, choice: &Choice) -> String {
    choice.iter().fold(id.to_owned(), |name, (_, value)| format!("{name}-{value}"))
}

/// Returns all combinations of one value for each axis. The last axis changes fastest.
fn product(axes: &[&(String, Vec<String>)]) -> Vec<Choice> {
    axes.iter().fold(vec![Choice::new()], |choices, (axis, values)| {
        let with = |choice: &Choice| {
            let one = |value: &String| choice.iter().cloned().chain([(axis.clone(), value.clone())]).collect();
            values.iter().map(one).collect::<Vec<Choice>>()
        };
        choices.iter().flat_map(with).collect()
    })
}

/// Returns all non-empty subsets of `count` axes as lists of indices, the largest subsets first.
fn subsets(count: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = (1_usize..1 << count.min(8))
        .map(|bits| (0..count).filter(|index| bits & (1 << index) != 0).collect())
        .collect();
    all.sort_by_key(|some: &Vec<usize>| std::cmp::Reverse(some.len()));
    all
}

/// Returns all references in the texts of a value, each with the JSON pointer of its text.
fn references(value: &Value, at: &str) -> Vec<(String, Reference)> {
    match value {
        Value::String(text) => {
            let found = template::references(text).unwrap_or_default();
            found.into_iter().map(|reference| (at.to_owned(), reference)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(i, it)| references(it, &format!("{at}/{i}"))).collect()
        }
        Value::Object(map) => map.iter().flat_map(|(key, it)| references(it, &join(at, key))).collect(),
        _ => Vec::new(),
    }
}

/// Returns the axes that a step mentions. An unknown axis is reported in `errors`.
fn mentioned(
    document: &Document,
    step: &Value,
    at: &str,
    axes: &[(String, Vec<String>)],
    errors: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let mut mentioned = Vec::new();
    for (pointer, reference) in references(step, at).into_iter().filter(|(_, it)| it.name == MATRIX) {
        let path = reference.path();
        match reference.field {
            Some(name) if axes.iter().any(|(known, _)| *known == name) => mentioned.push(name),
            Some(name) => {
                let error = document.error(&pointer, format!("`{{{{ {path} }}}}`: there is no axis `{name}`"));
                errors.push(error.fix(if axes.is_empty() {
                    format!("add `matrix: {{ {name}: [ … ] }}` to the scenario")
                } else {
                    suggest(&name, axes.iter().map(|(known, _)| known.as_str()), "axes")
                }));
            }
            None => {
                let error = document.error(&pointer, "`{{ matrix }}` does not name an axis".to_owned());
                errors.push(error.fix("write `{{ matrix.AXIS }}`"));
            }
        }
    }
    mentioned
}

/// Returns the ids of the steps to which a step refers, in templates and in fields that take the id of a step.
fn followed(step: &Value) -> impl Iterator<Item = String> {
    let mut ids: Vec<String> = references(step, "").into_iter().map(|(_, reference)| reference.name).collect();
    named_ids(Form::step(), step, &mut ids);
    ids.into_iter()
}

fn named_ids(form: Form, value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::String(text) if form.is_reference() => ids.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|it| named_ids(form.entry(), it, ids)),
        Value::Object(map) => map.iter().for_each(|(key, it)| named_ids(form.below(key), it, ids)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
