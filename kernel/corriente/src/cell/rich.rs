//! Values that say themselves what they are: HTML, Markdown, pictures. As a cell's last expression, or with `display!`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use link::Bundle;
use serde_json::{Map, Value};

use super::Show;

/// Content of one MIME type.
///
/// ```no_run
/// use corriente::prelude::*;
/// display!(markdown("Spending **rises** at noon."));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rich {
    mime: &'static str,
    content: Value,
    /// For who cannot show it.
    text: String,
}

impl Show for Rich {
    fn show(&self) -> Bundle {
        let mut data = Map::from_iter([(self.mime.to_owned(), self.content.clone())]);
        data.insert("text/plain".to_owned(), Value::String(self.text.clone()));
        Bundle { data, metadata: Map::new() }
    }
}

fn written(mime: &'static str, content: String) -> Rich {
    Rich { mime, text: content.clone(), content: Value::String(content) }
}

/// HTML. JupyterLab leaves scripts and styles out of it until the notebook is trusted.
pub fn html(content: impl Into<String>) -> Rich {
    written("text/html", content.into())
}

/// Markdown.
pub fn markdown(content: impl Into<String>) -> Rich {
    written("text/markdown", content.into())
}

/// A formula.
pub fn latex(content: impl Into<String>) -> Rich {
    written("text/latex", content.into())
}

/// A drawing.
pub fn svg(content: impl Into<String>) -> Rich {
    written("image/svg+xml", content.into())
}

/// The bytes of a PNG picture.
pub fn png(content: impl AsRef<[u8]>) -> Rich {
    let content = content.as_ref();
    let text = format!("a PNG picture of {} bytes", content.len());
    Rich { mime: "image/png", content: Value::String(BASE64_STANDARD.encode(content)), text }
}
