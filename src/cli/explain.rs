//! `parallax explain` explains why steps failed, from a record alone. It also explains what a presigned URL contains,
//! and how the URL differs from a request that the user found in a log (`--saw`).

use std::fmt::Write as _;
use std::io::{BufRead as _, Read as _};
use std::path::Path;

use super::CliError;
use super::args::Explain;
use super::report::{latest, named};
use parallax_explain::{self as room, Line, saw};
use parallax_language::scenario::diagnostic::nearest;
use parallax_report::{Summary, explanation};
use parallax_vocab::Secret;

/// The largest number of bytes that are read for one `--saw`, from a file or from standard input. The log lines of one
/// request are shorter.
const LONGEST: u64 = 1 << 20;

/// Returns the explanation of a presigned URL or of a record, as text.
pub(super) fn explain(project: Option<&Path>, args: &Explain) -> Result<String, CliError> {
    match &args.what {
        Some(what) if what.contains("://") || what.contains("X-Amz-") => url(what, args),
        _ if !args.saw.is_empty() => Err(CliError::Usage(
            "--saw compares with a presigned URL: give the URL, in quotes, as the first argument".to_owned(),
        )),
        _ if args.json => {
            Err(CliError::Usage("--json tells about a presigned URL; a record is JSON lines already".to_owned()))
        }
        Some(what) => of_record(&named(project, Path::new(what)), args),
        None => of_record(&latest(project), args),
    }
}

fn of_record(path: &Path, args: &Explain) -> Result<String, CliError> {
    let only = args.only.as_deref();
    let summary = Summary::from_events(&parallax_record::read(path)?);
    explanation::explanation(&summary, only, args.all).ok_or_else(|| {
        let only = only.unwrap_or_default();
        let names = explanation::names(&summary);
        let hint = nearest(only, names.iter().map(String::as_str)).map(|it| format!("; did you mean `{it}`?"));
        let hint = hint.unwrap_or_default();
        CliError::Usage(format!("the record holds no scenario, variant or step `{only}`{hint}"))
    })
}

fn url(given: &str, args: &Explain) -> Result<String, CliError> {
    let pasted = room::pasted(given);
    let url = pasted.url.as_str();
    let mut lines: Vec<Line> = pasted.notes.into_iter().map(|note| ("read", note)).collect();
    lines.extend(room::dissect(url, time::OffsetDateTime::now_utc()).map_err(CliError::Usage)?);
    let secret = args.secret_env.as_deref().map(secret).transpose()?;
    let mut logs = Vec::new();
    for text in &args.saw {
        let saw = saw::read(&shown(text, url)?, url).map_err(CliError::Usage)?;
        let known = saw::Known { method: args.method.as_deref(), secret: secret.as_ref() };
        let compared = saw::compare(url, &saw, known).map_err(CliError::Usage)?;
        logs.push((saw, compared));
    }
    let between = saw::between(&logs.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>());
    if args.json {
        return Ok(json(&lines, &logs, &between));
    }
    let numbered = logs.len() > 1;
    for (index, (_, compared)) in logs.into_iter().enumerate() {
        lines.extend(numbered.then(|| ("log", (index + 1).to_string())));
        lines.extend(compared.lines);
    }
    Ok(lines.iter().chain(&between).fold(String::new(), |mut text, (label, what)| {
        let _ = writeln!(text, "{label:<10} {what}");
        text
    }))
}

fn json(url: &[Line], logs: &[(saw::Saw, saw::Compared)], between: &[Line]) -> String {
    let texts = |lines: &[Line]| -> Vec<serde_json::Value> {
        lines.iter().map(|(label, text)| serde_json::json!({ "label": label, "text": text })).collect()
    };
    let logs = logs.iter().map(|(saw, compared)| {
        serde_json::json!({
            "source": saw.source.to_string(), "method": saw.method, "host": saw.host, "path": saw.path,
            "status": saw.status, "hidden": compared.hidden, "differs": compared.differs, "proven": compared.proven,
            "lines": texts(&compared.lines),
        })
    });
    let all = serde_json::json!({ "url": texts(url), "saw": logs.collect::<Vec<_>>(), "between": texts(between) });
    format!("{all:#}\n")
}

/// Returns the text that the argument `--saw` means: the content of a file, of standard input, or the argument itself.
fn shown(argument: &str, url: &str) -> Result<String, CliError> {
    let unreadable = |what: &str, error: &std::io::Error| CliError::Usage(format!("{what} cannot be read: {error}"));
    let mut text = String::new();
    match argument.strip_prefix('@') {
        Some(file) => {
            let file_at = std::fs::File::open(file).map_err(|error| unreadable(file, &error))?;
            file_at.take(LONGEST).read_to_string(&mut text).map_err(|error| unreadable(file, &error))?;
        }
        None if argument == "-" => {
            let mut input = std::io::stdin().lock().take(LONGEST);
            // The trace of a store does not end by itself. Therefore reading stops as soon as the trace contains the
            // answer to the request of `url`.
            while !saw::is_answered(&text, url) {
                let line = input.read_line(&mut text).map_err(|error| unreadable("standard input", &error))?;
                if line == 0 {
                    break;
                }
            }
        }
        None => argument.clone_into(&mut text),
    }
    Ok(text)
}

fn secret(variable: &str) -> Result<Secret, CliError> {
    let value = std::env::var(variable).ok().filter(|it| !it.is_empty());
    value.map(Secret::new).ok_or_else(|| {
        CliError::Usage(format!(
            "the environment variable {variable} is not set: export the secret key that signed the URL"
        ))
    })
}
