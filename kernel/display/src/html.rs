//! The `text/html` that stands in wherever the labextension does not run: an untrusted notebook, nbconvert, a mail.
//! Inline styles only, since those survive a sanitiser; greys that read on light and on dark. Every text that comes
//! from outside passes [`escape`].

use std::fmt::Write as _;

use crate::cells::ColumnText;

const FRAME: &str = "font-size:12px;line-height:1.5;max-width:100%;overflow-x:auto";
const TABLE: &str = "border-collapse:collapse;border:none;margin:0;font-size:12px;font-variant-numeric:tabular-nums";
const HEAD: &str = "padding:4px 12px 5px;white-space:nowrap;font-weight:600;vertical-align:bottom;border:none;border-bottom:1px solid rgba(128,128,128,0.5)";
const CELL: &str = "padding:3px 12px;white-space:nowrap;border:none;border-bottom:1px solid rgba(128,128,128,0.16)";
const MUTED: &str = "color:#7a7a7a;font-weight:400;font-size:11px";

/// A text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// A table of texts. `gap` is the row above which rows are left out, `foot` the line below the table.
pub(crate) fn table(columns: &[ColumnText], gap: Option<usize>, foot: &str) -> String {
    let mut html = format!("<div style=\"{FRAME}\"><table style=\"{TABLE}\"><thead><tr>");
    for column in columns {
        let _infallible = write!(
            html,
            "<th style=\"{HEAD};text-align:{}\">{}<br><span style=\"{MUTED}\">{}</span></th>",
            side(column),
            escape(&column.name),
            escape(&column.dtype)
        );
    }
    html.push_str("</tr></thead><tbody>");
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        if gap == Some(row) {
            row_of(
                &mut html,
                columns.iter().map(|column| (side(column), "<span style=\"color:#7a7a7a\">…</span>".to_owned())),
            );
        }
        row_of(&mut html, columns.iter().map(|column| (side(column), cell(column.cells[row].as_deref()))));
    }
    let _infallible = write!(html, "</tbody></table>{}</div>", foot_line(foot));
    html
}

/// A saved picture. `png` is Base64, `alt` what the picture shows.
pub(crate) fn picture(png: &str, (width, height): (u32, u32), alt: &str, foot: &str) -> String {
    format!(
        "<div style=\"{FRAME}\"><img src=\"data:image/png;base64,{png}\" width=\"{width}\" height=\"{height}\" alt=\"{}\" style=\"max-width:100%;border-radius:4px\">{}</div>",
        escape(alt),
        foot_line(foot)
    )
}

/// A message in place of a result.
pub(crate) fn message(text: &str, foot: &str) -> String {
    format!(
        "<div style=\"{FRAME}\"><div style=\"padding:6px 10px;border-left:3px solid #d55e00\">{}</div>{}</div>",
        escape(text),
        foot_line(foot)
    )
}

fn row_of(html: &mut String, cells: impl Iterator<Item = (&'static str, String)>) {
    html.push_str("<tr>");
    for (side, text) in cells {
        let _infallible = write!(html, "<td style=\"{CELL};text-align:{side}\">{text}</td>");
    }
    html.push_str("</tr>");
}

fn cell(text: Option<&str>) -> String {
    text.map_or_else(|| "<span style=\"color:#999999;font-style:italic\">null</span>".to_owned(), escape)
}

fn side(column: &ColumnText) -> &'static str {
    if column.right { "right" } else { "left" }
}

fn foot_line(foot: &str) -> String {
    if foot.is_empty() {
        String::new()
    } else {
        format!("<div style=\"{MUTED};padding:6px 12px 2px\">{}</div>", escape(foot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, cells: &[Option<&str>]) -> ColumnText {
        ColumnText {
            name: name.to_owned(),
            dtype: "str".to_owned(),
            right: false,
            cells: cells.iter().map(|cell| cell.map(str::to_owned)).collect(),
        }
    }

    #[test]
    fn text_from_outside_is_escaped_everywhere() {
        let evil = "<img src=x onerror=\"alert('1')\">&";
        let html =
            table(&[column(evil, &[Some(evil)])], None, evil) + &picture("", (1, 1), evil, evil) + &message(evil, evil);
        assert!(!html.contains("<img src=x"), "{html}");
        assert!(!html.contains("onerror=\"alert"));
        assert_eq!(html.matches("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;").count(), 7);
    }

    #[test]
    fn a_null_looks_unlike_the_text_null() {
        let html = table(&[column("c", &[None, Some("null")])], None, "");
        assert_eq!(html.matches("font-style:italic\">null<").count(), 1);
        assert_eq!(html.matches(">null<").count(), 2);
    }

    #[test]
    fn rows_left_out_are_marked() {
        let html = table(&[column("c", &[Some("a"), Some("b")])], Some(1), "");
        let (a, dots, b) = (html.find(">a<"), html.find(">…<"), html.find(">b<"));
        assert!(a < dots && dots < b);
    }

    #[test]
    fn only_inline_styles_are_used() {
        let html = table(&[column("c", &[Some("a")])], None, "f") + &picture("", (1, 1), "a", "f");
        for word in ["<style", "class=", "<script", "position:", "var("] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
