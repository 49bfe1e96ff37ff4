//! The pages of the table of stores: the table in groups, and the steps that show each cell.

use std::fmt::Write as _;

use super::{Answer, Cell, MADE, PAGE, PROOF_PAGE, Seen, Store, Table};

impl Answer {
    /// The answer in words, as it stands in a cell.
    const fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::WorksOtherwise => "works otherwise",
            Self::Missing => "missing",
            Self::Hole => "hole",
            Self::NotTried => "not tried",
        }
    }
}

impl Table {
    /// Returns the Markdown page that contains the table: a summary of each store, and a table for each group of rows.
    pub fn page(&self) -> String {
        let mut out = format!(
            "{MADE}\n\n# Which store does what\n\nEach cell that was tried is shown by steps of a scenario, which a run carries out against the \
             store itself.\nEach of these steps fails in a break, which is a set-up that is wrong on purpose: so the step can fail.\n\
             [{proof}]({proof}) names the steps and the breaks.\n\
             `parallax e2e stores` asks the stores again; `parallax stores --of RUN` compares this table with what a run saw.\n\n\
             - **works**: as the documentation of S3 or STS says.\n- **works otherwise**: the store does it, and the cell says what is different.\n\
             - **missing**: the store does not do it, and the cell says what it answers.\n- **hole**: what must be refused is accepted, and the cell says what follows.\n\
             - **not tried**: no step asks the store; the cell says why.\n\n",
            proof = file_name(PROOF_PAGE),
        );
        let others = self.other_versions();
        let at_end = if others.is_empty() { "" } else { " [Other versions](#other-versions) are at the end." };
        let _ = writeln!(out, "Each store has the version at which its cells were seen beside its name.{at_end}\n");
        if !self.compared_at.is_empty() {
            let versions: Vec<String> = self.compared_at.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "This table was compared with a run at these versions: {}.\n", versions.join("; "));
        }
        for note in &self.notes {
            let _ = writeln!(out, "{note}\n");
        }
        out.push_str("## Each store in short\n\n");
        for (at, store) in self.stores.iter().enumerate() {
            let _ = writeln!(out, "- {}", self.summary(at, store));
        }
        for group in self.rows.chunk_by(|one, next| one.group == next.group) {
            let _ = writeln!(out, "\n## {}\n\n| what | {} |", group[0].group, self.names());
            let _ = writeln!(out, "|---|{}", "---|".repeat(self.stores.len()));
            for row in group {
                let cells: Vec<String> = row.cells.iter().map(Cell::text).collect();
                let _ = writeln!(out, "| {} | {} |", row.asks, cells.join(" | "));
            }
        }
        out.push_str(&others);
        out
    }

    /// Returns the Markdown page with the steps that show each cell.
    pub fn proof_page(&self) -> String {
        let mut out = format!(
            "{MADE}\n\n# What shows the answers of the stores\n\nThe answers are in [{page}]({page}). A step is in the scenario of its area, \
             `scenarios/AREA/NAME/scenario.yaml`; `parallax e2e SCENARIO --break NAME` runs one break.\n\n\
             | what | store | steps | they fail in |\n|---|---|---|---|\n",
            page = file_name(PAGE),
        );
        for row in &self.rows {
            for (store, cell) in self.stores.iter().zip(&row.cells).filter(|(_, cell)| !cell.proofs.is_empty()) {
                let steps: Vec<String> =
                    cell.proofs.iter().map(|it| format!("`{}: {}`", it.scenario, it.step)).collect();
                let mut breaks: Vec<String> = cell
                    .proofs
                    .iter()
                    .flat_map(|it| it.breaks.iter().map(|name| format!("`{}+{name}`", it.scenario)))
                    .collect();
                breaks.sort();
                breaks.dedup();
                let _ =
                    writeln!(out, "| {} | {} | {} | {} |", row.name, store.name, steps.join(", "), breaks.join(", "));
            }
        }
        out
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.stores.iter().map(|it| format!("{} {}", it.name, it.version)).collect();
        names.join(" | ")
    }

    /// How many rows work with the store in the column `at`, and the names of all others.
    fn summary(&self, at: usize, store: &Store) -> String {
        let named = |answer: Answer| {
            let rows = self.rows.iter().filter(|row| row.cells[at].answer == answer);
            rows.map(|row| row.name.as_str()).collect::<Vec<_>>()
        };
        let mut out = format!(
            "**{} {}**: {} of {} work as they should.",
            store.name,
            store.version,
            named(Answer::Works).len(),
            self.rows.len()
        );
        for answer in [Answer::Hole, Answer::Missing, Answer::WorksOtherwise, Answer::NotTried] {
            let rows = named(answer);
            if !rows.is_empty() {
                let _ = write!(out, " **{}**: {}.", answer.words(), rows.join(", "));
            }
        }
        out
    }
}

impl Cell {
    fn text(&self) -> String {
        let answer = self.answer.words();
        let how = if self.how.is_empty() { String::new() } else { format!(": {}", self.how) };
        let seen = match self.seen {
            None | Some(Seen::Held) => "",
            Some(Seen::Failed) => " (**this run saw something else**)",
            Some(Seen::NotRun) => " (not in this run)",
        };
        format!("**{answer}**{how}{seen}").replace('|', "\\|")
    }
}

/// Returns the name of a page, as the other page links it. Both pages are in one folder.
fn file_name(page: &str) -> &str {
    page.rsplit('/').next().unwrap_or(page)
}
