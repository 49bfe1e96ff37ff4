//! The JSON Schemas of the project's files, generated from the Rust types. Editors use them for completion, and the
//! loader uses them for its checks.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::JsonSchema;
use serde_json::Value;

use super::check::Places;
use super::diagnostic::Diagnostic;
use super::model::{STEP_REFERENCE, Scenario};
use super::one_of;
use crate::fixture::FixtureFile;

/// A schema, its compiled form, and further checks of the same values.
#[derive(Debug)]
pub struct Shape {
    /// The schema as a JSON document.
    pub schema: Value,
    /// The compiled form of the schema, which checks a value.
    pub validator: Validator,
    /// Further checks of a value that is valid by the schema. A schema could express these checks, but the messages of
    /// its validator would not help the author.
    pub further: fn(&Value, &dyn Places) -> Vec<Diagnostic>,
}

impl Shape {
    fn of<T: JsonSchema>(further: fn(&Value, &dyn Places) -> Vec<Diagnostic>) -> Self {
        let mut schema = simplified::<T>();
        remove_marks(&mut schema);
        let validator = jsonschema::validator_for(&schema).expect("a generated schema compiles");
        Self { schema, validator, further }
    }
}

fn simplified<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    simplify(&mut schema);
    schema
}

/// Removes the internal keyword for references to steps from a schema. Editors do not need this keyword.
fn remove_marks(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.shift_remove(STEP_REFERENCE);
            map.values_mut().for_each(remove_marks);
        }
        Value::Array(list) => list.iter_mut().for_each(remove_marks),
        _ => {}
    }
}

/// The part of the scenario's schema that describes one value. It tells the type of the value before the value is
/// deserialised. `None` means that the value may have any type.
#[derive(Clone, Copy, Debug)]
pub struct Form(Option<&'static Value>);

/// The scenario's schema as the loader uses it: an internal keyword marks each text that is the id of a step. The
/// published schema does not have this keyword.
static MARKED: LazyLock<Value> = LazyLock::new(simplified::<Scenario>);
/// The reference to the type `Step` in the schema.
const STEP: &str = "#/$defs/Step";

impl Form {
    /// Returns the schema of a step of a flow.
    pub fn step() -> Self {
        Self(MARKED.pointer(&STEP[1..]))
    }

    /// Returns the schema of a value that may have any type.
    pub fn free() -> Self {
        Self(None)
    }

    /// Returns the schema of the value under `key`, if the schema declares this key.
    #[must_use]
    fn key(self, key: &str) -> Self {
        Self(self.resolved().and_then(|it| it.get("properties")?.get(key)))
    }

    /// Returns the schema of an entry of a list, or of a value in a mapping whose keys the author chooses.
    #[must_use]
    pub fn entry(self) -> Self {
        Self(self.resolved().and_then(|it| it.get("items").or_else(|| it.get("additionalProperties"))))
    }

    /// Returns the schema of the value under a key. If the key is not declared, returns the schema for all values of a
    /// mapping whose keys the author chooses.
    #[must_use]
    pub fn below(self, key: &str) -> Self {
        let named = self.key(key);
        if named.is_known() { named } else { self.entry() }
    }

    /// Whether this schema describes the type with the given name.
    pub fn is(self, name: &str) -> bool {
        let named = self.0.and_then(|it| it["$ref"].as_str()).and_then(|it| it.rsplit('/').next());
        named == Some(name) || name == "Step" && self.is_step()
    }

    /// Whether this schema restricts the value. `false` if the value may have any type.
    pub fn is_known(self) -> bool {
        self.0.is_some()
    }

    /// Whether this schema describes a step.
    pub fn is_step(self) -> bool {
        self.resolved().is_some_and(|it| MARKED.pointer(&STEP[1..]).is_some_and(|step| std::ptr::eq(it, step)))
    }

    /// Whether this schema describes a text that is the id of another step.
    pub fn is_reference(self) -> bool {
        self.0.is_some_and(|it| it.get(STEP_REFERENCE).is_some())
    }

    fn resolved(self) -> Option<&'static Value> {
        let schema = self.0?;
        match schema["$ref"].as_str() {
            Some(reference) => MARKED.pointer(reference.trim_start_matches('#')),
            None => Some(schema),
        }
    }
}

/// The schema of `scenario.yaml`, with further checks.
pub static SCENARIO: LazyLock<Shape> = LazyLock::new(|| Shape::of::<Scenario>(one_of::check));
/// The schema of `fixture.yaml`. It has no further checks.
pub static FIXTURE: LazyLock<Shape> = LazyLock::new(|| Shape::of::<FixtureFile>(|_, _| Vec::new()));

/// Returns the schema files of the repository, each as path and text.
///
/// # Panics
/// Never. A schema is JSON already.
pub fn files() -> [(&'static str, String); 2] {
    [("schema/scenario.schema.json", &SCENARIO), ("schema/fixture.schema.json", &FIXTURE)].map(|(path, shape)| {
        let mut text = serde_json::to_string_pretty(&shape.schema).expect("a schema serialises");
        text.push('\n');
        (path, text)
    })
}

/// Compares `files`, pairs of path and text, with the files under `root`. Returns the paths of the files that are
/// missing there or have another text.
pub fn stale(root: &Path, files: &[(&'static str, String)]) -> Vec<&'static str> {
    let differs = |path: &str, text: &str| std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(text);
    files.iter().filter(|(path, text)| differs(path, text)).map(|(path, _)| *path).collect()
}

/// Removes `null` from every type `X or null` in a schema. An author may leave out an optional field, but a key without
/// a value is a mistake. The removal also makes the messages about `X` simpler.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("default") == Some(&Value::Null) {
                map.shift_remove("default");
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(any)) = map.get_mut("anyOf") {
                any.retain(|option| option.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(one)] = any.as_slice() {
                    let one = one.clone();
                    map.shift_remove("anyOf");
                    map.extend(one);
                }
            }
            map.values_mut().for_each(simplify);
        }
        Value::Array(list) => list.iter_mut().for_each(simplify),
        _ => {}
    }
}
