//! The seam to what runs cells.

use serde_json::{Map, Value};

use crate::{Cell, CompletionAnswer, InspectionAnswer};

/// What runs cells.
///
/// Contract: every method returns at once, so that the shell serves comms while a cell runs. A cell that was started is
/// finished through its [`Cell`], once. All methods are called on the kernel's thread.
pub trait Language: Send + 'static {
    /// What the language is.
    fn info(&self) -> LanguageInfo;
    /// Starts a cell; no other is started before this one has finished.
    fn start_execute(&mut self, request: ExecuteRequest, cell: Cell);
    /// Whether a text is a whole cell.
    fn is_complete(&mut self, code: &str) -> Completeness;
    /// Asks the running cell to end.
    fn interrupt(&mut self);
    /// The page does something with a comm.
    fn comm(&mut self, event: CommEvent);
    /// The kernel ends; a restart follows or not.
    fn shutdown(&mut self, _restart: bool) {}
    /// What could stand at the cursor; the answer may come later. By default nothing.
    fn complete(&mut self, _at: Cursor, _answer: CompletionAnswer) {}
    /// What stands at the cursor; the answer may come later. By default nothing is known.
    fn inspect(&mut self, _at: Cursor, _answer: InspectionAnswer) {}
}

/// What `kernel_info` says.
#[derive(Clone, Debug, Default)]
pub struct LanguageInfo {
    /// The kernel's name.
    pub implementation: String,
    /// The kernel's version.
    pub implementation_version: String,
    /// What a console shows at the start.
    pub banner: String,
    /// The protocol's `language_info`.
    pub language_info: Value,
}

/// A cell to run.
#[derive(Clone, Debug, Default)]
pub struct ExecuteRequest {
    /// Its text.
    pub code: String,
    /// Whether it leaves no trace.
    pub silent: bool,
    /// Whether it is counted; never when silent.
    pub store_history: bool,
    /// Its number.
    pub execution_count: u64,
    /// The notebook's cell, where the page says it: the same when it is run again.
    pub cell_id: Option<String>,
    /// Expressions to be evaluated after a cell that succeeds, by name; answered by [`Cell::expression`].
    pub user_expressions: Vec<(String, String)>,
}

/// Whether a text is a whole cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can run.
    Complete,
    /// More must follow; the next line begins with this.
    Incomplete {
        /// Spaces.
        indent: String,
    },
    /// Nothing that follows makes it right.
    Invalid,
    /// Nobody can say.
    Unknown,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The text.
    pub code: String,
    /// How many characters (Unicode scalar values, not bytes) stand before the cursor.
    pub position: usize,
    /// How much is asked for: 0, or 1 for more.
    pub detail: u64,
}

/// What could stand at a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// Any of these,
    pub matches: Vec<String>,
    /// in the place of the characters from here
    pub start: usize,
    /// to here, both counted as for [`Cursor::position`].
    pub end: usize,
    /// What JupyterLab shows beside each.
    pub metadata: Map<String, Value>,
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// With an error.
    Error {
        /// Its name.
        ename: String,
        /// One line.
        evalue: String,
        /// Lines, with ANSI colours.
        traceback: Vec<String>,
    },
    /// It was not run, or not to its end.
    Aborted,
}

/// Representations of one output by MIME type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundle {
    /// Content by MIME type.
    pub data: Map<String, Value>,
    /// Metadata.
    pub metadata: Map<String, Value>,
}

/// What the page does with a comm.
#[derive(Clone, Debug, PartialEq)]
pub enum CommEvent {
    /// It opens one.
    Open {
        /// The comm.
        id: String,
        /// What it is for.
        target: String,
        /// The first message.
        data: Value,
        /// Its buffers.
        buffers: Vec<Vec<u8>>,
    },
    /// It sends a message.
    Message {
        /// The comm.
        id: String,
        /// The message.
        data: Value,
        /// Its buffers.
        buffers: Vec<Vec<u8>>,
    },
    /// It closes one.
    Close {
        /// The comm.
        id: String,
        /// The last message.
        data: Value,
    },
}
