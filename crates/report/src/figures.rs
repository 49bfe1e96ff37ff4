//! The figures that a run measured in the rounds of its repeats. Each figure comes with the timeline of its worst
//! round, which is the round with the greatest value.

use parallax_vocab::course::{Figure, Moment};

use super::summary::{Summary, Variant};

/// A measured figure with its variant and the timeline of the round with the greatest value.
#[derive(Clone, Debug)]
pub struct Measured<'a> {
    /// The variant in which the figure was measured.
    pub variant: &'a Variant,
    /// The measured figure.
    pub figure: &'a Figure,
    /// The moments of the figure's worst round, in the order of time. Empty if an earlier figure has the same worst
    /// round, because the timeline is then shown with that figure.
    pub timeline: Vec<&'a Moment>,
}

impl Summary {
    /// Returns all figures, in the order in which the run measured them.
    pub fn figures(&self) -> Vec<Measured<'_>> {
        let steps = self.variants().flat_map(|variant| variant.steps.iter().map(move |step| (variant, step)));
        let figures = steps.filter_map(|(variant, step)| Some((variant, step.course.figure.as_ref()?)));
        let mut measured: Vec<Measured<'_>> = Vec::new();
        for (variant, figure) in figures {
            // Several figures may have the same worst round. Its timeline is shown once, with the first of these
            // figures.
            let already_shown = measured.iter().any(|it| {
                let same = (&it.figure.of, it.figure.worst_round) == (&figure.of, figure.worst_round);
                it.variant.id == variant.id && same && !it.timeline.is_empty()
            });
            let timeline = if already_shown { Vec::new() } else { timeline(variant, figure) };
            measured.push(Measured { variant, figure, timeline });
        }
        measured
    }
}

/// Returns the moments that were observed in a figure's worst round. If this round was void and was run again, the
/// moments come from its last run.
fn timeline<'a>(variant: &'a Variant, figure: &Figure) -> Vec<&'a Moment> {
    let mut moments = Vec::new();
    for step in &variant.steps {
        let Some(round) = &step.course.round else { continue };
        if round.of != figure.of || usize::try_from(round.number) != Ok(figure.worst_round) {
            continue;
        }
        moments.extend(&step.course.moments);
        if step.course.void.is_some() {
            moments.clear();
        }
    }
    moments.sort_by_key(|it| it.unix_ms);
    // Two steps may read the same line of a log, so the same moment may appear twice.
    moments.dedup();
    moments
}

/// Formats a timeline: one line for each moment, with the seconds since the first moment.
pub(super) fn in_lines(timeline: &[&Moment]) -> Vec<String> {
    let began = timeline.first().map_or(0, |it| it.unix_ms);
    let line = |it: &&Moment| {
        let at = it.unix_ms.saturating_sub(began);
        format!("{:>3}.{:03} s  {}", at / 1000, at % 1000, it.what)
    };
    timeline.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_timeline_is_that_of_the_worst_round_as_it_was_run_last() {
        let summary = Summary::from_events(&samples::measured());
        let figures = summary.figures();
        assert_eq!(figures.len(), 1);
        assert_eq!(
            in_lines(&figures[0].timeline),
            ["  0.000 s  row 7 is acknowledged", "  0.250 s  the pod is killed", "  3.000 s  the pod is back"]
        );
    }
}
