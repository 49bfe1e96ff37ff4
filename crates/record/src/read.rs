//! Reads the record of a run.

use std::path::Path;

use parallax_vocab::Event;
use parallax_vocab::event::RECORD_FORMAT;
use serde_json::Value;

use super::{RECORD_FILE, RecordError};

/// Reads a record, given as the file or as the run's folder.
///
/// An incomplete last line is ignored, because a run may have been killed while it wrote this line. Any other line that
/// cannot be parsed is an error. A record in another format is a different error.
pub fn read(path: &Path) -> Result<Vec<Event>, RecordError> {
    let path = if path.is_dir() { path.join(RECORD_FILE) } else { path.to_owned() };
    let shown = path.display().to_string();
    let text = std::fs::read(&path).map_err(|source| RecordError::Read { path: shown.clone(), source })?;
    parse(&shown, &text)
}

/// Parses the text of a record. Only error messages use `path`.
pub fn parse(path: &str, text: &[u8]) -> Result<Vec<Event>, RecordError> {
    // An incomplete last line may end in the middle of a UTF-8 character, so the text may be invalid UTF-8.
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.split('\n').collect();
    same_format(path, lines[0])?;
    let mut events = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            // Only the last line, which has no newline, can be incomplete.
            Err(_) if index + 1 == lines.len() => {}
            Err(source) => return Err(RecordError::Line { path: path.to_owned(), line: index + 1, source }),
        }
    }
    Ok(events)
}

/// Returns an error if the record's first line names another format than the format of this version. A first line that
/// is not the event `run-started` names no format. This function accepts such a line.
fn same_format(path: &str, first: &str) -> Result<(), RecordError> {
    let first: Value = serde_json::from_str(first).unwrap_or_default();
    let Some(run) = first.pointer("/event/run-started") else { return Ok(()) };
    let theirs = run["format"].as_u64().map_or(0, |it| u32::try_from(it).unwrap_or(u32::MAX));
    if theirs == RECORD_FORMAT {
        return Ok(());
    }
    Err(RecordError::Format {
        path: path.to_owned(),
        theirs,
        version: run["parallax"].as_str().unwrap_or("of an unknown version").to_owned(),
        ours: RECORD_FORMAT,
        age: if theirs < RECORD_FORMAT { "older" } else { "newer" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = r#"{"at_ms":1,"event":{"note":{"text":"a"}}}"#;

    fn read_text(text: &[u8]) -> Result<Vec<Event>, RecordError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(RECORD_FILE), text).expect("writes");
        read(dir.path())
    }

    #[test]
    fn a_record_cut_anywhere_in_its_last_line_is_read_up_to_there() {
        let whole = format!("{NOTE}\n{}", NOTE.replace("\"a\"", "\"ä\""));
        for cut in NOTE.len() + 1..whole.len() {
            let events = read_text(&whole.as_bytes()[..cut]).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            assert_eq!(events.len(), 1, "cut at {cut}");
        }
        assert_eq!(read_text(format!("{whole}\n").as_bytes()).expect("whole").len(), 2);
    }

    #[test]
    fn a_record_of_another_format_is_told_from_a_broken_one() {
        let begins = |format: &str| {
            format!(
                "{{\"at_ms\":0,\"event\":{{\"run-started\":{{{format}\"parallax\":\"0.9.0\",\"of\":\"then\"}}}}}}\n{NOTE}\n"
            )
        };
        for (format, age) in [("", "the older parallax"), ("\"format\":99,", "the newer parallax")] {
            let error = read_text(begins(format).as_bytes()).expect_err("another format").to_string();
            assert!(
                error.contains(age) && error.contains("parallax 0.9.0") && error.contains("or run again"),
                "{error}"
            );
        }
        let ours = begins(&format!("\"format\":{RECORD_FORMAT},"));
        let error = read_text(ours.as_bytes()).expect_err("it is broken").to_string();
        assert!(error.starts_with("line 1 of ") && error.contains("the record is broken"), "{error}");
    }

    #[test]
    fn a_bad_line_in_the_middle_is_named() {
        let error = read_text(format!("{NOTE}\nnonsense\n{NOTE}\n").as_bytes()).expect_err("not an event");
        assert!(error.to_string().starts_with("line 2 of "), "{error}");
    }

    #[test]
    fn a_last_line_that_was_finished_but_is_no_event_is_an_error() {
        assert!(matches!(read_text(b"nonsense\n"), Err(RecordError::Line { line: 1, .. })));
    }
}
