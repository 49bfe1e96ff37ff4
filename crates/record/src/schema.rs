//! Generates the JSON schema of a record's lines from the Rust types, for programs that read records.

use parallax_vocab::Event;
use parallax_vocab::event::RECORD_FORMAT;

/// The path of the schema in the repository. A new format of the record gets a schema file of its own.
pub const SCHEMA_FILE: &str = "schema/record-1.schema.json";

/// The schema of one line of `record.jsonl`.
///
/// # Panics
/// Never, because every schema can be written as JSON.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Event);
    schema.insert("title".to_owned(), format!("A line of record.jsonl, format {RECORD_FORMAT}").into());
    let text = serde_json::to_string_pretty(&schema).expect("a schema serialises");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_file_is_named_after_the_format() {
        assert_eq!(SCHEMA_FILE, format!("schema/record-{RECORD_FORMAT}.schema.json"));
    }

    #[test]
    fn each_line_of_real_records_is_valid() {
        let schema = serde_json::from_str(&schema()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
        let mut lines = 0;
        for record in ["records/page.jsonl", "records/signatures.jsonl", "fuzz/record/run.jsonl"] {
            let text = std::fs::read_to_string(tests.join(record)).unwrap();
            for (number, line) in text.lines().enumerate() {
                let mut event = serde_json::from_str(line).unwrap();
                if let Err(error) = validator.validate(&event) {
                    panic!("{record}:{}: {error} at {}", number + 1, error.instance_path());
                }
                event["event"]["unheard-of"] = true.into();
                assert!(!validator.is_valid(&event), "{record}:{}: any event is valid", number + 1);
                lines += 1;
            }
        }
        assert!(lines > 300, "only {lines} lines");
    }
}
