//! A picture as a file: SVG for a page that follows its theme, PNG for what is saved. Both are drawn by the same code.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use serde::Serialize;

use super::draw::{Plot, draw};
use super::ink::{DARK, Ink, LIGHT, LIVE};
use super::pixels::encode;
use super::{ChartError, Picture};

/// Width and height of a saved picture, in CSS pixels.
pub(crate) const DEFAULT_SIZE: (u32, u32) = (760, 320);

/// SVG coordinates are whole numbers: at four times the size, lines lie within a quarter of a pixel.
const SVG_SCALE: u32 = 4;
/// Saved pictures are sharp on screens of twice the density.
const PNG_SCALE: u32 = 2;

/// A drawn chart and where its plot lies, for a read-out under the pointer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Drawing {
    #[serde(skip)]
    pub(crate) svg: String,
    pub(crate) plot: Plot,
}

impl Picture {
    /// The picture as SVG, in stand-in colours.
    ///
    /// # Errors
    /// When plotters cannot draw it.
    pub(crate) fn svg(&self, (width, height): (u32, u32)) -> Result<Drawing, ChartError> {
        fonts();
        let mut svg = String::with_capacity(64 * 1024);
        let size = (width * SVG_SCALE, height * SVG_SCALE);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let plot = draw(&area, self, &LIVE, (width, height), SVG_SCALE)?;
        area.present().map_err(refused)?;
        drop(area);
        let drawn = format!("width=\"{}\" height=\"{}\" ", size.0, size.1);
        let shown = format!("width=\"{width}\" height=\"{height}\" ");
        Ok(Drawing { svg: svg.replacen(&drawn, &shown, 1), plot })
    }

    /// The picture as PNG, for light pages.
    pub(crate) fn png_light(&self, size: (u32, u32)) -> Result<Vec<u8>, ChartError> {
        self.png(size, &LIGHT)
    }

    /// The picture as PNG, for dark pages.
    pub(crate) fn png_dark(&self, size: (u32, u32)) -> Result<Vec<u8>, ChartError> {
        self.png(size, &DARK)
    }

    fn png(&self, (width, height): (u32, u32), ink: &Ink) -> Result<Vec<u8>, ChartError> {
        fonts();
        let size = (width * PNG_SCALE, height * PNG_SCALE);
        let mut pixels = vec![0u8; size.0 as usize * size.1 as usize * 3];
        let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        draw(&area, self, ink, (width, height), PNG_SCALE)?;
        area.present().map_err(refused)?;
        drop(area);
        encode(&pixels, size).map_err(|error| ChartError::Draw { detail: error.to_string() })
    }
}

/// plotters knows no fonts of its own in the build we use; the PNG carries DejaVu's shapes, and the SVG is laid out
/// by their widths.
fn fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, font) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            let known = register_font("sans-serif", style, font);
            debug_assert!(known.is_ok(), "DejaVu is a font");
        }
    });
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> ChartError {
    ChartError::Draw { detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polars::prelude::*;

    use super::super::{Chart, Colours, area, bar, line, points};
    use super::*;

    fn picture(chart: &Chart) -> Picture {
        let t: Vec<i64> = (0..240).map(|i| 1_763_910_000_000 + (i / 4) * 10_000).collect();
        let k: Vec<&str> = (0..240).map(|i| ["<script>", "b & c", "d", "e"][i % 4]).collect();
        let v: Vec<f64> = (0..240).map(|i| 5_000.0 + f64::from(i) * 7.0 + 900.0 * (f64::from(i) / 9.0).sin()).collect();
        let mut frame = df!["t" => t, "k" => k, "v" => v].unwrap();
        let time = frame.column("t").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
        frame.with_column(time).unwrap();
        chart.picture(&frame, Some(1_763_910_550_000), &mut Colours::default()).unwrap()
    }

    #[test]
    fn the_svg_has_the_size_asked_for_and_only_stand_in_colours() {
        let drawing = picture(&line("t", "v").by("k").title("a < b")).svg((640, 300)).unwrap();
        assert!(
            drawing.svg.starts_with("<svg width=\"640\" height=\"300\" viewBox=\"0 0 2560 1200\""),
            "{}",
            &drawing.svg[..90]
        );
        for (at, _) in drawing.svg.match_indices("=\"#") {
            let colour = &drawing.svg[at + 3..at + 9];
            assert!(colour.starts_with("01000") || colour.starts_with("02000"), "{colour}");
        }
        assert!(drawing.svg.matches("<polyline").count() >= 8, "a settled and an open part for each series");
    }

    #[test]
    fn names_from_the_stream_are_text_in_the_svg() {
        let drawing = picture(&line("t", "v").by("k").title("<img src=x onerror=alert(1)>")).svg((640, 300)).unwrap();
        assert!(!drawing.svg.contains("<script"));
        assert!(!drawing.svg.contains("<img"));
        assert!(drawing.svg.contains("&lt;script&gt;"));
    }

    #[test]
    fn the_plot_lies_inside_the_picture() {
        let plot = picture(&line("t", "v").by("k")).svg((640, 300)).unwrap().plot;
        assert!(
            plot.x > 20.0 && plot.x + plot.width < 640.0 && plot.y > 10.0 && plot.y + plot.height < 300.0,
            "{plot:?}"
        );
        assert_eq!(plot.x_from, 1_763_910_000_000.0);
        assert_eq!((plot.y_from, plot.y_to), (4_000.0, 8_000.0));
    }

    #[test]
    fn every_mark_draws_in_both_forms() {
        for chart in [
            line("t", "v"),
            area("t", "v").by("k"),
            bar("k", "v").by("k"),
            bar("t", "v").by("k"),
            points("t", "v").by("k"),
        ] {
            let picture = picture(&chart);
            assert!(picture.svg((500, 240)).unwrap().svg.ends_with("</svg>\n"));
            let file = picture.png_light((500, 240)).unwrap();
            assert_eq!(&file[1..4], b"PNG");
        }
    }

    #[test]
    fn nothing_to_draw_is_a_picture_too() {
        let frame = df!["t" => Vec::<i64>::new(), "v" => Vec::<f64>::new()].unwrap();
        let picture = line("t", "v").picture(&frame, None, &mut Colours::default()).unwrap();
        assert!(picture.svg((300, 150)).unwrap().svg.contains("no rows yet"));
        assert!(picture.svg((80, 60)).is_ok());
    }
}
