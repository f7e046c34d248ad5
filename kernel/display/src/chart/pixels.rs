//! Pixels into a small PNG. A chart has few colours beside the shades at the edges of its lines, so a table of 256
//! colours shows it as well as the pixels themselves, in a third of the bytes a notebook would have to keep.

use std::collections::HashMap;

/// Encodes RGB pixels, three bytes each, row by row.
pub(super) fn encode(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let (palette, indexes) = indexed(pixels);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Best);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indexes)?;
    writer.finish()?;
    Ok(file)
}

/// The most frequent colours, and for each pixel which of them is nearest to it.
fn indexed(pixels: &[u8]) -> (Vec<[u8; 3]>, Vec<u8>) {
    let colours = pixels.chunks_exact(3).map(|p| [p[0], p[1], p[2]]);
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    // Runs of one colour are long: count them at once.
    let mut run: Option<([u8; 3], usize)> = None;
    for colour in colours.clone() {
        match &mut run {
            Some((same, length)) if *same == colour => *length += 1,
            other => {
                if let Some((before, length)) = other.replace((colour, 1)) {
                    *counts.entry(before).or_default() += length;
                }
            }
        }
    }
    if let Some((last, length)) = run {
        *counts.entry(last).or_default() += length;
    }
    let mut ranked: Vec<([u8; 3], usize)> = counts.into_iter().collect();
    ranked.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let palette: Vec<[u8; 3]> = ranked.iter().take(256).map(|(colour, _)| *colour).collect();
    let near = |colour: &[u8; 3]| {
        let distance = |other: &[u8; 3]| {
            colour.iter().zip(other).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum::<i32>()
        };
        (0..palette.len()).min_by_key(|place| distance(&palette[*place])).unwrap_or(0) as u8
    };
    let places: HashMap<[u8; 3], u8> = ranked.iter().map(|(colour, _)| (*colour, near(colour))).collect();
    let mut last = ([0u8; 3], places.get(&[0; 3]).copied().unwrap_or(0));
    let indexes = colours
        .map(|colour| {
            if colour != last.0 {
                last = (colour, places[&colour]);
            }
            last.1
        })
        .collect();
    (palette, indexes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn few_colours_are_kept_exactly() {
        let pixels = [9, 9, 9, 9, 9, 9, 1, 2, 3, 0, 0, 0];
        let (palette, indexes) = indexed(&pixels);
        let back: Vec<u8> = indexes.iter().flat_map(|i| palette[usize::from(*i)]).collect();
        assert_eq!(back, pixels);
    }

    #[test]
    fn of_many_colours_each_becomes_the_nearest_that_is_kept() {
        let mut pixels: Vec<u8> = (0..=255u8).flat_map(|v| [v, v, v].repeat(3)).collect();
        pixels.extend([100, 100, 101]);
        let (palette, indexes) = indexed(&pixels);
        assert_eq!(palette.len(), 256);
        assert_eq!(palette[usize::from(*indexes.last().unwrap())], [100, 100, 100]);
        assert_eq!(&encode(&pixels, (769, 1)).unwrap()[1..4], b"PNG");
    }
}
