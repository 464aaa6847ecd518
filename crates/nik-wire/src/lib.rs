//! Bytes to types and back: the only place that knows the wire's JSON.
//!
//! Own code instead of serde: it reads a request in one pass without a tree of values, and in
//! steady state without a single allocation per record. The tests hold it to serde's verdict, byte
//! by byte.

mod failure;
mod fast_path;
#[cfg(feature = "generate")]
pub mod generate;
mod json;
pub mod process;
mod request;
mod result;
mod seen_keys;
mod seen_niks;
mod span;
mod write;

pub use failure::{Reason, write_failure};
pub use request::{Limits, Process, Refusal, Request, RequestReader};
pub use result::{Absent, ResultBody, ResultWriter};
pub use span::Span;
