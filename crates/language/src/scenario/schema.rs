//! The JSON Schemas of our files, generated from the Rust types: what editors complete from and what is checked against.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use schemars::JsonSchema;
use serde_json::Value;

use super::model::Scenario;
use crate::fixture::FixtureFile;

/// A schema and its compiled form.
#[derive(Debug)]
pub struct Shape {
    /// The schema.
    pub schema: Value,
    /// The schema, compiled.
    pub validator: Validator,
}

impl Shape {
    fn of<T: JsonSchema>() -> Self {
        let mut schema = schemars::schema_for!(T).to_value();
        simplify(&mut schema);
        let validator = jsonschema::validator_for(&schema).expect("a generated schema compiles");
        Self { schema, validator }
    }
}

/// The shape of `scenario.yaml`.
pub static SCENARIO: LazyLock<Shape> = LazyLock::new(Shape::of::<Scenario>);
/// The shape of `fixture.yaml`.
pub static FIXTURE: LazyLock<Shape> = LazyLock::new(Shape::of::<FixtureFile>);

/// The schema files of the repository: path and text.
///
/// # Panics
/// Never: a schema is JSON already.
pub fn files() -> [(&'static str, String); 2] {
    [("schema/scenario.schema.json", &SCENARIO), ("schema/fixture.schema.json", &FIXTURE)].map(|(path, shape)| {
        let mut text = serde_json::to_string_pretty(&shape.schema).expect("a schema serialises");
        text.push('\n');
        (path, text)
    })
}

/// The schema files under `root` that are not what the types generate.
pub fn differences(root: &Path) -> Vec<&'static str> {
    stale(root, &files())
}

/// Those of the files, each with its path under `root`, that are not there with this text.
pub fn stale(root: &Path, files: &[(&'static str, String)]) -> Vec<&'static str> {
    let differs = |path: &str, text: &str| std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(text);
    files.iter().filter(|(path, text)| differs(path, text)).map(|(path, _)| *path).collect()
}

/// An optional field is one that may be left out: a key without a value is a mistake, not an absence. So `null` is taken
/// out of every `X or null`, which also makes the messages about `X` direct.
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
