//! Checks the shape of a value against a schema. Each error of the validator is rewritten as a diagnostic, with its
//! place in the file.

use std::ops::Range;

use jsonptr::Token;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::diagnostic::{Diagnostic, LIMIT, Source, list, nearest, suggest};
use super::document::{Document, join};
use super::duration::Span;
use super::number::REFERENCE;
use super::schema::Shape;

/// Finds where the parts of a value are written in a file.
pub trait Places {
    /// The file in which the value is written.
    fn source(&self) -> &Source;
    /// Returns the part of the file that a message marks if the value at this JSON pointer is wrong, as a byte range.
    fn mark(&self, pointer: &str) -> Range<usize>;
    /// Returns the part of the file that a message marks if the key at this JSON pointer is wrong, as a byte range.
    fn mark_key(&self, pointer: &str) -> Range<usize>;

    /// Returns the diagnostic for a mistake in the value at `pointer`.
    fn error(&self, pointer: &str, message: String) -> Diagnostic {
        self.source().error(&self.mark(pointer), message)
    }

    /// Returns the diagnostic for a mistake in the key at `pointer`.
    fn key_error(&self, pointer: &str, message: String) -> Diagnostic {
        self.source().error(&self.mark_key(pointer), message)
    }
}

impl Places for Document {
    fn source(&self) -> &Source {
        &self.source
    }

    fn mark(&self, pointer: &str) -> Range<usize> {
        Self::mark(self, pointer)
    }

    fn mark_key(&self, pointer: &str) -> Range<usize> {
        Self::mark_key(self, pointer)
    }
}

/// Checks `value` against the schema of `shape`, and deserialises it.
pub fn read<T: DeserializeOwned>(shape: &Shape, value: &Value, places: &dyn Places) -> Result<T, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    for error in shape.validator.iter_errors(value) {
        explain(shape, &error, places, &mut errors);
        if errors.len() > LIMIT {
            break;
        }
    }
    if errors.is_empty() {
        errors = (shape.further)(value, places);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // The schema does not find every error: for example, only deserialisation finds a number outside the range of its
    // type. An error of the deserialisation does not say where the value is, so the diagnostic points to the whole
    // document.
    T::deserialize(value).map_err(|error| vec![places.error("", error.to_string())])
}

fn explain(shape: &Shape, error: &ValidationError<'_>, places: &dyn Places, out: &mut Vec<Diagnostic>) {
    let pointer = error.instance_path().as_str();
    let instance = error.instance().as_ref();
    let schema_path = error.schema_path().as_str();
    let schema =
        schema_path.rfind('/').and_then(|cut| shape.schema.pointer(&schema_path[..cut])).unwrap_or(&Value::Null);
    let diagnostic = match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            out.extend(unexpected.iter().take(LIMIT + 1).map(|key| unknown_key(shape, schema, pointer, key, places)));
            return;
        }
        Kind::Required { property } => {
            missing_key(shape, schema, pointer, property.as_str().unwrap_or_default(), places)
        }
        Kind::Type { kind } => wrong_type(pointer, schema, kind, instance, places),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } | Kind::OneOfMultipleValid { context } => {
            let words = words_of(shape, schema);
            if words.is_empty() || instance.is_array() {
                // The schema has several alternatives here. If an alternative accepts the value itself and refuses only
                // parts inside the value, the author probably meant this alternative. Its errors are the most useful
                // ones.
                let here = |e: &ValidationError<'_>| e.instance_path().as_str() == pointer;
                let meant = context.iter().find(|branch| !branch.iter().any(here));
                // If every alternative refuses the value itself, use the errors of an alternative that accepts values
                // of this type.
                let of_type = |e: &ValidationError<'_>| here(e) && matches!(e.kind(), Kind::Type { .. });
                let fits = || context.iter().find(|branch| !branch.iter().any(of_type));
                if let Some(branch) = meant.or_else(fits).or(context.first()) {
                    for error in branch {
                        explain(shape, error, places, out);
                    }
                    return;
                }
            }
            wrong_word(pointer, instance, &words, places)
        }
        Kind::Enum { options } => {
            let words: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
            wrong_word(pointer, instance, &words, places)
        }
        Kind::Constant { expected_value } => wrong_word(pointer, instance, &[shown(expected_value)], places),
        Kind::Pattern { pattern } => {
            let text = instance.as_str().unwrap_or_default();
            let of_a_span = (pattern == Span::PATTERN).then(|| text.parse::<Span>().err()).flatten();
            if pattern == REFERENCE && text.parse::<f64>().is_ok() {
                places
                    .error(pointer, format!("{} must be a number, not text", name_of(pointer)))
                    .fix(format!("remove the quotes: {text}"))
            } else if pattern == REFERENCE {
                let message = format!("{} must be a number or a reference, not other text", name_of(pointer));
                places.error(pointer, message).fix("write a number, or a reference that yields it")
            } else if let Some((message, fix)) = of_a_span.as_ref().and_then(|why| why.split_once("; ")) {
                places.error(pointer, message.to_owned()).fix(fix)
            } else {
                let means = schema["description"].as_str().map(first_sentence).map(lower_first);
                let fix = means.unwrap_or_else(|| "write it as the documentation shows".to_owned());
                places.error(pointer, format!("{} has the wrong format", name_of(pointer))).fix(fix)
            }
        }
        Kind::MinItems { .. } => {
            places.error(pointer, format!("{} is an empty list", name_of(pointer))).fix("add at least one entry")
        }
        Kind::Minimum { .. } | Kind::Maximum { .. } => {
            let message = format!("{} cannot be {instance}", name_of(pointer));
            places.error(pointer, message).fix(match (&schema["minimum"], &schema["maximum"]) {
                (least, Value::Null) => format!("write {least} or more"),
                (least, greatest) => format!("write a number from {least} to {greatest}"),
            })
        }
        _ => places.error(pointer, error.to_string()),
    };
    out.push(diagnostic);
}

/// The keys of a break's cause that do not exist in a step's `expect`.
const CAUSES_ALONE: [&str; 2] = ["mismatch", "resource"];

fn unknown_key(shape: &Shape, schema: &Value, pointer: &str, key: &str, places: &dyn Places) -> Diagnostic {
    let known = properties(schema);
    let mut fix = suggest(key, known.iter().copied(), "known keys");
    if nearest(key, known.iter().copied()).is_none() {
        // The key may be known, but one level deeper. After a misspelling, this is the most common mistake.
        let holder = known.iter().find(|name| {
            let inner = resolve(shape, &schema["properties"][**name]);
            properties(inner).contains(&key)
        });
        if let Some(holder) = holder {
            fix = format!("`{key}` belongs one level deeper: `{holder}: {{ {key}: … }}`");
        }
    }
    if pointer.ends_with("/expect") && CAUSES_ALONE.contains(&key) {
        fix = format!(
            "`{key}` is a cause and not a matcher: a break declares it, `fails: {{ STEP: {{ {key}: … }} }}`; a step of the flow expects its answer, for example `status: 200`"
        );
    }
    places.key_error(&join(pointer, key), format!("unknown key `{key}`")).label("not known here").fix(fix)
}

fn missing_key(shape: &Shape, schema: &Value, pointer: &str, key: &str, places: &dyn Places) -> Diagnostic {
    let property = &schema["properties"][key];
    let doc = property["description"].as_str().or_else(|| resolve(shape, property)["description"].as_str());
    let fix = match doc {
        Some(doc) => format!("add `{key}:` ({})", lower_first(first_sentence(doc))),
        None => format!("add `{key}:`"),
    };
    places.key_error(pointer, format!("{} has no `{key}`", name_of(pointer))).fix(fix)
}

fn wrong_type(pointer: &str, schema: &Value, kind: &TypeKind, instance: &Value, places: &dyn Places) -> Diagnostic {
    let expected: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect(),
    };
    let words: Vec<&str> = expected.iter().map(|name| type_word(name)).collect();
    let span = schema["pattern"] == Span::PATTERN;
    let words = if span { "a span of time".to_owned() } else { words.join(" or ") };
    if instance.is_null() {
        let message = format!("{} has no value", name_of(pointer));
        return places.error(pointer, message).fix(format!("give it {words}, or remove the key"));
    }
    let message = format!("{} must be {words}, not {}", name_of(pointer), word_of(instance));
    let fix = match (expected[0].as_str(), instance) {
        (_, Value::Number(number)) if span => format!("add the unit: {number}s, {number}m, {number}h"),
        ("string", Value::Array(items)) if items.len() == 1 => {
            format!("write it without brackets: {}", shown(&items[0]))
        }
        ("string", Value::Array(_)) => "write one text".to_owned(),
        ("string", Value::Number(_) | Value::Bool(_)) => format!("put it in quotes: \"{instance}\""),
        ("string", Value::Object(_)) => "put a template with `{{ }}` in double quotes".to_owned(),
        ("integer" | "number", Value::String(text)) if text.parse::<f64>().is_ok() => {
            format!("remove the quotes: {text}")
        }
        ("integer" | "number", _) => "write a number".to_owned(),
        ("boolean", Value::String(text)) if matches!(text.as_str(), "yes" | "on") => "write `true`".to_owned(),
        ("boolean", Value::String(text)) if matches!(text.as_str(), "no" | "off") => "write `false`".to_owned(),
        ("boolean", _) => "write `true` or `false`".to_owned(),
        ("array", Value::Object(_)) => "write a list, and begin each entry with `- `".to_owned(),
        ("array", other) => format!("write a list: [{}]", shown(other)),
        ("object", _) if pointer.is_empty() => "write a mapping, beginning with `name:`".to_owned(),
        ("object", Value::Array(_)) => "write a mapping with `id: …` for each entry, without `- `".to_owned(),
        ("object", _) => "write a mapping of `key: value` lines, indented".to_owned(),
        _ => "change the type".to_owned(),
    };
    places.error(pointer, message).fix(fix)
}

fn wrong_word(pointer: &str, instance: &Value, words: &[String], places: &dyn Places) -> Diagnostic {
    let found = shown(instance);
    let message = match instance {
        Value::String(_) => format!("{} does not accept `{found}`", name_of(pointer)),
        other => format!("{} must be one of its words, not {}", name_of(pointer), word_of(other)),
    };
    let fix = match nearest(&found, words.iter().map(String::as_str)) {
        Some(word) => format!("did you mean `{word}`? Accepted values: {}", list(words)),
        None => format!("accepted values: {}", list(words)),
    };
    places.error(pointer, message).fix(fix)
}

/// Returns the values that an enumeration in the schema accepts. Follows references and alternatives of the schema.
fn words_of(shape: &Shape, schema: &Value) -> Vec<String> {
    let schema = resolve(shape, schema);
    if let Some(word) = schema.get("const") {
        return vec![shown(word)];
    }
    let listed = schema["enum"].as_array().into_iter().flatten().map(shown);
    let branches = ["oneOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten();
    listed.chain(branches.flat_map(|branch| words_of(shape, branch))).collect()
}

fn resolve<'a>(shape: &'a Shape, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => shape.schema.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

fn properties(schema: &Value) -> Vec<&str> {
    schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Returns words for the value at a JSON pointer, for use in a message: `this step`.
pub fn name_of(pointer: &str) -> String {
    let mut steps = pointer.rsplit('/');
    match (steps.next(), steps.next()) {
        (None | Some(""), _) => "the file".to_owned(),
        (Some(last), Some("flow")) if last.parse::<usize>().is_ok() => "this step".to_owned(),
        (Some(number), Some(holder)) if number.parse::<usize>().is_ok() => format!("an entry of `{holder}`"),
        (Some(last), _) => {
            format!("`{}`", Token::from_encoded(last).map_or(last.into(), |token| token.decoded().into_owned()))
        }
    }
}

fn type_word(name: &str) -> &'static str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

/// Returns the type of a value in words, for messages.
pub fn word_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the first sentence of a description, without its full stop.
fn first_sentence(text: &str) -> &str {
    let end = [". ", ".\n"].iter().filter_map(|end| text.find(end)).min();
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

/// Lower-cases the first letter, so that a sentence of the schema can be used within another sentence.
pub fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
