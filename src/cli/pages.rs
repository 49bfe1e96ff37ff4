//! The reference pages in `docs/reference` and the JSON schemas. They are generated from the Rust types of the
//! program, so that they agree with the program.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use serde_json::Value;

use super::args::Cli;
use parallax_language::fixture::{Fixture, Library};
use parallax_language::scenario::Kind;
use parallax_language::scenario::schema::{FIXTURE, SCENARIO};

/// The first line of each page.
const MADE: &str = "<!-- Made by `parallax docs` from the types; do not edit. -->";
/// The width at which the help text in the pages is wrapped, in characters. It is fixed, so that the pages do not
/// depend on the terminal.
const WIDTH: usize = 100;

/// Returns the path of each page below the project, and the text of the page.
pub fn files() -> Vec<(&'static str, String)> {
    vec![
        ("docs/reference/scenario.md", scenario()),
        ("docs/reference/fixture-file.md", fixture_file()),
        ("docs/reference/fixtures.md", fixtures(&Library::shipped())),
        ("docs/reference/command-line.md", command_line()),
    ]
}

/// Returns the paths of the pages below `root` whose content is not what the program would generate now.
pub fn differences(root: &Path) -> Vec<&'static str> {
    parallax_language::scenario::schema::stale(root, &files())
}

/// Returns the paths of the JSON schemas below the project, and their texts.
pub fn schemas() -> Vec<(&'static str, String)> {
    let of_records = (parallax_record::SCHEMA_FILE, parallax_record::schema());
    parallax_language::scenario::schema::files().into_iter().chain([of_records]).collect()
}

fn scenario() -> String {
    let mut out = format!(
        "{MADE}\n\n# The scenario file\n\n`scenarios/AREA/NAME/scenario.yaml`. Unknown keys are errors. A text may hold \
         `{{{{ fixture.export }}}}`, `{{{{ step }}}}`, `{{{{ step.capture }}}}`, and `{{{{ variant.nonce }}}}`: a word that no other \
         variant has, for keys.\n"
    );
    write_types(&mut out, &SCENARIO.schema);
    out.push_str(
        "\n## Which step can fail with which cause\n\n| step | looks from a vantage | causes |\n|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let nature = kind.nature();
        let causes: Vec<String> = nature.causes.iter().map(|cause| format!("`{cause}`")).collect();
        let from = if nature.from_vantage { "yes" } else { "" };
        let _ = writeln!(out, "| `{kind}` | {from} | {} |", causes.join(", "));
    }
    out
}

fn fixture_file() -> String {
    let mut out = format!(
        "{MADE}\n\n# The fixture file\n\n`fixtures/NAME/fixture.yaml`, with its manifests beside it. Templates see the \
         parameters (a dash in a name becomes an underscore), `id` and `namespace`.\n"
    );
    write_types(&mut out, &FIXTURE.schema);
    out
}

/// Writes the sections of a reference page: first the keys of the root type, and then every type that the root type
/// uses.
fn write_types(out: &mut String, schema: &Value) {
    write_type(out, schema["title"].as_str().unwrap_or_default(), schema);
    for (name, schema) in schema["$defs"].as_object().into_iter().flatten() {
        write_type(out, name, schema);
    }
}

fn write_type(out: &mut String, name: &str, schema: &Value) {
    let _ = write!(out, "\n## {name}\n\n{}\n", says(schema));
    if let Some(properties) = schema["properties"].as_object() {
        let required = |key: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == key));
        out.push_str("\n| key | value | meaning |\n|---|---|---|\n");
        for (key, value) in properties {
            let must = if required(key) { " (required)" } else { "" };
            let default = match value.get("default") {
                Some(default) if !is_empty(default) => format!(" Default: `{default}`."),
                _ => String::new(),
            };
            let _ = writeln!(out, "| `{key}`{must} | {} | {}{default} |", kind(value), says(value));
        }
    } else if let Some(words) = schema["oneOf"].as_array() {
        out.push_str("\n| word | meaning |\n|---|---|\n");
        for word in words {
            // In the schema, a variant of a Rust enum that has a value is an object with a single key.
            for (key, value) in word["properties"].as_object().into_iter().flatten() {
                let _ = writeln!(out, "| `{key}: …`, {} | {} |", kind(value), says(word));
            }
            // In the schema, all variants of a Rust enum that have no description are together in one array, `enum`.
            let several = word["enum"].as_array().into_iter().flatten();
            for word_itself in word.get("const").into_iter().chain(several) {
                let _ = writeln!(out, "| `{}` | {} |", word_itself.as_str().unwrap_or_default(), says(word));
            }
        }
    } else {
        let _ = write!(out, "\nWritten as: {}.\n", kind(schema));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        Value::Null | Value::Bool(false) => true,
        _ => false,
    }
}

/// Describes a type of the schema in words, with links to the other types on the page.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(options) = schema[several].as_array() {
            return options.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", schema.get("items").map_or_else(|| "anything".to_owned(), kind)),
        Some("object") => match schema.get("additionalProperties") {
            Some(value @ Value::Object(_)) => format!("mapping to {}", kind(value)),
            _ => "mapping".to_owned(),
        },
        Some("string") => schema["const"].as_str().map_or_else(|| "text".to_owned(), |word| format!("`{word}`")),
        Some("integer") => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
            (Some(least), None) if least > 0 => format!("whole number, {least} or more"),
            _ => "whole number".to_owned(),
        },
        Some("number") => "number".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        _ => "anything".to_owned(),
    }
}

/// Returns the description in a schema as a single line, so that the text fits into a table cell.
fn says(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn fixtures(library: &Library) -> String {
    let mut out = format!(
        "{MADE}\n\n# The shipped fixtures\n\nThey are carried in the program. One of the same name in a project's own \
         `fixtures/` takes its place.\n"
    );
    for fixture in library.names().filter_map(|name| library.get(name)) {
        write_fixture(&mut out, fixture);
    }
    out
}

fn write_fixture(out: &mut String, fixture: &Fixture) {
    let file = &fixture.file;
    let _ = write!(out, "\n## {}\n\n{}.\n", file.name, file.summary.trim_end_matches('.'));
    if !file.parameters.is_empty() {
        out.push_str("\n| parameter | type | meaning |\n|---|---|---|\n");
    }
    for (name, parameter) in &file.parameters {
        let must = if parameter.required { " (required)" } else { "" };
        let kind = serde_json::to_value(parameter.kind).unwrap_or_default();
        let words = parameter.one_of.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        let kind = if words.is_empty() { kind.as_str().unwrap_or_default().to_owned() } else { words };
        let default = parameter.default.as_ref().filter(|it| !it.is_null());
        let default = default.map_or_else(String::new, |default| format!(". Default: `{default}`"));
        let _ = writeln!(out, "| `{name}`{must} | {kind} | {}{default} |", parameter.doc.replace('|', "\\|"));
    }
    if !file.exports.is_empty() {
        out.push_str("\n| export | meaning |\n|---|---|\n");
    }
    for (name, export) in &file.exports {
        let _ = writeln!(out, "| `{{{{ id.{name} }}}}` | {} |", export.doc.replace('|', "\\|"));
    }
    if !file.ready.is_empty() {
        let names: Vec<String> = file.ready.iter().map(|it| format!("`{}`", it.name)).collect();
        let _ = write!(out, "\nReady: {}.\n", names.join(", "));
    }
    if !file.images.is_empty() {
        let _ = write!(out, "\nImages: `{}`.\n", file.images.join("`, `"));
    }
}

fn command_line() -> String {
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    let mut out = format!("{MADE}\n\n# The command line\n");
    write_command(&mut out, &mut command);
    out
}

fn write_command(out: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    let subcommands = command.get_subcommands_mut().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    for subcommand in subcommands {
        write_command(out, subcommand);
    }
}
