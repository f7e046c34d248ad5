//! The colours of a chart. A picture to save has its colours in it, for light pages or dark ones; a live picture is
//! drawn with stand-in colours, which the page replaces by those of the reader's theme.

use std::collections::BTreeMap;

use plotters::style::RGBColor;

/// Series that a chart shows, each in its own colour.
pub(crate) const SERIES: usize = 10;

/// The colours a picture is drawn with.
#[derive(Clone, Copy)]
pub(crate) struct Ink {
    /// Title, legend, read-outs.
    pub(crate) text: RGBColor,
    /// Tick labels.
    pub(crate) muted: RGBColor,
    /// Grid lines.
    pub(crate) grid: RGBColor,
    /// The axis.
    pub(crate) axis: RGBColor,
    /// Behind everything; a live picture leaves it to the page.
    pub(crate) paper: Option<RGBColor>,
    pub(crate) series: [RGBColor; SERIES],
}

const fn rgb(hex: u32) -> RGBColor {
    RGBColor((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

/// For a white page. The series' hues follow Okabe and Ito's set, which colour-blind readers tell apart, darkened
/// where they would fade on white.
pub(crate) const LIGHT: Ink = Ink {
    text: rgb(0x21_2121),
    muted: rgb(0x61_6161),
    grid: rgb(0xe6_e6e6),
    axis: rgb(0xb5_b5b5),
    paper: Some(rgb(0xff_ffff)),
    series: [
        rgb(0x00_72b2),
        rgb(0xd5_5e00),
        rgb(0x00_8f6b),
        rgb(0xb0_4f8f),
        rgb(0x2f_9bd8),
        rgb(0xc9_8a00),
        rgb(0x88_2255),
        rgb(0x7d_7d20),
        rgb(0x4b_3fa7),
        rgb(0x70_7070),
    ],
};

/// For a dark page.
pub(crate) const DARK: Ink = Ink {
    text: rgb(0xe6_e6e6),
    muted: rgb(0xa3_a3a3),
    grid: rgb(0x3a_3a3a),
    axis: rgb(0x6b_6b6b),
    paper: Some(rgb(0x21_2121)),
    series: [
        rgb(0x4b_a3e3),
        rgb(0xf2_8e4b),
        rgb(0x2c_c79a),
        rgb(0xdd_88bb),
        rgb(0x8f_d3ff),
        rgb(0xf2_c14e),
        rgb(0xe0_7a9c),
        rgb(0xc9_c95e),
        rgb(0xa3_97f2),
        rgb(0xb5_b5b5),
    ],
};

/// Stand-ins: `#01000n` for the neutral inks, `#02000n` for series `n`. The page knows them by value.
pub(crate) const LIVE: Ink = Ink {
    text: rgb(0x01_0000),
    muted: rgb(0x01_0001),
    grid: rgb(0x01_0002),
    axis: rgb(0x01_0003),
    paper: None,
    series: [
        rgb(0x02_0000),
        rgb(0x02_0001),
        rgb(0x02_0002),
        rgb(0x02_0003),
        rgb(0x02_0004),
        rgb(0x02_0005),
        rgb(0x02_0006),
        rgb(0x02_0007),
        rgb(0x02_0008),
        rgb(0x02_0009),
    ],
};

/// Which series has which colour. A series keeps its colour while the chart lives, whoever comes and goes beside it.
#[derive(Debug, Default)]
pub(crate) struct Colours {
    of: BTreeMap<String, usize>,
}

impl Colours {
    /// The colours of the series now shown, each below [`SERIES`]. A new one takes the colour that fewest have.
    pub(crate) fn assign(&mut self, names: &[String]) -> Vec<usize> {
        // A key that takes a new value for ever must not fill the memory: with too many forgotten ones, start again.
        if self.of.len() > 100 * SERIES {
            self.of.retain(|name, _| names.contains(name));
        }
        let mut used = [0usize; SERIES];
        for colour in names.iter().filter_map(|name| self.of.get(name)) {
            used[*colour] += 1;
        }
        names
            .iter()
            .map(|name| {
                if let Some(colour) = self.of.get(name) {
                    return *colour;
                }
                let colour = (0..SERIES).min_by_key(|colour| used[*colour]).unwrap_or(0);
                used[colour] += 1;
                self.of.insert(name.clone(), colour);
                colour
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_its_colour() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut colours = Colours::default();
        assert_eq!(colours.assign(&names(&["b", "c"])), [0, 1]);
        assert_eq!(colours.assign(&names(&["a", "b", "c"])), [2, 0, 1]);
        assert_eq!(colours.assign(&names(&["c"])), [1]);
    }
}
