//! Draws a picture with plotters' elements onto any of its backends. All lengths here are CSS pixels; [`Canvas`]
//! multiplies them by the backend's scale.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde::Serialize;

use super::axis::{Tick, time_ticks, value_range, value_ticks};
use super::ink::Ink;
use super::{ChartError, Mark, Picture, XKind};

const LABEL: f64 = 11.0;
const TITLE: f64 = 14.0;
const LINE_HEIGHT: f64 = 17.0;
/// What is not final yet is drawn this faint.
const OPEN: f64 = 0.45;

/// Where the plot lies in the picture, in CSS pixels, and the values at its edges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Plot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) x_from: f64,
    pub(crate) x_to: f64,
    pub(crate) y_from: f64,
    pub(crate) y_to: f64,
}

impl Plot {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.x + (x - self.x_from) / (self.x_to - self.x_from) * self.width,
            self.y + self.height - (y - self.y_from) / (self.y_to - self.y_from) * self.height,
        )
    }
}

/// Draws `picture` in `size` CSS pixels on an area that is `scale` times as large.
pub(super) fn draw<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    picture: &Picture,
    ink: &Ink,
    size: (u32, u32),
    scale: u32,
) -> Result<Plot, ChartError> {
    let sink = if ink.paper.is_some() { 1.5 } else { 0.0 };
    let canvas =
        Canvas { area, ink, scale: f64::from(scale), sink, width: f64::from(size.0), height: f64::from(size.1) };
    if let Some(paper) = &ink.paper {
        area.fill(paper).map_err(refused)?;
    }
    let top = canvas.header(picture)?;
    let (plot, x_ticks, y_ticks) = canvas.layout(picture, top);
    canvas.grid(&plot, &x_ticks, &y_ticks, picture)?;
    match picture.mark {
        _ if picture.series.is_empty() => canvas.text(
            "no rows yet",
            (canvas.width / 2.0, plot.y + plot.height / 2.0),
            LABEL,
            &ink.muted,
            HPos::Center,
        )?,
        Mark::Line => canvas.lines(picture, &plot)?,
        Mark::Area => canvas.areas(picture, &plot)?,
        Mark::Bar => canvas.bars(picture, &plot)?,
        Mark::Points => canvas.dots(picture, &plot)?,
    }
    Ok(plot)
}

struct Canvas<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    ink: &'a Ink,
    scale: f64,
    /// plotters centres a bitmap's text this much too high.
    sink: f64,
    width: f64,
    height: f64,
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    /// Title, the name of the y axis and the legend; returns the height they took.
    fn header(&self, picture: &Picture) -> Result<f64, ChartError> {
        let mut y = 6.0;
        if let Some(title) = &picture.title {
            self.bold(title, (8.0, y + TITLE / 2.0 + 1.0))?;
            y += TITLE + 8.0;
        }
        let middle = LINE_HEIGHT / 2.0;
        self.text(&picture.y_name, (8.0, y + middle), LABEL, &self.ink.muted, HPos::Left)?;
        let mut x = 8.0 + self.text_width(&picture.y_name, LABEL) + 18.0;
        if picture.by.is_some() {
            let indent = x;
            for series in &picture.series {
                let wide = 14.0 + self.text_width(&series.name, LABEL) + 14.0;
                if x + wide > self.width - 8.0 && x > indent {
                    (x, y) = (indent, y + LINE_HEIGHT);
                }
                let colour = self.ink.series[series.colour];
                self.rectangle((x, y + middle - 4.5), (x + 9.0, y + middle + 4.5), colour.filled())?;
                self.text(&series.name, (x + 14.0, y + middle), LABEL, &self.ink.text, HPos::Left)?;
                x += wide;
            }
        }
        if let Some(note) = &picture.note {
            let wide = self.text_width(note, LABEL);
            if x + wide > self.width - 8.0 {
                y += LINE_HEIGHT;
            }
            self.text(note, (self.width - 8.0, y + middle), LABEL, &self.ink.muted, HPos::Right)?;
        }
        Ok(y + LINE_HEIGHT + 10.0)
    }

    fn layout(&self, picture: &Picture, top: f64) -> (Plot, Vec<Tick>, Vec<Tick>) {
        let bottom = 36.0;
        let height = (self.height - top - bottom).max(20.0);
        let y_count = ((height / 42.0) as usize).clamp(2, 8);
        let (low, high) = picture.y_range().unwrap_or((0.0, 1.0));
        let from_zero = matches!(picture.mark, Mark::Bar | Mark::Area);
        let (y_from, y_to) = value_range(low, high, y_count, from_zero);
        let y_ticks = value_ticks(y_from, y_to, y_count);
        let gutter = y_ticks.iter().map(|tick| self.text_width(&tick.label, LABEL)).fold(12.0, f64::max);
        let x = 8.0 + gutter + 7.0;
        let width = (self.width - x - 14.0).max(20.0);
        let (x_from, x_to) = self.x_edges(picture, width);
        let plot = Plot { x, y: top, width, height, x_from, x_to, y_from, y_to };
        let x_ticks = match picture.kind {
            XKind::Time => time_ticks(x_from, x_to, ((width / 86.0) as usize).max(2)),
            XKind::Number => value_ticks(x_from, x_to, ((width / 80.0) as usize).max(2)),
            XKind::Category => self.category_ticks(picture, width),
        };
        (plot, x_ticks, y_ticks)
    }

    /// The x values at the plot's edges, with room for half a bar on each side.
    fn x_edges(&self, picture: &Picture, width: f64) -> (f64, f64) {
        let (low, high) = match (picture.kind, picture.x_range()) {
            (XKind::Category, _) => return (-0.5, picture.categories.len().max(1) as f64 - 0.5),
            (_, None) => return (0.0, 1.0),
            (_, Some(range)) => range,
        };
        let pad = match picture.mark {
            Mark::Bar => bar_step(picture) / 2.0,
            Mark::Points => (high - low) * 4.0 / width,
            _ => 0.0,
        };
        if high - low + pad <= 0.0 { (low - 1_000.0, high + 1_000.0) } else { (low - pad, high + pad) }
    }

    /// As many names as fit beside each other.
    fn category_ticks(&self, picture: &Picture, width: f64) -> Vec<Tick> {
        let widest = picture.categories.iter().map(|name| self.text_width(name, LABEL)).fold(20.0, f64::max) + 12.0;
        let each = (widest.min(120.0) * picture.categories.len() as f64 / width).ceil().max(1.0) as usize;
        let room = (width / picture.categories.len().max(1) as f64 * each as f64 / 6.5).max(4.0) as usize;
        let fit = |name: &str| {
            if name.chars().count() <= room {
                name.to_owned()
            } else {
                name.chars().take(room - 1).chain(['…']).collect()
            }
        };
        picture
            .categories
            .iter()
            .enumerate()
            .step_by(each)
            .map(|(i, name)| Tick { at: i as f64, label: fit(name), below: None })
            .collect()
    }

    fn grid(&self, plot: &Plot, x_ticks: &[Tick], y_ticks: &[Tick], picture: &Picture) -> Result<(), ChartError> {
        let bottom = plot.y + plot.height;
        for tick in y_ticks {
            let (_, y) = plot.at(plot.x_from, tick.at);
            let colour = if tick.at == 0.0 { self.ink.axis } else { self.ink.grid };
            self.line(&[(plot.x, y), (plot.x + plot.width, y)], colour.stroke_width(self.thin()))?;
            self.text(&tick.label, (plot.x - 7.0, y), LABEL, &self.ink.muted, HPos::Right)?;
        }
        self.line(&[(plot.x, bottom), (plot.x + plot.width, bottom)], self.ink.axis.stroke_width(self.thin()))?;
        for tick in x_ticks {
            let (x, _) = plot.at(tick.at, plot.y_from);
            if picture.kind != XKind::Category {
                self.line(&[(x, bottom), (x, bottom + 4.0)], self.ink.axis.stroke_width(self.thin()))?;
            }
            // A label at the very edge leans inwards instead of being cut.
            let half = self.text_width(&tick.label, LABEL) / 2.0;
            let x = x.clamp(half + 2.0, (self.width - half - 2.0).max(half + 2.0));
            self.text(&tick.label, (x, bottom + 12.0), LABEL, &self.ink.muted, HPos::Center)?;
            if let Some(below) = &tick.below {
                let half = self.text_width(below, LABEL) / 2.0;
                self.text(below, (x.max(half + 2.0), bottom + 26.0), LABEL, &self.ink.muted, HPos::Center)?;
            }
        }
        if picture.kind == XKind::Number {
            self.text(&picture.x_name, (plot.x + plot.width, bottom + 27.0), LABEL, &self.ink.muted, HPos::Right)?;
        }
        Ok(())
    }

    fn lines(&self, picture: &Picture, plot: &Plot) -> Result<(), ChartError> {
        for series in &picture.series {
            let colour = self.ink.series[series.colour];
            let path: Vec<(f64, f64)> = series.points.iter().map(|(x, y)| plot.at(*x, *y)).collect();
            self.path(picture, &series.points, &path, colour)?;
        }
        Ok(())
    }

    /// Areas lie on top of each other; a series without a value at some x has none there.
    fn areas(&self, picture: &Picture, plot: &Plot) -> Result<(), ChartError> {
        let xs: BTreeSet<u64> =
            picture.series.iter().flat_map(|series| series.points.iter().map(|point| ordered(point.0))).collect();
        let mut floor: BTreeMap<u64, f64> = xs.into_iter().map(|x| (x, 0.0)).collect();
        for series in &picture.series {
            let colour = self.ink.series[series.colour];
            let own: BTreeMap<u64, f64> = series.points.iter().map(|(x, y)| (ordered(*x), *y)).collect();
            let foot: Vec<(f64, f64)> = floor.iter().map(|(x, y)| plot.at(unordered(*x), *y)).collect();
            for (x, y) in &mut floor {
                *y += own.get(x).copied().unwrap_or(0.0);
            }
            let top: Vec<(f64, f64)> = floor.iter().map(|(x, y)| (unordered(*x), *y)).collect();
            let path: Vec<(f64, f64)> = top.iter().map(|(x, y)| plot.at(*x, *y)).collect();
            let ring: Vec<(i32, i32)> = path.iter().chain(foot.iter().rev()).map(|point| self.pixel(*point)).collect();
            self.area.draw(&Polygon::new(ring, colour.mix(0.35))).map_err(refused)?;
            self.path(picture, &top, &path, colour)?;
        }
        Ok(())
    }

    /// A line with a dot at its end. Windows that the watermark has not passed can still grow: their stretch is faint.
    fn path(
        &self,
        picture: &Picture,
        points: &[(f64, f64)],
        path: &[(f64, f64)],
        colour: RGBColor,
    ) -> Result<(), ChartError> {
        let Some(last) = path.last() else { return Ok(()) };
        let open = picture.settled.map_or(path.len(), |edge| points.partition_point(|(x, _)| *x <= edge));
        let stroke = (1.8 * self.scale).round() as u32;
        if open > 1 {
            self.line(&path[..open], colour.stroke_width(stroke))?;
        }
        if open < path.len() {
            self.line(&path[open.saturating_sub(1)..], colour.mix(OPEN).stroke_width(stroke))?;
        }
        self.dot(*last, 2.5, colour.filled())
    }

    fn bars(&self, picture: &Picture, plot: &Plot) -> Result<(), ChartError> {
        let step = bar_step(picture) / (plot.x_to - plot.x_from) * plot.width;
        let half = (step * 0.4).clamp(0.5, 60.0);
        let mut stacks: HashMap<u64, (f64, f64)> = HashMap::new();
        for series in &picture.series {
            let colour = self.ink.series[series.colour];
            for (x, height) in &series.points {
                let stack = stacks.entry(x.to_bits()).or_default();
                let side = if *height < 0.0 { &mut stack.0 } else { &mut stack.1 };
                let foot = *side;
                *side += height;
                let (middle, top) = plot.at(*x, *side);
                let (_, foot) = plot.at(*x, foot);
                let open = picture.settled.is_some_and(|edge| *x > edge);
                let fill = colour.mix(if open { OPEN } else { 1.0 }).filled();
                self.rectangle((middle - half, top.min(foot)), (middle + half, top.max(foot)), fill)?;
            }
        }
        Ok(())
    }

    fn dots(&self, picture: &Picture, plot: &Plot) -> Result<(), ChartError> {
        for series in &picture.series {
            let colour = self.ink.series[series.colour].mix(0.7);
            for (x, y) in &series.points {
                self.dot(plot.at(*x, *y), 2.0, colour.filled())?;
            }
        }
        Ok(())
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn thin(&self) -> u32 {
        ((0.75 * self.scale) as u32).max(1)
    }

    fn line(&self, path: &[(f64, f64)], style: ShapeStyle) -> Result<(), ChartError> {
        let path: Vec<(i32, i32)> = path.iter().map(|point| self.pixel(*point)).collect();
        self.area.draw(&PathElement::new(path, style)).map_err(refused)
    }

    fn rectangle(&self, from: (f64, f64), to: (f64, f64), style: ShapeStyle) -> Result<(), ChartError> {
        self.area.draw(&Rectangle::new([self.pixel(from), self.pixel(to)], style)).map_err(refused)
    }

    fn dot(&self, at: (f64, f64), radius: f64, style: ShapeStyle) -> Result<(), ChartError> {
        self.area.draw(&Circle::new(self.pixel(at), (radius * self.scale).round() as i32, style)).map_err(refused)
    }

    fn text(&self, text: &str, at: (f64, f64), size: f64, colour: &RGBColor, side: HPos) -> Result<(), ChartError> {
        let style = self.font(size).into_font().color(colour).pos(Pos::new(side, VPos::Center));
        self.area.draw_text(text, &style, self.pixel((at.0, at.1 + self.sink))).map_err(refused)
    }

    fn bold(&self, text: &str, at: (f64, f64)) -> Result<(), ChartError> {
        let (family, size) = self.font(TITLE);
        let font = (family, size, FontStyle::Bold).into_font();
        let style = font.color(&self.ink.text).pos(Pos::new(HPos::Left, VPos::Center));
        self.area.draw_text(text, &style, self.pixel((at.0, at.1 + self.sink))).map_err(refused)
    }

    /// plotters counts a font's height, which is 1.24 times what CSS calls its size.
    fn font(&self, size: f64) -> (&'static str, f64) {
        ("sans-serif", size * 1.24 * self.scale)
    }

    fn text_width(&self, text: &str, size: f64) -> f64 {
        let (family, size) = self.font(size);
        (family, size).into_font().box_size(text).map_or(0.0, |(width, _)| f64::from(width) / self.scale)
    }
}

/// A finite number as bits that sort as it does.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn unordered(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The distance of two bars: the smallest between two x values.
fn bar_step(picture: &Picture) -> f64 {
    if picture.kind == XKind::Category {
        return 1.0;
    }
    let mut xs: Vec<f64> = picture.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)).collect();
    xs.sort_by(f64::total_cmp);
    let least = xs.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 1_000.0 }
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> ChartError {
    ChartError::Draw { detail: error.to_string() }
}
