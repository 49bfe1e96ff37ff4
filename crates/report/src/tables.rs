//! The tables that scenarios declare with `shows`. A step with `shows` belongs to one cell of a table. The cell shows
//! what the store answered to the step.

use std::fmt::Write as _;

use parallax_vocab::answer::Reply;
use parallax_vocab::course::Shows;
use parallax_vocab::event::{Outcome, StepEnded, Verdict};
use parallax_vocab::probes::ReplyFacts;

use super::page::steps::{Named, anchor};
use super::summary::{Summary, Variant};
use super::terminal::short_cause;

/// A table of the report. Steps of several scenarios fill its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    /// The title of the table.
    pub title: &'a str,
    /// The titles of the columns, in the order of the steps that fill them.
    pub columns: Vec<&'a str>,
    /// The rows. First come the rows that steps of baselines fill, in the order of these steps. Then come the rows that
    /// only steps of breaks fill.
    pub rows: Vec<Row<'a>>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The title of the row: what the steps that fill the row try.
    pub title: &'a str,
    /// The cells of the row, one for each column. A cell is empty if no step of the run belongs to it.
    pub cells: Vec<Vec<Shown<'a>>>,
}

/// The content that one step adds to a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// The id of the variant that the step belongs to.
    pub variant: &'a str,
    /// The versions at which the variant ran, for example `versitygw 1.7.0`. `None` if the run was at one combination of
    /// versions.
    pub at: Option<String>,
    /// The id of the step whose answer the cell shows.
    pub step: &'a str,
    /// The step's permalink on the HTML page.
    pub anchor: String,
    /// The HTTP status of the answer. For a step without a status: its cause, or whether it passed.
    pub answer: String,
    /// The code of the store's S3 error; `None` if the answer is no S3 error.
    pub code: Option<&'a str>,
    /// The text that the scenario gives for this cell. The text is for a store that does not do what other stores do,
    /// and says what this store does instead. `None` if the scenario gives no text.
    pub how: Option<&'a str>,
    /// For a failed step: the sentence that explains why it failed.
    pub why: Option<String>,
    /// Whether the step ended as its scenario declares.
    pub as_declared: bool,
}

impl Summary {
    /// Returns the tables of the run, sorted by title. In a table, the steps of baselines come before the steps of
    /// breaks.
    pub fn tables(&self) -> Vec<Table<'_>> {
        let mut shown: Vec<(&Variant, Named<'_>, &Shows)> = Vec::new();
        for variant in self.variants() {
            shown.extend(Named::of(variant).filter_map(|it| Some((variant, it, it.step.course.shows.as_ref()?))));
        }
        // A shuffled run has another order of variants. The sort by file and line gives the same table for every order.
        shown.sort_by_key(|(variant, named, shows)| {
            let (file, line) = named.step.place.rsplit_once(':').unwrap_or_default();
            let line: usize = line.parse().unwrap_or_default();
            (shows.table.as_str(), variant.break_name().is_some(), file, variant.break_name(), line)
        });
        let mut tables: Vec<Table<'_>> = Vec::new();
        for (variant, named, shows) in shown {
            let known = tables.iter().position(|it| it.title == shows.table);
            let at = known.unwrap_or_else(|| {
                tables.push(Table { title: &shows.table, columns: Vec::new(), rows: Vec::new() });
                tables.len() - 1
            });
            tables[at].add(shows, shown_by(variant, &named, shows));
        }
        tables
    }
}

impl<'a> Table<'a> {
    fn add(&mut self, at: &'a Shows, shown: Shown<'a>) {
        let column = self.columns.iter().position(|it| *it == at.column).unwrap_or_else(|| {
            self.columns.push(&at.column);
            for row in &mut self.rows {
                row.cells.push(Vec::new());
            }
            self.columns.len() - 1
        });
        let row = self.rows.iter().position(|it| it.title == at.row).unwrap_or_else(|| {
            self.rows.push(Row { title: &at.row, cells: vec![Vec::new(); self.columns.len()] });
            self.rows.len() - 1
        });
        self.rows[row].cells[column].push(shown);
    }

    /// Renders the table as Markdown. The last column lists the steps that fill the row.
    pub fn markdown(&self) -> String {
        let mut out = format!("| {} | {} | shown by |\n", self.title, self.columns.join(" | "));
        let _ = writeln!(out, "|---|{}---|", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(|it| cell(it)).collect();
            let steps = row.cells.iter().flatten().map(|it| format!("`{}: {}`", it.variant, it.step));
            let steps: Vec<String> = steps.collect();
            let _ = writeln!(out, "| {} | {} | {} |", row.title, cells.join(" | "), steps.join(", "));
        }
        out
    }
}

/// Renders a cell as Markdown. If several steps got the same answer, the answer appears once.
fn cell(shown: &[Shown<'_>]) -> String {
    // The answers, each with the versions at which it was got.
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for it in shown {
        let (status, code) = (&it.answer, it.code.map_or_else(String::new, |code| format!(" `{code}`")));
        let how = it.how.map_or_else(String::new, |how| format!(": {how}"));
        let odd = if it.as_declared { "" } else { " (**not as declared**)" };
        let text = format!("{status}{code}{how}{odd}").replace('|', "\\|");
        match said.iter_mut().find(|(known, _)| *known == text) {
            Some((_, at)) => at.extend(it.at.as_deref()),
            None => said.push((text, it.at.as_deref().into_iter().collect())),
        }
    }
    // If all versions gave the same answer, the versions add nothing.
    let one = said.len() == 1;
    let said: Vec<String> = said
        .into_iter()
        .map(|(text, at)| if one || at.is_empty() { text } else { format!("{text} (at {})", at.join(", ")) })
        .collect();
    if said.is_empty() { "not in this run".to_owned() } else { said.join("; ") }
}

fn shown_by<'a>(variant: &'a Variant, named: &Named<'a>, shows: &'a Shows) -> Shown<'a> {
    let step = named.step;
    let as_declared = match (variant.break_name(), &variant.outcome) {
        (None, _) => step.verdict == Verdict::Passed,
        (Some(_), outcome) => outcome.as_ref().is_none_or(|it| *it == Outcome::AsExpected),
    };
    Shown {
        variant: variant.id.as_str(),
        at: variant.id.versions().map(|it| it.to_string()),
        step: step.step.as_str(),
        anchor: anchor(variant, named),
        answer: answer(step),
        code: facts(step).and_then(|it| it.s3_error).map(|error| error.code.as_str()),
        how: shows.missing.as_deref().or(shows.otherwise.as_deref()),
        why: (step.verdict == Verdict::Failed).then(|| parallax_explain::of_step(step)),
        as_declared,
    }
}

fn facts(step: &StepEnded) -> Option<ReplyFacts<'_>> {
    step.answer.as_ref()?.reply().map(Reply::facts)
}

/// The answer that a table shows for a step. If the answer has no status, the text says how the step ended.
fn answer(step: &StepEnded) -> String {
    match (facts(step).and_then(|it| it.status), &step.cause, step.verdict) {
        (Some(status), ..) => status.to_string(),
        (None, Some(cause), _) => short_cause(cause),
        (None, None, Verdict::Passed) => "holds".to_owned(),
        (None, None, Verdict::Failed) => "fails".to_owned(),
        (None, None, Verdict::Blocked) => "not reached".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use parallax_vocab::event::{Event, EventKind, VariantEnded};

    use super::*;
    use crate::page;
    use crate::samples::{refused, step};

    const BASELINE: &str = "presign/presigned-url";
    const BREAK: &str = "presign/presigned-url+wrong-secret";

    fn showing(mut step: StepEnded, row: &str, column: &str) -> Event {
        let (table, row, column) = ("Edges".to_owned(), row.to_owned(), column.to_owned());
        step.course.shows = Some(Shows { table, row, column, otherwise: None, missing: None });
        Event { at_ms: 1, event: EventKind::StepEnded(Box::new(step)) }
    }

    fn ended(variant: &str, outcome: Outcome) -> Event {
        Event {
            at_ms: 2,
            event: EventKind::VariantEnded(VariantEnded { variant: variant.into(), outcome, took_ms: 1 }),
        }
    }

    fn events() -> Vec<Event> {
        vec![
            showing(refused(step(BREAK, "outside", 14)), "signed with another key", "outside"),
            showing(step(BASELINE, "inside", 15), "as it is", "inside"),
            showing(step(BASELINE, "outside", 14), "as it is", "outside"),
            // A step without `shows` is in no table.
            Event { at_ms: 1, event: EventKind::StepEnded(Box::new(step(BASELINE, "put", 12))) },
        ]
    }

    #[test]
    fn a_table_has_baselines_before_breaks_and_the_steps_in_their_order() {
        let summary = Summary::from_events(&events());
        let tables = summary.tables();
        let [table] = &tables[..] else { panic!("{tables:?}") };
        insta::assert_snapshot!(table.markdown(), @r"
        | Edges | outside | inside | shown by |
        |---|---|---|---|
        | as it is | holds | holds | `presign/presigned-url: outside`, `presign/presigned-url: inside` |
        | signed with another key | 403 `SignatureDoesNotMatch` | not in this run | `presign/presigned-url+wrong-secret: outside` |
        ");
    }

    #[test]
    fn the_page_has_the_table_with_the_reason_and_a_link_to_the_step() {
        let summary = Summary::from_events(&events());
        let page = page::render(&summary, "parallax").expect("a page");
        let table = page.split("id=\"px-tables\"").nth(1).expect("tables").split("</section>").next().expect("its end");
        assert!(
            table.contains("class=\"declared\" href=\"#presign&#x2f;presigned-url+wrong-secret:outside\""),
            "{table}"
        );
        let why = summary.tables()[0].rows[1].cells[0][0].why.clone().expect("a reason");
        assert!(why.contains("403") && table.contains("403 SignatureDoesNotMatch"), "{why}: {table}");
        assert!(table.contains("<span class=\"dim\">"), "{table}");
        let none = page::render(&Summary::from_events(&events()[3..]), "parallax").expect("a page");
        assert!(!none.contains("px-tables"));
    }

    #[test]
    fn a_cell_says_at_which_versions_it_was_answered_differently() {
        let at = |version: &str| format!("presign/presigned-url@k8s-{version}");
        let both = |third: StepEnded| {
            let [old, new] = ["1.33.13", "1.34.4"].map(at);
            let events = [step(&old, "inside", 15), step(&new, "inside", 15), step(&old, "outside", 16), third];
            let rows = ["same", "same", "other", "other"];
            let events: Vec<Event> =
                events.into_iter().zip(rows).map(|(step, row)| showing(step, row, "a pod")).collect();
            Summary::from_events(&events).tables()[0].markdown()
        };
        let text = both(refused(step(&at("1.34.4"), "outside", 16)));
        assert!(text.contains("| same | holds |"), "{text}");
        let refused = "403 `SignatureDoesNotMatch` (**not as declared**) (at k8s 1.34.4)";
        assert!(text.contains(&format!("| other | holds (at k8s 1.33.13); {refused} |")), "{text}");
    }

    #[test]
    fn what_is_not_as_declared_is_marked() {
        let mut events = events();
        events.push(ended(BREAK, Outcome::NotAsExpected { problems: Vec::new() }));
        events.push(showing(refused(step(BASELINE, "inside", 15)), "as it is", "inside"));
        let summary = Summary::from_events(&events);
        let text = summary.tables()[0].markdown();
        assert_eq!(text.matches("403 `SignatureDoesNotMatch` (**not as declared**)").count(), 2, "{text}");
    }
}
