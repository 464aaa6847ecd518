//! Dead letters: the headers that the stream writes, and the commands that read and replay them.

pub mod dead_letter;
pub mod error;
pub mod headers;
pub mod originals;
pub mod progress;
pub mod replay;
pub mod scan;

mod batch;
