//! Draws a measurement as a bar chart.

use std::path::Path;

use anyhow::{Context as _, Result};
use plotters::prelude::{
    BLACK, Color as _, DrawingBackend as _, IntoDrawingArea as _, IntoFont as _, RGBColor, Rectangle, SVGBackend, Text,
    WHITE,
};

use crate::table::Table;

const WIDTH: u32 = 900;
const LINE: i32 = 26;
const HEAD: i32 = 40;
/// The horizontal position at which the bars begin, in pixels. The labels are to the left of this position.
const LEFT: i32 = 330;
/// The width of the space to the right of the longest bar, in pixels. The value of the bar is written there.
const RIGHT: i32 = 90;
const BAR: RGBColor = RGBColor(54, 112, 181);

/// Writes the bars of a table as SVG.
pub(crate) fn draw(path: &Path, table: &Table) -> Result<()> {
    let count = i32::try_from(table.bars.len()).context("too many bars")?;
    let height = u32::try_from(HEAD + count * LINE + 10).context("too high")?;
    let backend = SVGBackend::new(path, (WIDTH, height));
    let (width, _) = backend.get_size();
    let area = backend.into_drawing_area();
    let failed = |what: String| anyhow::anyhow!("failed to draw {}: {what}", path.display());
    area.fill(&WHITE).map_err(|error| failed(error.to_string()))?;
    let font = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(format!("{} ({})", table.name, table.unit), (10, 10), font(18)))
        .map_err(|error| failed(error.to_string()))?;
    let longest = table.bars.iter().map(|(_, length)| *length).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(i32::try_from(width)? - LEFT - RIGHT);
    for (number, (label, length)) in (0..).zip(&table.bars) {
        let top = HEAD + number * LINE;
        let end = LEFT + pixels(room * length.max(0.0) / longest);
        let label: String = label.chars().take(48).collect();
        area.draw(&Text::new(label, (10, top + 3), font(14))).map_err(|error| failed(error.to_string()))?;
        area.draw(&Rectangle::new([(LEFT, top), (end.max(LEFT + 1), top + LINE - 8)], BAR.filled()))
            .map_err(|error| failed(error.to_string()))?;
        area.draw(&Text::new(format!("{length:.2}"), (end + 6, top + 3), font(14)))
            .map_err(|error| failed(error.to_string()))?;
    }
    area.present().map_err(|error| failed(error.to_string()))
}

#[expect(clippy::cast_possible_truncation, reason = "a length within the picture, which is 900 wide")]
fn pixels(length: f64) -> i32 {
    length.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_each_label_and_figure() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        let mut table = Table::new("start", "", "s");
        table.bar("node alone", 3.0).bar("first answer", 4.5);
        draw(&path, &table).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("read");
        for word in ["node alone", "first answer", "3.00", "4.50", "start (s)"] {
            assert!(svg.contains(word), "{word} is missing of {svg}");
        }
    }
}
