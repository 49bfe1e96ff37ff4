//! `matrix`: one step written, one step for each value run.
//!
//! A step that mentions `{{ matrix.AXIS }}` stands for one step for each value of the axis, with the id `ID-VALUE`; two axes
//! give the product, in the order in which the axes are written. A step that refers to such a step follows it: there is
//! one for each value, and each refers to the one of its own value. Breaks name `ID-VALUE`, or `ID` for all of them; what
//! they say of some steps by more values wins over what they say of more steps by fewer.
//!
//! All of this happens to the value, before its shape is checked; every part of the result knows where it was written.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::check::Places as _;
use super::diagnostic::{Diagnostic, suggest};
use super::document::{Document, join};
use super::schema::Form;
use super::template::{self, Reference, is_name};

/// The first word of `{{ matrix.AXIS }}`, and the section.
pub const MATRIX: &str = "matrix";
/// How many steps a flow may have when it is expanded.
const STEPS_LIMIT: usize = 200;

/// Values of some axes, in the order of the axes.
type Choice = Vec<(String, String)>;

/// Which steps a document's steps became: `url-boto3` → `url`.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    names: BTreeMap<String, String>,
}

impl Expansion {
    /// One mistake in a step that stands for many is told once.
    pub fn fold(&self, mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut told = std::collections::HashSet::new();
        errors.retain(|it| {
            let quoted = it.message.split('`').map(|part| self.names.get(part).map_or(part, String::as_str));
            told.insert((it.line, it.column, quoted.collect::<Vec<_>>().join("`")))
        });
        errors
    }
}

/// Expands a document in place. What is wrong with the matrix itself comes back, and then nothing was expanded.
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
    // What is left is a scenario without a matrix.
    value.as_object_mut().and_then(|map| map.shift_remove(MATRIX));
    document.rebuild(value, &moves);
    let names = plan.steps.iter().flat_map(|step| step.choices.iter().map(|it| (named(&step.id, it), step.id.clone())));
    Ok(Expansion { names: names.collect() })
}

/// The axes of a matrix, each with its values.
type Axes = Vec<(String, Vec<String>)>;

/// The axes with their values. None where the section has not the shape that the schema asks for, which tells it.
fn axes(document: &Document) -> Result<Option<Axes>, Vec<Diagnostic>> {
    let Some(section) = document.value.get(MATRIX) else { return Ok(Some(Vec::new())) };
    let Some(section) = section.as_object() else { return Ok(None) };
    let mut errors = Vec::new();
    let mut axes = Vec::new();
    for (axis, values) in section {
        let at = join("/matrix", axis);
        if !is_name(axis) {
            let error = document.key_error(&at, format!("`{axis}` cannot be the name of an axis"));
            errors.push(error.fix("lower-case letters, digits and dashes, beginning with a letter"));
        }
        let texts: Option<Vec<&str>> = values.as_array().and_then(|it| it.iter().map(Value::as_str).collect());
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else { return Ok(None) };
        for (index, text) in texts.iter().enumerate() {
            let at = format!("{at}/{index}");
            if !is_name(text) {
                let error = document.error(&at, format!("`{text}` cannot be a value of `{axis}`"));
                errors.push(error.fix("it becomes a part of ids: lower-case letters, digits and dashes"));
            } else if texts[..index].contains(text) {
                let error = document.error(&at, format!("`{axis}` has the value `{text}` twice"));
                errors.push(error.fix("keep one of them"));
            }
        }
        axes.push((axis.clone(), texts.into_iter().map(str::to_owned).collect()));
    }
    if errors.is_empty() { Ok(Some(axes)) } else { Err(errors) }
}

/// What each step becomes.
struct Plan {
    steps: Vec<Planned>,
    by_id: HashMap<String, usize>,
}

struct Planned {
    id: String,
    axes: Vec<String>,
    /// One choice for each step that it becomes; a single empty one where it stays what it is.
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
                let message = format!("with the matrix, the flow has more than {STEPS_LIMIT} steps from here on");
                errors.push(
                    document.error(&format!("{at}/id"), message).fix("leave values out, or make it several scenarios"),
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

    /// Ids that only the expansion makes equal; equal ids that were written so are told later.
    fn clashes(&self, document: &Document) -> Vec<Diagnostic> {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut errors = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            for choice in &step.choices {
                let name = named(&step.id, choice);
                let Some(first) = taken.insert(name.clone(), index).map(|it| &self.steps[it]) else { continue };
                if choice.is_empty() && first.axes.is_empty() || first.id == step.id {
                    continue;
                }
                let message = format!("`{}` and `{}` both become `{name}`", first.id, step.id);
                let error = document.error(&format!("/flow/{index}/id"), message);
                errors.push(error.fix("a step's id gets the values of its axes: give one of the two another id"));
            }
        }
        errors
    }

    /// The steps that a name in a break stands for: `ID` all of them, `ID-VALUE` those with that value. How many values the
    /// name gives comes with them; a name that stands for nothing is told later.
    fn meant(&self, name: &str) -> (usize, Vec<(&Planned, &Choice)>) {
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

    /// A text with its references to the matrix filled in, and to expanded steps those of the same choice.
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

    /// The id of the step that `id` stands for where these values are chosen.
    fn follow(&self, id: &str, choice: &Choice) -> Option<String> {
        let step = &self.steps[*self.by_id.get(id)?];
        let own = step.axes.iter().map(|axis| choice.iter().find(|(name, _)| name == axis).cloned());
        Some(named(id, &own.collect::<Option<Choice>>()?))
    }

    /// A part of a step as it stands for one choice. What is the id of another step, its type says.
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

/// The new value, with where its parts come from.
struct Rebuilt<'a> {
    plan: &'a Plan,
    value: Value,
    /// Pointers of the written value → pointers of the new one.
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
                    expanded["id"] = Value::String(named(&planned.id, choice));
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
                // A step that is named more closely as blocked is not among those that fail.
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
        let (values, meant) = self.plan.meant(block.as_str().unwrap_or_default());
        if meant.is_empty() {
            return vec![block.clone()];
        }
        let names = meant.into_iter().map(|(step, choice)| named(&step.id, choice));
        names.filter(|name| !self.closer(fails, name, values)).map(Value::String).collect()
    }

    /// Whether one of these names means the step by more than so many values.
    fn closer(&self, names: &[&str], step: &str, values: usize) -> bool {
        names.iter().any(|name| {
            let (others, meant) = self.plan.meant(name);
            others > values && meant.iter().any(|(of, choice)| named(&of.id, choice) == step)
        })
    }

    /// Entries by step id, but for the steps that `others` name more closely.
    fn map(
        &mut self,
        document: &Document,
        (map, form): (&Map<String, Value>, Form),
        others: &[&str],
        pointer: &str,
    ) -> Map<String, Value> {
        let mut entries: Vec<(usize, &String, &Value)> =
            map.iter().map(|(name, it)| (self.plan.meant(name).0, name, it)).collect();
        entries.sort_by_key(|(values, ..)| *values);
        let mut expanded = Map::new();
        for (values, name, value) in entries {
            let from = join(pointer, name);
            let (_, meant) = self.plan.meant(name);
            if meant.is_empty() {
                self.moves.push((from.clone(), from));
                expanded.insert(name.clone(), value.clone());
                continue;
            }
            for (step, choice) in meant {
                self.unknown_axes(document, value, &from, choice);
                let name = named(&step.id, choice);
                if self.closer(others, &name, values) {
                    continue;
                }
                let to = join(pointer, &name);
                if expanded.insert(name, self.plan.part(form, value, choice)).is_some() {
                    // It was written where it is named more closely.
                    self.moves.retain(|(_, other)| *other != to);
                }
                self.moves.push((from.clone(), to));
            }
        }
        expanded
    }

    /// A change of a step can only mention the axes that the step has.
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

/// `ID-VALUE-VALUE`
fn named(id: &str, choice: &Choice) -> String {
    choice.iter().fold(id.to_owned(), |name, (_, value)| format!("{name}-{value}"))
}

/// Every choice of one value for each axis; the last axis changes fastest.
fn product(axes: &[&(String, Vec<String>)]) -> Vec<Choice> {
    axes.iter().fold(vec![Choice::new()], |choices, (axis, values)| {
        let with = |choice: &Choice| {
            let one = |value: &String| choice.iter().cloned().chain([(axis.clone(), value.clone())]).collect();
            values.iter().map(one).collect::<Vec<Choice>>()
        };
        choices.iter().flat_map(with).collect()
    })
}

/// The ways to name some of `count` axes, at least one, all of them first.
fn subsets(count: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = (1_usize..1 << count.min(8))
        .map(|bits| (0..count).filter(|index| bits & (1 << index) != 0).collect())
        .collect();
    all.sort_by_key(|some: &Vec<usize>| std::cmp::Reverse(some.len()));
    all
}

/// References in all texts of a value, with the pointer of each.
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

/// The axes that a step mentions.
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
            Some(named) if axes.iter().any(|(name, _)| *name == named) => mentioned.push(named),
            Some(named) => {
                let error = document.error(&pointer, format!("`{{{{ {path} }}}}`: there is no axis `{named}`"));
                errors.push(error.fix(if axes.is_empty() {
                    format!("add `matrix: {{ {named}: [ … ] }}` to the scenario")
                } else {
                    suggest(&named, axes.iter().map(|(name, _)| name.as_str()), "axes")
                }));
            }
            None => {
                let error = document.error(&pointer, "`{{ matrix }}` names no axis".to_owned());
                errors.push(error.fix("write `{{ matrix.AXIS }}`"));
            }
        }
    }
    mentioned
}

/// The ids of the steps that a step refers to.
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
