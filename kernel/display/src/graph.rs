//! A plan as a picture: boxes with what each step does, the sources at the bottom and the result at the top. Plain SVG in
//! the colours of the page's theme, with words for who cannot see it. Texts may come from anywhere and are escaped.

use std::fmt::Write as _;

use crate::bundle::Bundle;
use crate::html::escape;

/// A box of the picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphNode {
    /// What it does, in a word or two.
    pub title: String,
    /// How, a line each; a long one is wrapped.
    pub details: Vec<String>,
    /// What stands out, such as what it remembers.
    pub note: Option<String>,
    /// Whether rows come from outside here.
    pub is_source: bool,
    /// The boxes that it takes rows from, by their number, which is lower than its own.
    pub inputs: Vec<usize>,
}

const WIDTH: f64 = 480.0;
const BESIDE: f64 = 24.0;
const BETWEEN: f64 = 30.0;
const PADDING: f64 = 12.0;
const LINE: f64 = 17.0;
/// What fits into a box in letters of one width.
const LETTERS: usize = 62;
/// Lines of one detail; what is left of it is in the words.
const LINES: usize = 6;

const TEXT: &str = "var(--jp-ui-font-color1,currentColor)";
const MUTED: &str = "var(--jp-ui-font-color2,currentColor)";
const EDGE: &str = "var(--jp-border-color1,#9e9e9e)";
const SOURCE: &str = "var(--jp-brand-color1,#1976d2)";
const NOTE: &str = "var(--jp-warn-color1,#d55e00)";
const PAPER: &str = "var(--jp-layout-color1,transparent)";

/// The picture as a cell's output. The last of `nodes` gives the result; `words` say the same as text.
#[must_use]
pub fn graph_bundle(title: &str, nodes: &[GraphNode], words: &str) -> Bundle {
    let html = format!(
        "<div style=\"max-width:100%;overflow-x:auto\">{}<details style=\"font-size:12px\"><summary>in words</summary><pre style=\"font-size:12px;white-space:pre-wrap\">{}</pre></details></div>",
        graph_svg(title, nodes, words),
        escape(words)
    );
    Bundle::of(words.to_owned(), html)
}

/// The picture as SVG.
#[must_use]
pub fn graph_svg(title: &str, nodes: &[GraphNode], words: &str) -> String {
    let boxes: Vec<Placed<'_>> = nodes.iter().map(Placed::new).collect();
    let (boxes, width, height) = placed(boxes);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{0}\" style=\"max-width:100%;height:auto;font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:12px\"><title>{0}</title><desc>{1}</desc>",
        clean(title),
        clean(words)
    );
    for node in &boxes {
        for input in node.node.inputs.iter().filter_map(|input| boxes.get(*input)) {
            arrow(&mut svg, input.x + WIDTH / 2.0, input.y, node);
        }
    }
    for node in &boxes {
        node.draw(&mut svg);
    }
    svg.push_str("</svg>");
    svg
}

/// A box and where it stands.
struct Placed<'a> {
    node: &'a GraphNode,
    lines: Vec<String>,
    note: Vec<String>,
    x: f64,
    y: f64,
}

impl<'a> Placed<'a> {
    fn new(node: &'a GraphNode) -> Placed<'a> {
        let lines = node.details.iter().flat_map(|detail| wrapped(detail)).collect();
        let note = node.note.iter().flat_map(|note| wrapped(note)).collect();
        Placed { node, lines, note, x: 0.0, y: 0.0 }
    }

    fn height(&self) -> f64 {
        2.0 * PADDING + LINE * (1 + self.lines.len() + self.note.len()) as f64 - 4.0
    }

    fn draw(&self, svg: &mut String) {
        let edge = if self.node.is_source { SOURCE } else { EDGE };
        let _infallible = write!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{WIDTH}\" height=\"{}\" rx=\"6\" style=\"fill:{PAPER};stroke:{edge};stroke-width:1.5\"/>",
            self.x,
            self.y,
            self.height()
        );
        let mut y = self.y + PADDING + 10.0;
        let mut line = |text: &str, style: &str| {
            let _infallible = write!(
                svg,
                "<text x=\"{}\" y=\"{y}\" xml:space=\"preserve\" style=\"{style}\">{}</text>",
                self.x + PADDING,
                clean(text)
            );
            y += LINE;
        };
        line(&self.node.title, &format!("fill:{TEXT};font-weight:600"));
        for text in &self.lines {
            line(text, &format!("fill:{MUTED};font-family:var(--jp-code-font-family,monospace)"));
        }
        for text in &self.note {
            line(text, &format!("fill:{NOTE}"));
        }
    }
}

/// Places the boxes: what a box takes rows from stands below it, several inputs beside each other. Gives the picture's size.
fn placed(mut boxes: Vec<Placed<'_>>) -> (Vec<Placed<'_>>, f64, f64) {
    // Inputs come before what takes them, so widths are known from the front and places from the back.
    let mut widths = vec![WIDTH; boxes.len()];
    for number in 0..boxes.len() {
        let inputs = &boxes[number].node.inputs;
        let beside = BESIDE * inputs.len().saturating_sub(1) as f64;
        let all = inputs.iter().filter_map(|input| widths.get(*input)).sum::<f64>() + beside;
        widths[number] = all.max(WIDTH);
    }
    let mut lefts = vec![1.0; boxes.len()];
    let (mut width, mut height) = (WIDTH + 2.0, 2.0f64);
    for number in (0..boxes.len()).rev() {
        if number + 1 == boxes.len() {
            boxes[number].y = 1.0;
        }
        boxes[number].x = lefts[number] + (widths[number] - WIDTH) / 2.0;
        let bottom = boxes[number].y + boxes[number].height();
        (width, height) = (f64::max(width, boxes[number].x + WIDTH + 1.0), height.max(bottom + 1.0));
        let mut left = lefts[number];
        for input in boxes[number].node.inputs.clone().into_iter().filter(|input| *input < number) {
            lefts[input] = left;
            boxes[input].y = bottom + BETWEEN;
            left += widths[input] + BESIDE;
        }
    }
    (boxes, width, height)
}

/// From the top of an input up to the box that takes its rows.
fn arrow(svg: &mut String, x: f64, y: f64, to: &Placed<'_>) {
    let (end_x, end_y) = (to.x + WIDTH / 2.0, to.y + to.height());
    let bend = end_y + BETWEEN / 2.0;
    let _infallible = write!(
        svg,
        "<path d=\"M{x} {y}V{bend}H{end_x}V{}\" style=\"fill:none;stroke:{EDGE};stroke-width:1.5\"/><path d=\"M{} {}h8l-4 -7z\" style=\"fill:{EDGE}\"/>",
        end_y + 7.0,
        end_x - 4.0,
        end_y + 8.0
    );
}

/// The text in lines that fit, cut between words where there are any.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut letters = 0;
    for word in text.split_inclusive(' ') {
        let length = word.chars().count();
        if letters > 0 && letters + word.trim_end().chars().count() > LETTERS {
            lines.push(std::mem::take(&mut line));
            letters = 0;
        }
        if length > LETTERS {
            for letter in word.chars() {
                if letters == LETTERS {
                    lines.push(std::mem::take(&mut line));
                    letters = 0;
                }
                line.push(letter);
                letters += 1;
            }
        } else {
            line.push_str(word);
            letters += length;
        }
    }
    lines.push(line);
    if lines.len() > LINES {
        lines.truncate(LINES);
        if let Some(last) = lines.last_mut() {
            last.push('…');
        }
    }
    lines
}

/// A text as SVG takes it: control characters have no place in XML.
fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => '\u{FFFD}',
        c => c,
    };
    escape(&text.chars().map(shown).collect::<String>())
}
