//! Windows in a text.

use polars::prelude::{ClosedWindow, Label};
use serde::{Deserialize, Serialize};

use crate::window::{Cut, Window, WindowKind, hopping, session, tumbling};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WindowText {
    Tumbling { every: String, options: HopsText },
    Hopping { period: String, every: String, options: HopsText },
    Session { gap: String },
}

#[derive(Serialize, Deserialize)]
pub(super) struct HopsText {
    offset: Option<String>,
    closed: ClosedText,
    label: LabelText,
    boundaries: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClosedText {
    Left,
    Right,
    Both,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LabelText {
    Left,
    Right,
    FirstRow,
}

impl ClosedText {
    pub(super) fn of(closed: ClosedWindow) -> ClosedText {
        match closed {
            ClosedWindow::Left => ClosedText::Left,
            ClosedWindow::Right => ClosedText::Right,
            ClosedWindow::Both => ClosedText::Both,
            ClosedWindow::None => ClosedText::None,
        }
    }
}

impl LabelText {
    pub(super) fn of(label: Label) -> LabelText {
        match label {
            Label::Left => LabelText::Left,
            Label::Right => LabelText::Right,
            Label::DataPoint => LabelText::FirstRow,
        }
    }
}

impl WindowText {
    pub(super) fn of(window: &Window) -> WindowText {
        let options = || {
            let (closed, label, boundaries) = match window.cut() {
                Ok(Cut::Every(hops)) => (hops.closed, hops.label, hops.boundaries),
                _ => (ClosedWindow::Left, Label::Left, false),
            };
            let (closed, label) = (ClosedText::of(closed), LabelText::of(label));
            HopsText { offset: window.offset_text().map(str::to_owned), closed, label, boundaries }
        };
        match window.kind() {
            WindowKind::Tumbling { every } => WindowText::Tumbling { every: every.clone(), options: options() },
            WindowKind::Hopping { period, every } => {
                WindowText::Hopping { period: period.clone(), every: every.clone(), options: options() }
            }
            WindowKind::Session { gap } => WindowText::Session { gap: gap.clone() },
        }
    }

    pub(super) fn read(&self) -> Window {
        let (window, HopsText { offset, closed, label, boundaries }) = match self {
            WindowText::Tumbling { every, options } => (tumbling(every), options),
            WindowText::Hopping { period, every, options } => (hopping(period, every), options),
            WindowText::Session { gap } => return session(gap),
        };
        let window = offset.iter().fold(window, |window, offset| window.offset(offset));
        let window = window.closed(match closed {
            ClosedText::Left => ClosedWindow::Left,
            ClosedText::Right => ClosedWindow::Right,
            ClosedText::Both => ClosedWindow::Both,
            ClosedText::None => ClosedWindow::None,
        });
        let window = window.label(match label {
            LabelText::Left => Label::Left,
            LabelText::Right => Label::Right,
            LabelText::FirstRow => Label::DataPoint,
        });
        if *boundaries { window.include_boundaries() } else { window }
    }
}
