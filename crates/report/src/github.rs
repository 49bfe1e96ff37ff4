//! The reports for GitHub: a summary page in Markdown, and annotations at the lines of scenario files.

use std::fmt::Write as _;

use parallax_vocab::event::Outcome;

use super::faults::Fault;
use super::summary::{Summary, Variant};
use super::terminal::{look_in, rerun};
use super::versions::verdict_at;
use super::{evidence, seconds};

/// Renders the summary page as Markdown. `command` is the command with which the user runs the harness, for example
/// `parallax e2e`. The page uses `command` to show how a failed variant can be run again.
pub fn markdown(summary: &Summary, command: &str) -> String {
    let totals = summary.totals();
    let mut out = format!(
        "## Parallax: {} passed, {} failed, {} skipped\n\n| variant | verdict | time |\n|---|---|---|\n",
        totals.passed, totals.failed, totals.skipped
    );
    for variant in summary.variants() {
        let verdict = match &variant.outcome {
            Some(Outcome::AsExpected) => "ok".to_owned(),
            Some(Outcome::NotAsExpected { .. }) => "**failed**".to_owned(),
            Some(Outcome::Error { failure }) => format!("**error**: {}", plain(&failure.what)),
            Some(Outcome::Skipped { reason }) => format!("skipped: {}", plain(reason)),
            Some(Outcome::Interrupted) => "stopped".to_owned(),
            Some(Outcome::NotBegun { reason }) => format!("not run: {}", plain(reason)),
            None => "not run".to_owned(),
        };
        let verdict = match variant.retried.last() {
            Some(failure) => format!("{verdict}, run again after: {}", plain(&failure.what)),
            None => verdict,
        };
        let _ = writeln!(out, "| {} | {verdict} | {} |", code(variant.id.as_str()), seconds(variant.took_ms));
    }
    by_version(&mut out, summary);
    let versions = summary.run.iter().flat_map(|run| &run.versions).map(ToString::to_string).collect::<Vec<_>>();
    if !versions.is_empty() {
        let _ = write!(out, "\nVersions: {}\n", plain(&versions.join("; ")));
    }
    for variant in summary.variants().filter(|variant| !variant.problems().is_empty()) {
        of_variant(&mut out, summary, variant, command);
    }
    if summary.lacks_proof() {
        out.push_str("\n### Unproven\n\nProof was demanded, and no break of this run turned these matchers red:\n\n");
        for matcher in summary.unproven() {
            let _ = writeln!(out, "- {}", code(matcher));
        }
    } else if !summary.unproven().is_empty() {
        let _ = write!(out, "\n{} matchers unproven: nothing in this run turned them red.\n", summary.unproven().len());
    }
    if summary.only_skips() {
        out.push_str("\nEverything was skipped: nothing is said about the system under test.\n");
    }
    for fault in summary.faults() {
        let title = fault.setups.first().map_or_else(|| fault.title(), |it| it.id.clone());
        let _ = write!(out, "\n### {}\n", if fault.is_of_the_run() { "The run".to_owned() } else { code(&title) });
        of_fault(&mut out, &fault);
    }
    for (number, (shown_by, finding)) in summary.findings().into_iter().enumerate() {
        if number == 0 {
            out.push_str("\n### Findings\n\nKnown holes that this build has open:\n\n");
        }
        let [advisory, means, instead] = [&finding.advisory, &finding.means, &finding.instead].map(|it| plain(it));
        let _ = writeln!(out, "- **{advisory}** ({}): {means} Instead: {instead}", code(&shown_by));
    }
    for (number, it) in summary.figures().into_iter().enumerate() {
        if number == 0 {
            out.push_str("\n### Figures\n\n| measured | in | | \n|---|---|---|\n");
        }
        let [name, figure] = [&it.figure.name, &it.figure.to_string()].map(|it| plain(it));
        let _ = writeln!(out, "| {name} | {} | {figure} |", code(it.variant.id.as_str()));
    }
    out.push_str("\n| phase | time |\n|---|---|\n");
    for (name, ms) in summary.phases.rows().iter().filter(|(_, ms)| *ms > 0) {
        let _ = writeln!(out, "| {name} | {} |", seconds(*ms));
    }
    let _ = writeln!(out, "| the harness itself | {} |", seconds(summary.phases.harness_ms));
    let _ = writeln!(out, "| in all | {} |", seconds(summary.phases.total_ms));
    out
}

/// Adds the table of verdicts by version, if the run has several versions.
fn by_version(out: &mut String, summary: &Summary) {
    let Some(table) = summary.by_version() else { return };
    let columns: Vec<String> = table.columns.iter().map(|it| plain(&it.to_string())).collect();
    let _ = write!(out, "\n### Verdicts by version\n\n| variant | {} |\n|---|", columns.join(" | "));
    let _ = writeln!(out, "{}", "---|".repeat(columns.len()));
    for (id, variants) in &table.rows {
        let verdicts: Vec<&str> = variants.iter().map(|it| verdict_at(*it, summary.interrupted()).0).collect();
        let _ = writeln!(out, "| {} | {} |", code(id.as_str()), verdicts.join(" | "));
    }
}

fn of_variant(out: &mut String, summary: &Summary, variant: &Variant, command: &str) {
    let _ = write!(out, "\n### {}\n", code(variant.id.as_str()));
    for problem in variant.problems() {
        let _ = write!(out, "\n**{}** ({})\n\n", plain(problem.step.as_str()), code(&problem.place));
        let mut text = format!("{}\nexpected   {}\nseen       {}\n", problem.sentence, problem.expected, problem.seen);
        for (label, line) in variant.step(problem.step.as_str()).map(evidence::lines).unwrap_or_default() {
            let _ = writeln!(text, "{label:<10} {line}");
        }
        out.push_str(&fenced(&text));
    }
    let _ = write!(out, "\nAgain: {}\n", code(&rerun(summary, variant, command)));
    if let Some(command) = look_in(summary, variant) {
        let _ = write!(out, "\nLook in: {}\n", code(&command));
    }
}

fn of_fault(out: &mut String, fault: &Fault<'_>) {
    let failure = fault.failure;
    let mut text = failure.what.clone();
    for line in &failure.evidence {
        let _ = write!(text, "\n{line}");
    }
    let _ = write!(out, "\n{}", fenced(&text));
    if let Some(fix) = &failure.fix {
        let _ = write!(out, "\nFix: {}\n", plain(fix));
    }
    if let Some(without) = fault.without_verdict() {
        let _ = write!(out, "\nNo verdict: {}\n", plain(&without));
    }
}

/// Returns a GitHub workflow command for each problem of a variant. GitHub shows each problem at the line of the
/// scenario file to which the problem belongs.
pub fn annotations(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for variant in summary.variants() {
        for problem in variant.problems() {
            let (file, line) = problem.place.rsplit_once(':').unwrap_or((&problem.place, "1"));
            let text = format!("{} expected {}, saw {}", problem.sentence, problem.expected, problem.seen);
            let title = property(&format!("{}: {}", variant.id, problem.step));
            lines.push(format!(
                "::error file={},line={},title={title}::{}",
                property(file),
                property(line),
                data(&text)
            ));
        }
    }
    // GitHub shows only a few annotations, so a failure that ended several variants gets only one annotation.
    for fault in summary.faults().iter().filter(|it| !it.is_of_the_run()) {
        let started = fault.variants.first().and_then(|it| it.started.as_ref()).filter(|_| fault.setups.is_empty());
        let file = started.map(|it| format!("file={},", property(&it.file))).unwrap_or_default();
        let title = fault.setups.first().map_or_else(|| fault.title(), |it| it.id.clone());
        let fix = fault.failure.fix.as_ref().map_or_else(String::new, |fix| format!(" Fix: {fix}"));
        let without = fault.without_verdict().map_or_else(String::new, |it| format!(" No verdict: {it}"));
        let text = format!("{}{fix}{without}", fault.failure.what);
        lines.push(format!("::error {file}title={}::{}", property(&title), data(&text)));
    }
    if summary.lacks_proof() {
        let all = summary.unproven().join(", ");
        lines.push(format!("::error title=unproven::{}", data(&format!("nothing in the run turned red: {all}"))));
    }
    for text in &summary.warnings {
        lines.push(format!("::warning::{}", data(text)));
    }
    lines
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns a code block that shows a text unchanged. The fence of the block is longer than any run of backticks in the
/// text, so that no line of the text can close the block.
fn fenced(text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// Returns inline code that shows a text unchanged, in a line or in a cell of a table.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    // A space separates a backtick at either end of the text from the fence. Markdown removes the space.
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", text.replace('\n', " ").replace('|', "\\|"))
}

/// The number of characters in the longest sequence of backticks in a text.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Escapes a sentence, so that none of its characters counts as Markdown or HTML. Code between backticks stays code.
fn plain(text: &str) -> String {
    let balanced = text.matches('`').count().is_multiple_of(2) && longest_run(text) < 2;
    let mut out = String::new();
    for (number, part) in text.replace('\n', " ").split('`').enumerate() {
        if number > 0 {
            out.push_str(if balanced { "`" } else { "\\`" });
        }
        for c in part.chars() {
            match c {
                '|' => out.push_str("\\|"),
                _ if balanced && number % 2 == 1 => out.push(c),
                '<' => out.push_str("&lt;"),
                '&' => out.push_str("&amp;"),
                // Without the escape, an `@` and a name after it would mention a user of GitHub.
                '@' => out.push_str("&#64;"),
                '*' | '_' | '[' | ']' | '!' | '#' | '~' | '\\' => out.extend(['\\', c]),
                _ => out.push(c),
            }
        }
    }
    out
}
