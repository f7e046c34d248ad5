//! What a cell prints beyond what a page can bear: shown up to a limit, and kept whole in a file for who wants it.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

/// Bytes of text that a cell may put into the page. A Jupyter server passes on a megabyte a second, and a browser shows
/// no more than a few.
const SHOWN: usize = 1 << 20;

/// Bytes that all files together may have: a temporary folder may be in memory.
const KEPT: usize = 256 << 20;

/// Counts what the cell that runs prints.
pub(crate) struct Overflow {
    folder: Option<PathBuf>,
    cell: u64,
    shown: usize,
    rest: Option<Rest>,
    /// What all files have, and may have.
    kept: usize,
    most: usize,
    /// Of this cell's, what is in no file.
    lost: usize,
}

/// What is not shown.
struct Rest {
    path: PathBuf,
    file: File,
    bytes: usize,
}

impl Overflow {
    /// Files go into `folder`, which goes with the kernel; without one the rest is dropped.
    pub(crate) fn new(folder: Option<PathBuf>) -> Overflow {
        Overflow { folder, cell: 0, shown: 0, rest: None, kept: 0, most: KEPT, lost: 0 }
    }

    /// Another cell begins.
    pub(crate) fn begin(&mut self, cell: u64) {
        (self.cell, self.shown, self.rest, self.lost) = (cell, 0, None, 0);
    }

    /// What of a text is to be shown, and a notice when the limit is reached with it.
    pub(crate) fn take<'t>(&mut self, text: &'t str) -> (&'t str, Option<String>) {
        let free = SHOWN.saturating_sub(self.shown);
        if text.len() <= free {
            self.shown += text.len();
            return (text, None);
        }
        let reached = self.shown < SHOWN;
        let at = (0..=free).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.shown = SHOWN;
        self.keep(&text[at..]);
        let notice = reached.then(|| match &self.rest {
            Some(rest) => format!(
                "\n[This cell has printed more than {} KiB. What follows goes into {}, which is there until the kernel ends.]\n",
                SHOWN >> 10,
                rest.path.display()
            ),
            None => format!("\n[This cell has printed more than {} KiB. What follows is not kept.]\n", SHOWN >> 10),
        });
        (&text[..at], notice)
    }

    /// The cell has ended: how much was not shown.
    pub(crate) fn end(&mut self) -> Option<String> {
        let kept = self.rest.as_mut().map(|rest| (std::mem::take(&mut rest.bytes), rest.path.display()));
        let more = kept.filter(|(bytes, _)| *bytes > 0);
        let more = more.map(|(bytes, path)| format!("[{} KiB more are in {path}.]\n", bytes.div_ceil(1024)));
        let lost = std::mem::take(&mut self.lost);
        let lost = (lost > 0).then(|| format!("[{} KiB behind that are not kept.]\n", lost.div_ceil(1024)));
        (more.is_some() || lost.is_some()).then(|| more.unwrap_or_default() + &lost.unwrap_or_default())
    }

    fn keep(&mut self, text: &str) {
        if self.rest.is_none() && self.kept < self.most {
            let path = self.folder.as_ref().map(|folder| folder.join(format!("output-of-cell-{}.txt", self.cell)));
            self.rest = path.and_then(|path| Some(Rest { file: File::create(&path).ok()?, path, bytes: 0 }));
        }
        let room = self.most - self.kept;
        let fits = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        // A disk that is full loses the rest of it.
        let written = self.rest.as_mut().is_some_and(|rest| rest.file.write_all(&text.as_bytes()[..fits]).is_ok());
        let kept = if written { fits } else { 0 };
        if let Some(rest) = &mut self.rest {
            rest.bytes += kept;
        }
        self.kept += kept;
        // From a gap on nothing more is kept: what is in a file is whole.
        if kept < text.len() {
            self.most = self.kept;
        }
        self.lost += text.len() - kept;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_too_much_is_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut overflow = Overflow::new(Some(folder.path().to_owned()));
        overflow.begin(3);
        let line = "é".repeat(1 << 18);
        assert_eq!(overflow.take(&line), (line.as_str(), None));
        overflow.take("x");
        let (shown, notice) = overflow.take(&line);
        assert_eq!(shown.len(), (1 << 19) - 2, "no half a character");
        assert!(notice.unwrap().contains("output-of-cell-3.txt"));
        assert_eq!(overflow.take("more"), ("", None));
        let kept = std::fs::read_to_string(folder.path().join("output-of-cell-3.txt")).unwrap();
        assert_eq!(kept, format!("{}more", &line[shown.len()..]));
        assert!(overflow.end().unwrap().starts_with("[1 KiB more"));
        overflow.begin(4);
        assert_eq!((overflow.take("new"), overflow.end()), (("new", None), None));
    }
    #[test]
    fn files_do_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut overflow = Overflow { most: 10, ..Overflow::new(Some(folder.path().to_owned())) };
        overflow.begin(1);
        overflow.take(&"x".repeat(SHOWN));
        overflow.take("12345678");
        overflow.take("9é0");
        overflow.take("more");
        let kept = std::fs::read_to_string(folder.path().join("output-of-cell-1.txt")).unwrap();
        assert_eq!(kept, "123456789");
        assert!(overflow.end().unwrap().ends_with("[1 KiB behind that are not kept.]\n"));
        overflow.begin(2);
        overflow.take(&"x".repeat(SHOWN + 1));
        assert!(!folder.path().join("output-of-cell-2.txt").exists());
    }
}
