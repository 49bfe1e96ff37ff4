//! The evidence of a step as labelled lines, for all reports. The lines are made only from the record.

use parallax_vocab::answer::{Certificate, Reply};
use parallax_vocab::course::Round;
use parallax_vocab::event::{Arrived, Matched, StepEnded, Verdict};
use parallax_vocab::signature::{SecretFinding, SignatureFinding};
use parallax_vocab::tally::Tally;
use parallax_vocab::{Answer, Cause};

use super::seconds;

/// Reports cut a text after this number of characters. The record contains the whole text.
const WIDTH_LIMIT: usize = 240;
/// Reports show at most this number of a step's notes, which are lines from logs, events and objects.
const NOTES_SHOWN: usize = 20;

/// A line of evidence: its label (`addresses`, `chain`, …), and the observed text.
pub(crate) type Line = (&'static str, String);

/// Returns the evidence that helps a reader to understand a failed step, the most useful lines first.
pub(crate) fn lines(step: &StepEnded) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(question) = &step.question {
        lines.push(("asked", cut(&question.probe.in_words())));
    }
    if let Some(cause) = &step.cause {
        lines.push(("cause", cut(&cause.to_string())));
    }
    // The notes of a step are shown further below. They list one by one how the object differs from the expectation. So
    // if the step has notes, the matcher `object` is left out here.
    let listed_below = |matched: &Matched| matched.matcher == "object" && !step.course.notes.is_empty();
    for matched in step.matchers.iter().filter(|matched| !matched.held && !listed_below(matched)) {
        let Matched { matcher, expected, seen, .. } = matched;
        lines.push(("matcher", cut(&format!("{matcher}: expected {expected}, saw {seen}"))));
    }
    if let Some(answer) = &step.answer {
        of_answer(answer, step.cause.as_ref(), &mut lines);
    }
    if let Some(witness) = &step.witness {
        let agrees = if witness.agrees { "where the vantage is" } else { "NOT where the vantage is" };
        lines.push(("store saw", format!("{} asking for {}, {agrees}", witness.source, witness.host)));
        if let Some(Arrived { method, path, query, .. }) = &witness.request {
            let mark = if query.is_empty() { "" } else { "?" };
            lines.push(("arrived as", cut(&format!("{method} {path}{mark}{query}"))));
        }
    }
    if let Some(finding) = &step.signature {
        lines.push(("signature", verified(finding)));
    }
    if let Some(Round { of, number, times, seed, after_ms }) = &step.course.round {
        let after = after_ms.map(|ms| format!(", {} after the step before", seconds(ms))).unwrap_or_default();
        lines.push(("round", format!("{number} of {times} of {of}{after}; again with --seed {seed}")));
    }
    if let Some(tally) = &step.course.tally {
        of_tally(tally, &mut lines);
    }
    for (name, value) in &step.course.captured {
        lines.push(("captured", cut(&format!("{name} = {value}"))));
    }
    if let Some(held) = &step.course.held {
        let (held_for, span) = (seconds(held.held_ms), seconds(held.span_ms));
        lines.push((
            "held",
            match held.broke {
                Some(broke) => format!("{held_for} of {span} in {} tries, then try {broke} broke it", held.tries),
                None => format!("{span} in {} tries", held.tries),
            },
        ));
    }
    if let Some(why) = &step.course.void {
        lines.push(("void", cut(why)));
    }
    lines.extend(step.course.moments.iter().map(|it| ("moment", clip(&format!("{} {}", it.unix_ms, it.what)))));
    // The last lines are shown, because they are the newest and so the closest to the failure.
    let reported = &step.course.notes;
    lines.extend(reported.iter().skip(reported.len().saturating_sub(NOTES_SHOWN)).map(|line| ("saw", clip(line))));
    if step.verdict != Verdict::Blocked {
        let tries = if step.attempts == 1 { "1 try".to_owned() } else { format!("{} tries", step.attempts) };
        lines.push(("time", format!("{} of {}, {tries}", seconds(step.took_ms), seconds(step.deadline_ms))));
    }
    lines
}

/// Describes in one short text what the verification of a refused signature found.
pub(crate) fn verified(finding: &SignatureFinding) -> String {
    let right = |right: bool| if right { "right" } else { "wrong" };
    let mut parts = Vec::new();
    parts.extend(finding.valid_as_signed.map(|it| format!("{} for what was signed", right(it))));
    parts.extend(finding.valid_as_seen.map(|it| format!("{} for what arrived", right(it))));
    let back: Vec<String> = finding.differs.iter().map(|it| it.part.to_string()).collect();
    let with_key = if finding.secret == SecretFinding::Other { "with the signer's secret key" } else { "" };
    let changed = [
        with_key.to_owned(),
        if back.is_empty() { String::new() } else { format!("with {} put back", back.join(" and ")) },
    ];
    let changed: Vec<String> = changed.into_iter().filter(|it| !it.is_empty()).collect();
    if finding.proven && !changed.is_empty() {
        parts.push(format!("right {}", changed.join(" and ")));
    }
    let tried = if finding.tried == 1 { "1 combination".to_owned() } else { format!("{} combinations", finding.tried) };
    parts.push(format!("{tried} verified"));
    parts.join(", ")
}

fn of_answer(answer: &Answer, cause: Option<&Cause>, lines: &mut Vec<Line>) {
    let evidence = &answer.evidence;
    if !evidence.addresses.is_empty() {
        lines.push(("addresses", evidence.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    match (evidence.peer, evidence.dialled) {
        (Some(peer), Some(dialled)) if peer != dialled => {
            lines.push(("connected", format!("{peer}, by way of {dialled}")));
        }
        (Some(peer), _) => lines.push(("connected", peer.to_string())),
        _ => {}
    }
    // The certificate chain is shown only if the TLS handshake failed. After a successful handshake, it does not help
    // the reader.
    if matches!(cause, Some(Cause::Tls { .. })) || answer.cause().is_some_and(|c| matches!(c, Cause::Tls { .. })) {
        lines.extend(evidence.chain.iter().map(|certificate| ("chain", cut(&in_short(certificate)))));
    }
    let rows = answer.reply().map(Reply::rows).unwrap_or_default();
    lines.extend(rows.into_iter().map(|(label, text)| (label, cut(&text))));
}

fn of_tally(tally: &Tally, lines: &mut Vec<Line>) {
    let Tally { count, failures, dropped, in_flight, median_ms, worst_ms, late_ms, .. } = tally;
    lines.push((
        "probes",
        format!(
            "{count} in {}: {failures} failed, {dropped} dropped, {in_flight} in flight; a success took {median_ms} ms (median), {worst_ms} ms (worst); asked at most {late_ms} ms late",
            seconds(tally.asked_for_ms),
        ),
    ));
    lines.push(("gap", format!("longest without a success: {}, since the prober began", tally.longest_gap)));
    lines.extend(tally.causes.iter().map(|it| ("failed", cut(&it.to_string()))));
    lines.extend(tally.serials.iter().map(|it| ("serial", it.to_string())));
}

pub(crate) fn in_short(certificate: &Certificate) -> String {
    format!(
        "{} issued by {}, valid {} to {}, for {}",
        certificate.subject,
        certificate.issuer,
        certificate.not_before,
        certificate.not_after,
        if certificate.names.is_empty() { "no name".to_owned() } else { certificate.names.join(", ") },
    )
}

/// Returns a text as one line, cut after [`WIDTH_LIMIT`] characters.
pub(crate) fn cut(text: &str) -> String {
    clip(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns a line, cut after [`WIDTH_LIMIT`] characters. Spaces at its beginning are kept, because they are an
/// indentation.
fn clip(text: &str) -> String {
    if text.chars().count() <= WIDTH_LIMIT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(WIDTH_LIMIT).collect();
    short.push_str(" ...");
    short
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_texts_become_one_short_line() {
        assert_eq!(cut("  a\n b\t c "), "a b c");
        let long = cut(&"ä".repeat(500));
        assert_eq!(long.chars().count(), 244);
    }
}
