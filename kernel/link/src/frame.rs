//! What the two processes say to each other.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Representations of one output by MIME type, with their metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Content by MIME type.
    pub data: Map<String, Value>,
    /// Metadata; by MIME type, or of the whole output.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// Which of the process's streams a text was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What the cell process says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToKernel {
    /// The first frame; the pipes that [`pipe`](crate::pipe) names are there from now on.
    Hello {
        /// The cell process.
        pid: u32,
    },
    /// The cell's statements begin.
    Started,
    /// The value of the cell's last expression.
    Result {
        /// How it looks.
        bundle: Bundle,
        /// The name under which it can be updated, where it can.
        #[serde(default)]
        display_id: Option<String>,
    },
    /// An output beside the result.
    Display {
        /// How it looks.
        bundle: Bundle,
        /// The name under which it can be updated.
        display_id: Option<String>,
        /// Whether it takes the place of those shown under that name.
        update: bool,
    },
    /// The cell's outputs are to go.
    ClearOutput {
        /// Not before the next one comes.
        wait: bool,
    },
    /// Text that was printed.
    Stream {
        /// Where to.
        channel: Channel,
        /// What.
        text: String,
        /// The cell whose thread printed it, where that is not the one that runs.
        #[serde(default)]
        cell: Option<u64>,
    },
    /// A message on a comm; its buffers are the frame's.
    CommMessage {
        /// The comm.
        id: String,
        /// The message.
        data: Value,
    },
    /// A comm ends.
    CommClose {
        /// The comm.
        id: String,
        /// The last message.
        data: Value,
    },
    /// A panic ended the cell, or a word of the prelude refused; one that the cell caught is not told.
    Panicked {
        /// The error's name: `Panic`, or the prelude's, such as `PlanError`.
        name: String,
        /// What it said.
        message: String,
        /// Source file, as the compiler was given it.
        file: Option<String>,
        /// Line in that file, from one.
        line: u32,
        /// The places in cells that led there, innermost first: a cell's library, and the address in it.
        #[serde(default)]
        frames: Vec<(String, u64)>,
    },
    /// A `?` ended the cell early.
    EarlyReturn {
        /// The error, with its causes.
        message: String,
    },
    /// A `return` ended the cell early.
    Returned,
    /// A question to the person in front of the page; answered by [`ToCell::Answer`].
    Ask {
        /// The question's number.
        id: u64,
        /// What is asked.
        prompt: String,
        /// Whether what is typed is hidden.
        password: bool,
    },
    /// A parameter of the notebook has a value, which outlives the process.
    Parameter(Parameter),
    /// A variable is lost, because its type was defined anew.
    Retyped {
        /// The variable.
        name: String,
    },
    /// Names that a person may want to type: completion offers them.
    Names {
        /// Columns of a frame.
        columns: Vec<String>,
        /// Topics of a broker.
        topics: Vec<String>,
    },
    /// The cell's last line was reached.
    Completed,
    /// Everything sent before [`ToCell::Barrier`] with this number was taken care of.
    BarrierReached {
        /// The barrier's number.
        number: u64,
    },
}

/// A parameter of a notebook, as somebody has given it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// What it is called.
    pub name: String,
    /// Its value in writing.
    pub text: String,
    /// Whether the text is JSON; otherwise it is the value as a person writes it.
    #[serde(default)]
    pub json: bool,
    /// Who has given it.
    pub giver: Giver,
}

/// Who gives a parameter; of two the later one here is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Giver {
    /// A line `:param` in a cell.
    Command,
    /// A cell that a program has put into the notebook, as papermill does.
    Injected,
}

/// What becomes of a question to the person in front of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// What was typed.
    Text(String),
    /// The page takes no questions.
    NotAllowed,
    /// The cell was interrupted.
    Dropped,
}

/// What the kernel says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToCell {
    /// A cell, or a part of it, is about to be compiled and run; an interrupt from before does not count any more.
    CellStarted {
        /// Which run of a cell it is.
        run: u64,
        /// The notebook's cell, where the page says it: the same when it is run again.
        #[serde(default)]
        cell: Option<String>,
    },
    /// A parameter of the notebook has a value.
    Parameter(Parameter),
    /// No parameter has one any more.
    ForgetParameters,
    /// Everything that waits in the cell is to give up.
    Interrupt,
    /// Answered by [`ToKernel::BarrierReached`] once all output so far is on its way.
    Barrier {
        /// Its number.
        number: u64,
    },
    /// What became of a question.
    Answer {
        /// The question's number.
        id: u64,
        /// The answer.
        input: Input,
    },
    /// The page opens a comm; its buffers are the frame's.
    CommOpen {
        /// The comm.
        id: String,
        /// What it is for.
        target: String,
        /// The first message.
        data: Value,
    },
    /// A message on a comm; its buffers are the frame's.
    CommMessage {
        /// The comm.
        id: String,
        /// The message.
        data: Value,
    },
    /// The page closes a comm.
    CommClose {
        /// The comm.
        id: String,
        /// The last message.
        data: Value,
    },
}

/// A frame with its binary buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Framed<T> {
    /// What is said.
    pub frame: T,
    /// Buffers of a comm message; none for other frames.
    pub buffers: Vec<Vec<u8>>,
}

impl<T> From<T> for Framed<T> {
    fn from(frame: T) -> Framed<T> {
        Framed { frame, buffers: Vec::new() }
    }
}
