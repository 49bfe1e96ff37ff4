//! The page: one HTML file for people. It needs no network and no other file. People can read everything even if the
//! browser does not run the page's script. The script only searches, filters, zooms, and opens and closes sections.
//!
//! **Invariant:** no data becomes script or style. The Content-Security-Policy allows only the page's own script and
//! style, by their hashes, and no attribute of an element is script or style.

mod canonical;
mod chart;
mod failures;
pub(crate) mod steps;
mod vantages;

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use parallax_vocab::course::Finding;
use serde::Serialize;

use self::chart::{Chart, Close};
use self::failures::Red;
use self::steps::AreaView;
use super::figures::Measured;
use super::summary::{SetUp, Summary, Variant};
use super::tables::{Shown, Table};
use super::terminal::{Paint, verdict, verdict_of};
use super::versions::verdict_at;
use super::{ReportError, seconds, write_whole};

/// The template of the page, and the templates that it includes: name and text of each.
const TEMPLATES: [(&str, &str); 3] = [
    ("page.html", include_str!("page.html")),
    ("failures.html", include_str!("failures.html")),
    ("scenarios.html", include_str!("scenarios.html")),
];
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Renders the page as HTML. `command` is the command with which the user runs the harness, for example `parallax e2e`.
/// The page uses `command` to show how a failed variant can be run again.
pub fn render(summary: &Summary, command: &str) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    let page = environment.get_template(TEMPLATES[0].0)?;
    Ok(page.render(Value::from(Serde(Page::of(summary, command))))?)
}

/// Writes the page to `path`.
pub fn write(summary: &Summary, command: &str, path: &Path) -> Result<(), ReportError> {
    let text = render(summary, command)?;
    write_whole(path, &text)
}

/// Returns the Content-Security-Policy of the page. With this policy, the browser loads no other file, and uses only
/// the page's own script and style.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

#[derive(Serialize)]
struct Page<'a> {
    policy: String,
    style: &'static str,
    script: &'static str,
    run: &'a str,
    tone: Paint,
    sentence: &'static str,
    /// For each result of a variant: its word, its colour, and the number of variants with this result.
    counts: [(&'static str, Paint, usize); 3],
    /// The number of variants of the run. A failure of the run as a whole is not counted.
    variants: usize,
    shares: Vec<(Paint, String, String)>,
    facts: Vec<(&'static str, String)>,
    failures: Vec<Red<'a>>,
    findings: Vec<(String, &'a Finding)>,
    /// The verdicts by version; `None` if the run has one version only.
    versions: Option<VersionsView>,
    tables: Vec<TableView<'a>>,
    chart: Chart,
    close: Vec<Close>,
    phases: Vec<Bar>,
    figures: Vec<FigureView<'a>>,
    unproven: &'a [String],
    proven_by_altered: &'a [String],
    areas: Vec<AreaView<'a>>,
    setups: Vec<SetUpView<'a>>,
    warnings: &'a [String],
    notes: &'a [String],
}

/// The bar for one phase of the run. `share` is the length of the bar: the phase's time in percent of the whole run.
#[derive(Serialize)]
struct Bar {
    name: &'static str,
    took: String,
    share: String,
}

#[derive(Serialize)]
struct FigureView<'a> {
    name: &'a str,
    variant: &'a str,
    numbers: String,
    /// The position of the figure's smallest value on a scale from zero to its worst value, in percent. `median` is the
    /// position of its median on the same scale.
    least: u64,
    median: u64,
    timeline: Vec<MomentView<'a>>,
}

/// A table as the page shows it: its title, the titles of its columns, and its rows. A row has a title and its cells.
#[derive(Serialize)]
struct TableView<'a> {
    title: &'a str,
    columns: Vec<&'a str>,
    rows: Vec<(&'a str, Vec<Vec<ShownView<'a>>>)>,
}

#[derive(Serialize)]
struct ShownView<'a> {
    href: String,
    at: Option<String>,
    step: &'a str,
    answer: String,
    code: Option<&'a str>,
    how: Option<&'a str>,
    why: Option<String>,
    tone: &'static str,
}

/// The verdicts by version: the columns, and for each variant its id and its verdicts.
#[derive(Serialize)]
struct VersionsView {
    columns: Vec<String>,
    rows: Vec<(String, Vec<VerdictView>)>,
}

#[derive(Serialize)]
struct VerdictView {
    word: &'static str,
    tone: Paint,
    /// The anchor of the variant on the page. It is empty if the run does not have the variant.
    href: String,
}

#[derive(Serialize)]
struct MomentView<'a> {
    at: String,
    /// The position of the moment on a scale from the first moment of the timeline to the last, in percent.
    share: String,
    what: &'a str,
}

#[derive(Serialize)]
struct SetUpView<'a> {
    id: &'a str,
    title: &'a str,
    took: String,
    detail: &'a str,
}

impl<'a> Page<'a> {
    fn of(summary: &'a Summary, command: &str) -> Self {
        let (tone, sentence) = verdict(summary);
        let totals = summary.totals();
        let interrupted = summary.interrupted();
        let tones: Vec<Paint> = summary.variants().map(|it| verdict_of(it, interrupted).1).collect();
        Self {
            policy: policy(),
            style: STYLE,
            script: SCRIPT,
            run: summary.run.as_ref().map_or("", |run| run.run.as_str()),
            tone,
            sentence,
            counts: [
                ("failed", Paint::Bad, totals.failed),
                ("passed", Paint::Good, totals.passed),
                ("skipped", Paint::Odd, totals.skipped),
            ],
            variants: tones.len(),
            shares: steps::shares(&tones),
            facts: facts(summary),
            failures: failures::failures(summary, command),
            findings: summary.findings(),
            versions: versions(summary),
            tables: summary.tables().into_iter().map(table).collect(),
            chart: Chart::of(summary),
            close: chart::close(summary),
            phases: phases(summary),
            figures: summary.figures().iter().map(figure).collect(),
            unproven: summary.unproven(),
            proven_by_altered: summary.proven_by_altered(),
            areas: steps::areas(summary),
            setups: summary.setups.iter().map(set_up).collect(),
            warnings: &summary.warnings,
            notes: &summary.notes,
        }
    }
}

fn versions(summary: &Summary) -> Option<VersionsView> {
    let table = summary.by_version()?;
    let cell = |variant: Option<&Variant>| {
        let (word, tone) = verdict_at(variant, summary.interrupted());
        VerdictView { word, tone, href: variant.map(|it| it.id.to_string()).unwrap_or_default() }
    };
    let rows = table.rows.into_iter().map(|(id, variants)| (id.to_string(), variants.into_iter().map(cell).collect()));
    Some(VersionsView { columns: table.columns.iter().map(ToString::to_string).collect(), rows: rows.collect() })
}

fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(run) = &summary.run {
        facts.push(("started", run.started.split('.').next().unwrap_or_default().replace('T', " ")));
        facts.push(("took", seconds(summary.phases.total_ms)));
        facts.push(("chosen", if run.filters.is_empty() { "everything".to_owned() } else { run.filters.join(" ") }));
        if !run.versions.is_empty() {
            let versions: Vec<String> = run.versions.iter().map(ToString::to_string).collect();
            facts.push(("versions", versions.join("; ")));
        }
        if run.demands.proof {
            facts.push(("demanded", "a proof of every matcher".to_owned()));
        }
        if let Some(seed) = run.seed {
            facts.push(("order", format!("shuffled, seed {seed}")));
        }
        facts.push(("parallax", run.parallax.clone()));
    }
    facts.push(("exit", summary.exit().code().to_string()));
    if summary.unconfirmed() > 0 {
        facts.push((
            "unconfirmed",
            format!("{} answers, of which no store's trace tells who asked", summary.unconfirmed()),
        ));
    }
    if let Some(clean_up) = &summary.clean_up {
        let left = if clean_up.remaining.is_empty() { "nothing".to_owned() } else { clean_up.remaining.join(", ") };
        facts.push(("left behind", left));
    }
    facts
}

fn phases(summary: &Summary) -> Vec<Bar> {
    let total = summary.phases.total_ms;
    let rows = summary.phases.rows();
    let bars = rows.iter().filter(|(_, ms)| *ms > 0);
    bars.map(|(name, ms)| Bar { name, took: seconds(*ms), share: percent(*ms, total) }).collect()
}

/// Returns `part` in percent of `whole`, as text with three decimals, for example `12.345`. The result is at most 100.
fn percent(part: u64, whole: u64) -> String {
    let thousandths = (u128::from(part) * 100_000).checked_div(u128::from(whole)).unwrap_or(0).min(100_000);
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 100")]
fn figure<'a>(it: &Measured<'a>) -> FigureView<'a> {
    let worst = it.figure.worst;
    let share = |value: f64| if worst > 0.0 { (value / worst * 100.0).clamp(0.0, 100.0) as u64 } else { 0 };
    let began = it.timeline.first().map_or(0, |moment| moment.unix_ms);
    let whole = it.timeline.last().map_or(0, |moment| moment.unix_ms.saturating_sub(began));
    let timeline = it.timeline.iter().map(|moment| {
        let at = moment.unix_ms.saturating_sub(began);
        let since = format!("{}.{:03} s", at / 1000, at % 1000);
        MomentView { at: since, share: percent(at, whole), what: &moment.what }
    });
    FigureView {
        name: &it.figure.name,
        variant: it.variant.id.as_str(),
        numbers: it.figure.to_string(),
        least: share(it.figure.least),
        median: share(it.figure.median),
        timeline: timeline.collect(),
    }
}

fn table(it: Table<'_>) -> TableView<'_> {
    let rows = it.rows.into_iter().map(|row| (row.title, row.cells.into_iter().map(cell).collect()));
    TableView { title: it.title, columns: it.columns, rows: rows.collect() }
}

fn cell(shown: Vec<Shown<'_>>) -> Vec<ShownView<'_>> {
    let shown = shown.into_iter().map(|it| {
        let tone = match (it.as_declared, &it.why) {
            (false, _) => "bad",
            (true, Some(_)) => "declared",
            (true, None) => "good",
        };
        ShownView {
            href: it.anchor,
            at: it.at,
            step: it.step,
            answer: it.answer,
            code: it.code,
            how: it.how,
            why: it.why,
            tone,
        }
    });
    shown.collect()
}

fn set_up(it: &SetUp) -> SetUpView<'_> {
    let detail = it.detail.as_deref().unwrap_or("never ended");
    SetUpView { id: &it.id, title: &it.title, took: seconds(it.took_ms), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_hash_of_a_known_text() {
        // The expected value is the SHA-256 hash of the empty text, in base64.
        assert_eq!(STANDARD.encode(digest(&SHA256, b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn no_part_of_the_page_can_end_our_script_or_style() {
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
    }

    #[test]
    fn percent_has_three_decimals_and_an_upper_bound() {
        for (part, whole, shown) in
            [(1, 3, "33.333"), (0, 0, "0.000"), (5, 4, "100.000"), (u64::MAX, u64::MAX, "100.000"), (1, 1000, "0.100")]
        {
            assert_eq!(percent(part, whole), shown);
        }
    }
}
