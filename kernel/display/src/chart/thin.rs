//! Of many points, those that make a difference on so many pixels. Functions of points.

use super::{Mark, Picture};

/// Dots that a page can draw thirty times a second.
const DOTS: usize = 2_000;

impl Picture {
    /// Thins lines to what `width` pixels show: in each pixel's column the first, the last, the lowest and the highest
    /// point of a series, which together draw the same line. Of too many dots, shows an even share. Stacks need every
    /// x of every series.
    pub(crate) fn thinned(mut self, width: u32) -> Picture {
        match (self.mark, self.x_range()) {
            (Mark::Line, Some((low, high))) => {
                self.series.iter_mut().for_each(|series| thin(&mut series.points, low, high, width))
            }
            (Mark::Points, Some(_)) => self.sample(),
            _ => {}
        }
        self
    }

    /// Keeps one dot of two, of four, of eight. Which ones depends on the dots alone: none flickers from frame to frame.
    fn sample(&mut self) {
        let all: usize = self.series.iter().map(|series| series.points.len()).sum();
        let share = all.div_ceil(DOTS).next_power_of_two() as u64;
        if share > 1 {
            for series in &mut self.series {
                series.points.retain(|(x, y)| {
                    (x.to_bits().rotate_left(32) ^ y.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & (share - 1)
                        == 0
                });
            }
            self.note = Some(format!("one dot of {share}"));
        }
    }
}

fn thin(points: &mut Vec<(f64, f64)>, low: f64, high: f64, width: u32) {
    let width = width.max(1) as usize;
    if points.len() <= 4 * width || high <= low {
        return;
    }
    let column = |x: f64| ((x - low) / (high - low) * width as f64) as usize;
    let mut kept = Vec::with_capacity(4 * width);
    let mut start = 0;
    while start < points.len() {
        let this = column(points[start].0);
        let end = start + points[start..].iter().take_while(|point| column(point.0) == this).count();
        let lowest = (start..end).min_by(|a, b| points[*a].1.total_cmp(&points[*b].1)).unwrap_or(start);
        let highest = (start..end).max_by(|a, b| points[*a].1.total_cmp(&points[*b].1)).unwrap_or(start);
        let mut four = [start, lowest, highest, end - 1];
        four.sort_unstable();
        for (place, index) in four.iter().enumerate() {
            if place == 0 || four[place - 1] != *index {
                kept.push(points[*index]);
            }
        }
        start = end;
    }
    *points = kept;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polars::prelude::df;

    use super::super::{Colours, points};
    use super::*;

    #[test]
    fn too_many_dots_become_an_even_share_that_stays_the_same() {
        let values = |to: i64| (0..to).map(|i| (i * 7_919 % 10_007) as f64).collect::<Vec<f64>>();
        let dots = |to: i64| {
            let frame = df!["x" => (0..to).collect::<Vec<_>>(), "v" => values(to)].unwrap();
            points("x", "v").picture(&frame, None, &mut Colours::default()).unwrap().thinned(500)
        };
        let (fewer, more) = (dots(9_000), dots(9_500));
        assert_eq!(fewer.note.as_deref(), Some("one dot of 8"));
        assert!((800..1_500).contains(&fewer.series[0].points.len()), "{}", fewer.series[0].points.len());
        assert!(more.series[0].points.starts_with(&fewer.series[0].points));
    }

    #[test]
    fn a_thinned_line_keeps_its_extremes() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i % 100))).collect();
        points[54_321].1 = 1e6;
        thin(&mut points, 0.0, 99_999.0, 500);
        assert!(points.len() <= 2_004, "{}", points.len());
        assert!(points.iter().any(|point| point.1 == 1e6));
        assert_eq!(points[0], (0.0, 0.0));
        assert_eq!(points.last(), Some(&(99_999.0, 99.0)));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
