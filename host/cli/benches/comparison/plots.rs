//! The plots of the page on performance.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::contenders::{Contender, Kind};

/// One contender's line.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) colour: RGBColor,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot of lines.
pub(crate) struct Plot<'a> {
    pub(crate) file: &'a str,
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// Whether both axes are logarithmic.
    pub(crate) logarithmic: bool,
    pub(crate) series: Vec<Series>,
}

/// The colour of a contender, the same in all plots.
pub(crate) fn colour(contender: &Contender) -> RGBColor {
    match &contender.kind {
        Kind::Dunnage => RGBColor(0xd6, 0x27, 0x28),
        Kind::SafeFloor => RGBColor(0x2c, 0xa0, 0x2c),
        Kind::BareFloor => RGBColor(0x7f, 0x7f, 0x7f),
        // The oldest release that is compared, and all others.
        Kind::Go(version) if version.starts_with("Go 1.19") => RGBColor(0x6b, 0xae, 0xd6),
        Kind::Go(_) => RGBColor(0x08, 0x51, 0x9c),
    }
}

/// A number without insignificant digits.
fn label(value: &f64) -> String {
    format!("{}", (value * 10.0).round() / 10.0)
}

/// Where the plots lie.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plots")
}

impl Plot<'_> {
    /// Writes it.
    pub(crate) fn draw(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory())?;
        let path = directory().join(self.file);
        let area = SVGBackend::new(&path, (720, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let (x, y) = (self.range(|point| point.0), self.range(|point| point.1));
        if self.logarithmic {
            // Room for the ends of the lines and, above them, for their names.
            let (x, y) = (x.start * 0.9..x.end * 1.1, y.start * 0.7..y.end * 3.0);
            self.draw_on(&area, x.log_scale(), y.log_scale())?;
        } else {
            self.draw_on(&area, x, 0.0..y.end * 1.3)?;
        }
        area.present().with_context(|| format!("cannot write {}", path.display()))?;
        println!("plot: {}", path.display());
        Ok(())
    }

    fn range(&self, of: fn(&(f64, f64)) -> f64) -> std::ops::Range<f64> {
        let values = || self.series.iter().flat_map(|series| &series.points).map(of);
        values().fold(f64::INFINITY, f64::min)..values().fold(0.0, f64::max)
    }

    fn draw_on<X, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        x: impl AsRangedCoord<Value = f64, CoordDescType = X>,
        y: impl AsRangedCoord<Value = f64, CoordDescType = Y>,
    ) -> anyhow::Result<()>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(x, y)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.x).y_desc(self.y).light_line_style(WHITE).x_labels(6);
        mesh.x_label_formatter(&label).y_label_formatter(&label).draw()?;
        for series in &self.series {
            let colour = series.colour;
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }
}
