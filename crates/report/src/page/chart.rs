//! The timeline of the page. One group of rows shows the run itself. Each cluster has a group with its environments,
//! its variants and their steps. Positions are in percent of the run's duration. So if the reader zooms, only the width
//! of the timeline changes.

use parallax_vocab::event::Verdict;
use serde::Serialize;

use super::percent;
use super::steps::{Named, anchor, end_of, tone};
use crate::seconds;
use crate::summary::{SetUp, Summary, Variant};
use crate::terminal::{Paint, verdict_of};

/// The height of one row of the timeline, with its bars, in pixels.
const ROW: usize = 27;
const MARGIN_TOP: usize = 2;
const STRIP_TOP: usize = 17;
/// The smallest number of marks that the time axis should have.
const MARKS: u64 = 8;
/// The page lists the passed steps that came close to their deadlines. Such a step used at least this share of its
/// deadline, in percent.
const CLOSE_PERCENT: u64 = 30;
const CLOSE_SHOWN: usize = 10;

#[derive(Serialize)]
pub(super) struct Chart {
    total_ms: u64,
    marks: Vec<Mark>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Mark {
    x: String,
    label: String,
}

#[derive(Serialize)]
struct Group {
    name: String,
    detail: String,
    height: usize,
    bars: Vec<Bar>,
}

/// A bar of the timeline. It stands for a variant, for a part of the set-up or for the clean-up. Only the bar of a
/// variant has a link and steps.
#[derive(Serialize)]
struct Bar {
    x: String,
    width: String,
    y: usize,
    /// The vertical position of the marks that show the variant's steps in the bar, in pixels.
    strip: usize,
    label: String,
    title: String,
    tone: &'static str,
    href: String,
    steps: Vec<Bit>,
}

#[derive(Serialize)]
struct Bit {
    x: String,
    width: String,
    tone: &'static str,
    title: String,
    href: String,
}

/// A step that came close to its deadline, as the page lists it.
#[derive(Serialize)]
pub(super) struct Close {
    variant: String,
    step: String,
    href: String,
    took: String,
    deadline: String,
    margin: String,
    used: String,
}

struct Span {
    from_ms: u64,
    to_ms: u64,
    bar: Bar,
}

impl Chart {
    pub(super) fn of(summary: &Summary) -> Self {
        let scale = Scale(summary.phases.total_ms);
        let mut groups = vec![group("run", String::new(), of_the_run(summary, scale))];
        for (cluster, mut spans, variants) in clusters(summary, scale) {
            spans.sort_by_key(|it| (it.from_ms, it.to_ms));
            let plural = if variants == 1 { "" } else { "s" };
            groups.push(group(&cluster, format!("{variants} variant{plural}"), spans));
        }
        Self { total_ms: summary.phases.total_ms, marks: marks(summary.phases.total_ms), groups }
    }
}

#[derive(Clone, Copy)]
struct Scale(u64);

impl Scale {
    fn at(self, ms: u64) -> String {
        percent(ms, self.0)
    }

    fn long(self, from_ms: u64, to_ms: u64) -> String {
        percent(to_ms.saturating_sub(from_ms), self.0)
    }
}

/// Makes a group of rows from spans of time. Each span is placed in the first row that is free when the span starts.
fn group(name: &str, detail: String, spans: Vec<Span>) -> Group {
    let mut free_from: Vec<u64> = Vec::new();
    let mut bars = Vec::new();
    for mut span in spans {
        let row = free_from.iter().position(|free| *free <= span.from_ms).unwrap_or_else(|| {
            free_from.push(0);
            free_from.len() - 1
        });
        free_from[row] = span.to_ms.max(span.from_ms.saturating_add(1));
        span.bar.y = row * ROW + MARGIN_TOP;
        span.bar.strip = row * ROW + STRIP_TOP;
        bars.push(span.bar);
    }
    Group { name: name.to_owned(), detail, height: free_from.len().max(1) * ROW, bars }
}

/// Whether a set-up step belongs to the run itself and not to a cluster or an environment.
fn is_of_the_run(setup: &SetUp) -> bool {
    !setup.id.starts_with("cluster/") && !setup.id.starts_with("environment/")
}

fn of_the_run(summary: &Summary, scale: Scale) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    // Images are obtained at the same time. One bar for all of them is clearer than twenty bars of a millisecond each.
    let images = summary.setups.iter().filter(|it| it.id.starts_with("image/"));
    let images = images.map(|it| (it.from_ms, it.from_ms.saturating_add(it.took_ms), it.error.is_some()));
    if let Some((from_ms, to_ms, failed)) = images.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1), a.2 || b.2)) {
        let tone = if failed { "bad" } else { "env" };
        spans.push(span(scale, (from_ms, to_ms), ("images", "images"), tone, String::new()));
    }
    for it in summary.setups.iter().filter(|it| is_of_the_run(it) && !it.id.starts_with("image/")) {
        spans.push(set_up(it, &it.id, scale));
    }
    if let Some(clean_up) = &summary.clean_up {
        let end = summary.phases.total_ms;
        let from = end.saturating_sub(clean_up.took_ms);
        spans.push(span(scale, (from, end), ("clean-up", "clean-up"), "env", String::new()));
    }
    spans.sort_by_key(|it| it.from_ms);
    spans
}

fn set_up(it: &SetUp, label: &str, scale: Scale) -> Span {
    let tone = if it.error.is_some() { "bad" } else { "env" };
    let title = format!("{}: {}", it.id, it.title);
    span(scale, (it.from_ms, it.from_ms.saturating_add(it.took_ms)), (label, &title), tone, String::new())
}

fn span(scale: Scale, at: (u64, u64), (label, title): (&str, &str), tone: &'static str, href: String) -> Span {
    let (from_ms, to_ms) = at;
    let took = seconds(to_ms.saturating_sub(from_ms));
    let bar = Bar {
        x: scale.at(from_ms),
        width: scale.long(from_ms, to_ms),
        y: 0,
        strip: 0,
        label: label.to_owned(),
        title: format!("{title}, {took}, from {}", seconds(from_ms)),
        tone,
        href,
        steps: Vec::new(),
    };
    Span { from_ms, to_ms, bar }
}

/// Returns each cluster with the spans of its group, and with the number of its variants. The clusters are in the order
/// in which they started.
fn clusters(summary: &Summary, scale: Scale) -> Vec<(String, Vec<Span>, usize)> {
    let interrupted = summary.interrupted();
    let mut clusters: Vec<(String, Vec<Span>, usize)> = Vec::new();
    let mut into = |name: &str, span: Span, is_variant: bool| {
        let at = clusters.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
            clusters.push((name.to_owned(), Vec::new(), 0));
            clusters.len() - 1
        });
        clusters[at].1.push(span);
        clusters[at].2 += usize::from(is_variant);
    };
    for it in &summary.setups {
        if let Some(name) = it.id.strip_prefix("cluster/") {
            into(name, set_up(it, "cluster", scale), false);
        }
    }
    for it in summary.setups.iter().filter(|it| it.id.starts_with("environment/")) {
        let name = it.id.trim_start_matches("environment/");
        // In a run at several versions, the versions precede the namespace, and the name of the cluster.
        let (versions, namespace) = name.split_once(':').unwrap_or(("", name));
        let started = summary.variants().filter_map(|variant| variant.started.as_ref());
        let is_there = |cluster: &str| cluster.split_once(':').map_or("", |(versions, _)| versions) == versions;
        let mut clusters = started.filter(|it| it.namespace == namespace).map(|it| it.cluster.as_str());
        let cluster = clusters.find(|cluster| is_there(cluster));
        into(cluster.unwrap_or("elsewhere"), set_up(it, namespace, scale), false);
    }
    for variant in summary.variants() {
        let Some(started) = &variant.started else { continue };
        into(&started.cluster, of_variant(variant, interrupted, scale), true);
    }
    clusters.sort_by_key(|(_, spans, _)| spans.iter().map(|it| it.from_ms).min());
    clusters
}

fn of_variant(variant: &Variant, interrupted: bool, scale: Scale) -> Span {
    let (word, paint) = verdict_of(variant, interrupted);
    let tone = match paint {
        Paint::Good => "good",
        Paint::Odd => "odd",
        Paint::Bad | Paint::Dim | Paint::Bold => "bad",
    };
    let name = variant.id.as_str().split_once('/').map_or(variant.id.as_str(), |(_, name)| name);
    let title = format!("{} {word}", variant.id);
    let at = (variant.from_ms, end_of(variant));
    let mut span = span(scale, at, (name, &title), tone, variant.id.to_string());
    for named in Named::of(variant).filter(|it| it.step.verdict != Verdict::Blocked) {
        let step = named.step;
        let from_ms = named.ended_ms.saturating_sub(step.took_ms);
        span.bar.steps.push(Bit {
            x: scale.at(from_ms),
            width: scale.long(from_ms, named.ended_ms),
            tone: self::tone(variant, step),
            title: format!("{}: {} of {}", step.step, seconds(step.took_ms), seconds(step.deadline_ms)),
            href: anchor(variant, &named),
        });
    }
    span
}

/// Returns the marks of the time axis. The distance between them is the largest round number that gives at least
/// [`MARKS`] marks.
fn marks(total_ms: u64) -> Vec<Mark> {
    let distances = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600].map(|it| it * 1000);
    let distance = distances.into_iter().rev().find(|it| total_ms / it >= MARKS).unwrap_or(1000);
    // In a damaged record, the duration of the run may be very large. The limit prevents a page of unlimited size.
    let count = (total_ms / distance).min(100);
    let mark = |at_ms: u64| Mark { x: percent(at_ms, total_ms), label: clock(at_ms) };
    (0..=count).map(|it| mark(it * distance)).collect()
}

fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Returns the passed steps that used at least [`CLOSE_PERCENT`] percent of their deadlines. The step that used the
/// largest share comes first. A step with `consistently` is left out, because it must last for a given time.
pub(super) fn close(summary: &Summary) -> Vec<Close> {
    let steps = summary.variants().flat_map(|variant| Named::of(variant).map(move |named| (variant, named)));
    let waited = steps.filter(|(_, it)| {
        it.step.verdict == Verdict::Passed && it.step.course.held.is_none() && it.step.deadline_ms > 0
    });
    let used = |it: &Named<'_>| it.step.took_ms.saturating_mul(100_000) / it.step.deadline_ms;
    let mut close: Vec<_> = waited.filter(|(_, it)| used(it) >= CLOSE_PERCENT * 1000).collect();
    close.sort_by_key(|(_, it)| std::cmp::Reverse(used(it)));
    close.truncate(CLOSE_SHOWN);
    let view = |(variant, it): &(&Variant, Named<'_>)| Close {
        variant: variant.id.to_string(),
        step: it.step.step.to_string(),
        href: anchor(variant, it),
        took: seconds(it.step.took_ms),
        deadline: seconds(it.step.deadline_ms),
        margin: seconds(it.step.deadline_ms.saturating_sub(it.step.took_ms)),
        used: percent(it.step.took_ms, it.step.deadline_ms),
    };
    close.iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn spans_that_overlap_are_in_different_rows() {
        let scale = Scale(100);
        let spans =
            [(0, 50), (10, 20), (20, 30), (50, 60), (50, 50)].map(|at| span(scale, at, ("", ""), "env", String::new()));
        let group = group("c1", String::new(), spans.into());
        let rows: Vec<usize> = group.bars.iter().map(|it| it.y / ROW).collect();
        assert_eq!((rows, group.height), (vec![0, 1, 1, 0, 1], 2 * ROW));
    }

    #[test]
    fn the_chart_shows_each_variant_once_with_its_steps_at_their_times() {
        let summary = Summary::from_events(&samples::all_good());
        let chart = Chart::of(&summary);
        assert_eq!(chart.groups.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["run", "c1"]);
        let bars = &chart.groups[1].bars;
        let variants: Vec<_> = bars.iter().filter(|it| !it.href.is_empty()).map(|it| it.href.as_str()).collect();
        assert_eq!(variants, ["presign/presigned-url", "presign/presigned-url+no-rewrite"]);
        let baseline = bars.iter().find(|it| it.href == "presign/presigned-url").expect("the baseline");
        let steps: Vec<_> = baseline.steps.iter().map(|it| (it.href.as_str(), it.tone)).collect();
        assert_eq!(steps, [("presign/presigned-url:inside", "good"), ("presign/presigned-url:outside", "good")]);
        let failed = bars.iter().find(|it| it.href.ends_with("no-rewrite")).expect("the break");
        assert_eq!(
            failed.steps.iter().map(|it| it.tone).collect::<Vec<_>>(),
            ["declared"],
            "a blocked step took no time"
        );
    }

    #[test]
    fn marks_are_few_and_round() {
        for (total_ms, count, last) in
            [(0, 1, "0:00"), (12_000, 13, "0:12"), (898_911, 15, "14:00"), (u64::MAX, 101, "6000:00")]
        {
            let marks = marks(total_ms);
            assert_eq!((marks.len(), marks.last().map(|it| it.label.as_str())), (count, Some(last)), "{total_ms}");
        }
    }
}
