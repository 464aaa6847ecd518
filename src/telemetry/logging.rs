//! The log: one line an event, on standard error, for eyes or for machines.

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// For eyes.
    Text,
    /// For machines: one JSON object a line.
    Json,
}
