//! The wire format of nik-stream: requests to results and failures, byte for byte, without Kafka.
//!
//! [`process::Processor`] does it all; the reader and the writer below it are public for tests.
//! Both are hand-written instead of using serde: they read a request in one pass without a tree of
//! values, and in steady state they allocate nothing per record. The tests compare them with serde.

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
