//! Reading a record back.

use std::path::Path;

use parallax_vocab::Event;

use super::{RECORD_FILE, RecordError};

/// Reads a record, given as the file or as the run's folder.
///
/// A last line that is torn is left out: a run that was killed may have been in the middle of writing it. A line in the
/// middle that cannot be read is an error.
pub fn read(path: &Path) -> Result<Vec<Event>, RecordError> {
    let path = if path.is_dir() { path.join(RECORD_FILE) } else { path.to_owned() };
    let shown = path.display().to_string();
    let text = std::fs::read(&path).map_err(|source| RecordError::Read { path: shown.clone(), source })?;
    // A tear may fall inside a character.
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut events = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            // Only a line without its newline can be torn.
            Err(_) if index + 1 == lines.len() => {}
            Err(source) => return Err(RecordError::Line { path: shown, line: index + 1, source }),
        }
    }
    Ok(events)
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
    fn a_bad_line_in_the_middle_is_named() {
        let error = read_text(format!("{NOTE}\nnonsense\n{NOTE}\n").as_bytes()).expect_err("not an event");
        assert!(error.to_string().starts_with("line 2 of "), "{error}");
    }

    #[test]
    fn a_last_line_that_was_finished_but_is_no_event_is_an_error() {
        assert!(matches!(read_text(b"nonsense\n"), Err(RecordError::Line { line: 1, .. })));
    }
}
