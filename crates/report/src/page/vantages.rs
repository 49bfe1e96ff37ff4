//! Compares the evidence of a failed step with the evidence from the other vantages of the variant, and with the
//! evidence of the same step in a variant where it passed. All columns show the same network layers in the same order.
//! So the first row with a difference shows the layer at which the answers begin to differ.

use std::fmt::Write as _;

use parallax_vocab::event::{StepEnded, Verdict};
use parallax_vocab::probes::{Addressed, HttpQuestion, Probe};
use parallax_vocab::{Answer, Cause, Question, Reply};
use serde::Serialize;

use super::canonical;
use super::steps::{Named, anchor};
use crate::summary::{Summary, Variant};
use crate::{evidence, seconds};

/// The largest number of other vantages whose answers the page shows beside the answer of a failed step.
const OTHERS_SHOWN: usize = 3;
/// The largest number of characters that a cell shows.
const CELL_LIMIT: usize = 1600;

/// A table with one row for each network layer and one column for each compared step. The first column is the failed
/// step.
#[derive(Serialize)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Column {
    step: String,
    from: String,
    /// The variant of the step in this column. Empty if this is the failed variant.
    variant: String,
    word: &'static str,
    tone: &'static str,
    anchor: String,
}

#[derive(Serialize)]
struct Row {
    label: &'static str,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    text: String,
    /// Whether the text of the cell differs from the text of the first column in the same row.
    differs: bool,
}

/// A network layer as a row of the table: its label, whether its values can be compared between vantages, and a
/// function that reads the value from a step.
type Layer = (&'static str, bool, fn(&StepEnded) -> String);

const LAYERS: [Layer; 11] = [
    ("request", false, request),
    ("DNS answer", true, dns),
    ("address", true, address),
    ("TLS", true, tls),
    ("chain", true, chain),
    ("response", true, response),
    ("cause", true, |step| step.cause.as_ref().map(ToString::to_string).unwrap_or_default()),
    ("canonical request, as it arrived", false, arrived),
    ("signature", false, signature),
    ("who the store saw", false, witness),
    ("time", false, time),
];

/// The labels of the evidence lines whose content is in the table of vantages. The list of facts about the failure does
/// not contain these lines again.
pub(super) const IN_TABLE: [&str; 12] = [
    "asked",
    "cause",
    "addresses",
    "connected",
    "chain",
    "server",
    "store saw",
    "arrived as",
    "signature",
    "by way of",
    "url",
    "time",
];

/// Returns the table for a failed step. `None` if the step sent no question to a vantage.
pub(super) fn table(summary: &Summary, variant: &Variant, failed: &StepEnded) -> Option<Table> {
    let question = failed.question.as_ref()?;
    let own = Named::of(variant).find(|it| std::ptr::eq(it.step, failed))?;
    let mut shown = vec![(variant, own)];
    shown.extend(others(variant, failed, question).into_iter().map(|it| (variant, it)));
    shown.extend(where_it_passed(summary, variant, failed));
    let columns = shown.iter().map(|(of, it)| Column {
        step: it.step.step.to_string(),
        from: it.step.from.as_ref().map_or_else(String::new, ToString::to_string),
        variant: if of.id == variant.id { String::new() } else { of.id.to_string() },
        word: word(it.step.verdict),
        tone: if it.step.verdict == Verdict::Passed { "good" } else { "bad" },
        anchor: anchor(of, it),
    });
    let rows = LAYERS.iter().filter_map(|(label, compared, read)| {
        let texts: Vec<String> = shown.iter().map(|(_, it)| clipped(&read(it.step))).collect();
        let first = as_declared(variant, texts.first()?);
        let differs = |(of, text): (&Variant, &str)| *compared && as_declared(of, text) != first;
        let cells =
            shown.iter().zip(&texts).map(|((of, _), text)| Cell { differs: differs((of, text)), text: text.clone() });
        texts.iter().any(|it| !it.is_empty()).then(|| Row { label, cells: cells.collect() })
    });
    Some(Table { columns: columns.collect(), rows: rows.collect() })
}

/// Replaces the host names of this run in a text by the host names in the scenario. In a run, each variant has its own
/// host names, which must not count as a difference between two variants.
fn as_declared(variant: &Variant, text: &str) -> String {
    let hosts = variant.started.iter().flat_map(|started| &started.hosts);
    hosts.fold(text.to_owned(), |text, (says, runs)| text.replace(runs, says))
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Blocked => "blocked",
    }
}

/// Returns one step for each other vantage of the variant: the step that is most similar to the failed step. A question
/// to the same host counts most, then the same kind of step, then a small distance in the flow.
fn others<'a>(variant: &'a Variant, failed: &StepEnded, question: &Question) -> Vec<Named<'a>> {
    let asked = target(&question.probe);
    let position = variant.steps.iter().position(|it| std::ptr::eq(it, failed)).unwrap_or_default();
    let likeness = |it: &Named<'_>| {
        let host = it.step.question.as_ref().map(|question| target(&question.probe));
        (host.as_ref() != Some(&asked), it.step.kind != failed.kind, it.index.abs_diff(position))
    };
    let mut best: Vec<Named<'a>> = Vec::new();
    for it in Named::of(variant) {
        let asks_elsewhere = it.step.from != failed.from && it.step.question.is_some();
        if !asks_elsewhere || it.step.verdict == Verdict::Blocked {
            continue;
        }
        match best.iter_mut().find(|known| known.step.from == it.step.from) {
            Some(known) if likeness(&it) < likeness(known) => *known = it,
            Some(_) => {}
            None => best.push(it),
        }
    }
    best.sort_by_key(likeness);
    best.truncate(OTHERS_SHOWN);
    best
}

/// Returns the step with the same id from another variant of the scenario in which this step passed. The baseline is
/// preferred.
fn where_it_passed<'a>(
    summary: &'a Summary,
    variant: &Variant,
    failed: &StepEnded,
) -> Option<(&'a Variant, Named<'a>)> {
    let scenario = summary.scenarios.iter().find(|it| it.variants.iter().any(|one| one.id == variant.id))?;
    let passed = scenario.variants.iter().filter(|it| it.id != variant.id).filter_map(|other| {
        let same = Named::of(other).find(|it| it.step.step == failed.step && it.step.verdict == Verdict::Passed);
        same.map(|it| (other, it))
    });
    passed.min_by_key(|(other, _)| other.break_name().is_some())
}

/// Returns the host to which a probe sends its question.
fn target(probe: &Probe) -> String {
    let address = match probe.facts().address {
        Addressed::Host(host) => host.into(),
        Addressed::Url(url) => url,
    };
    let rest = address.split_once("://").map_or(&*address, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.split(':').next().unwrap_or_default().to_owned()
}

fn clipped(text: &str) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(CELL_LIMIT) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}

fn dns(step: &StepEnded) -> String {
    let Some(answer) = &step.answer else { return String::new() };
    if let Some(Cause::Dns { fault, detail }) = answer.cause() {
        return format!("{fault}\n{detail}");
    }
    let of_reply = answer.reply().and_then(|reply| reply.facts().addresses);
    let addresses = of_reply.unwrap_or(&answer.evidence.addresses);
    let mut lines: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if let Some(reply) = answer.reply().filter(|_| of_reply.is_some()) {
        lines.extend(reply.rows().into_iter().map(|(label, text)| format!("{label} {text}")));
    }
    lines.join("\n")
}

fn address(step: &StepEnded) -> String {
    let Some(evidence) = step.answer.as_ref().map(|it| &it.evidence) else { return String::new() };
    let Some(peer) = evidence.peer else { return String::new() };
    match evidence.dialled.filter(|it| *it != peer) {
        Some(dialled) => format!("{peer}\nby way of {dialled}"),
        None => peer.to_string(),
    }
}

fn tls(step: &StepEnded) -> String {
    let Some(answer) = &step.answer else { return String::new() };
    match answer.cause() {
        Some(Cause::Tls { fault, .. }) => fault.to_string(),
        _ => answer.evidence.tls_version.clone().unwrap_or_default(),
    }
}

fn chain(step: &StepEnded) -> String {
    let Some(answer) = &step.answer else { return String::new() };
    let certificates = answer.evidence.chain.iter().map(evidence::in_short);
    certificates.collect::<Vec<_>>().join("\n")
}

fn request(step: &StepEnded) -> String {
    let Some(question) = &step.question else { return String::new() };
    let Some(http) = question.probe.facts().http else { return question.probe.in_words() };
    let HttpQuestion { method, url, host, headers, body, filler_bytes, form: _ } = http;
    let mut text = format!("{method} {url}");
    if let Some(host) = host {
        let _ = write!(text, "\nhost: {host}");
    }
    for (name, value) in headers {
        let _ = write!(text, "\n{name}: {value}");
    }
    if let Some(body) = body {
        let _ = write!(text, "\n\n{body}");
    }
    if let Some(bytes) = filler_bytes {
        let _ = write!(text, "\n\n(a body of {bytes} bytes)");
    }
    text
}

fn response(step: &StepEnded) -> String {
    let Some(answer) = &step.answer else { return String::new() };
    match &answer.outcome {
        Ok(reply) => replied(reply),
        Err(_) => String::new(),
    }
}

/// The response headers that the table shows. They tell which server answered and what the response contains.
const HEADERS_SHOWN: [&str; 4] = ["server", "location", "content-type", "content-length"];

fn replied(reply: &Reply) -> String {
    let facts = reply.facts();
    if facts.addresses.is_some() {
        // The addresses of a DNS answer are in another row (`DNS answer`), so this row is empty.
        return String::new();
    }
    let is_named = |label: &str| !matches!(label, "server" | "url");
    let rows = reply.rows().into_iter();
    let mut lines: Vec<String> =
        rows.map(|(label, text)| if is_named(label) { format!("{label}: {text}") } else { text }).collect();
    for name in HEADERS_SHOWN {
        lines.extend(facts.headers.and_then(|it| it.get(name)).map(|value| format!("{name}: {value}")));
    }
    lines.join("\n")
}

fn arrived(step: &StepEnded) -> String {
    let request = step.witness.as_ref().and_then(|it| it.request.as_ref());
    request.map(canonical::request).unwrap_or_default()
}

fn signature(step: &StepEnded) -> String {
    let Some(finding) = &step.signature else { return String::new() };
    let mut text = evidence::verified(finding);
    for it in &finding.differs {
        let by = if it.sent_so { "the client sent it so" } else { "changed on the way" };
        let _ = write!(text, "\n{}: signed {:?}, arrived {:?} ({by})", it.part, it.signed, it.seen);
    }
    text
}

fn witness(step: &StepEnded) -> String {
    let Some(witness) = &step.witness else { return String::new() };
    let agrees = if witness.agrees { "where the vantage is" } else { "NOT where the vantage is" };
    format!("{} asking for {}\n{agrees}", witness.source, witness.host)
}

fn time(step: &StepEnded) -> String {
    let mut text = format!("{} of {}", seconds(step.took_ms), seconds(step.deadline_ms));
    if step.attempts > 1 {
        let _ = write!(text, ", {} tries", step.attempts);
    }
    if let Some(Answer { evidence, .. }) = &step.answer {
        for (what, us) in [("dns", evidence.dns_us), ("connect", evidence.connect_us), ("tls", evidence.tls_us)] {
            if let Some(us) = us {
                let _ = write!(text, "\n{what} {}.{} ms", us / 1000, us % 1000 / 100);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_table_has_each_vantage_once_and_marks_what_differs() {
        let mut events = samples::expectation_failed();
        for event in &mut events {
            if let parallax_vocab::EventKind::StepEnded(step) = &mut event.event
                && step.step.as_str() == "outside"
            {
                step.from = Some("host".into());
            }
        }
        let summary = Summary::from_events(&events);
        let variant = summary.variants().next().expect("a variant");
        let table = table(&summary, variant, &variant.steps[0]).expect("a vantage was asked");
        let columns: Vec<_> = table.columns.iter().map(|it| (it.step.as_str(), it.from.as_str())).collect();
        assert_eq!(columns, [("inside", "app"), ("outside", "host")]);
        let differs = |label: &str| table.rows.iter().find(|it| it.label == label).map(|it| it.cells[1].differs);
        assert_eq!(differs("DNS answer"), Some(false), "both names lead to one address");
        assert_eq!((differs("response"), differs("cause")), (Some(true), Some(true)));
        assert_eq!(differs("canonical request, as it arrived"), None, "an empty row is left out");
    }

    #[test]
    fn a_step_that_passed_elsewhere_stands_beside_the_failure() {
        let summary = Summary::from_events(&samples::all_good());
        let broken = summary.variants().nth(1).expect("the break");
        let table = table(&summary, broken, &broken.steps[0]).expect("a vantage was asked");
        let last = table.columns.last().expect("a column");
        assert_eq!((last.variant.as_str(), last.word), ("presign/presigned-url", "passed"));
    }

    #[test]
    fn the_host_of_a_question() {
        let http = |url: &str| Probe::Http(HttpQuestion::new("GET", url));
        for (probe, host) in [
            (http("https://a.example.com:8443/x?y=/z"), "a.example.com"),
            (http("http://a.example.com?x"), "a.example.com"),
            (http(""), ""),
        ] {
            assert_eq!(target(&probe), host);
        }
    }
}
