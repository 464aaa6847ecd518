//! Dead letters: their headers, and the commands that read and replay them.

mod batch;
pub mod headers;
pub mod letter;
pub mod originals;
pub mod progress;
pub mod replay;
pub mod scan;
