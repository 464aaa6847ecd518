//! The wire format of nik-stream: requests to results and failures, byte for byte, without Kafka.
//!
//! [`process::Processor`] does it all. The reader below it is public for tests, and the writer
//! because a private one compiles to 2 % more instructions per NIK in `full`.
//! Both are hand-written instead of using serde: they read a request in one pass without a tree of
//! values, and in steady state they allocate nothing per record. The tests compare them with serde.

mod claim;
mod detail;
mod failure;
mod fast_path;
mod framing;
#[cfg(feature = "generate")]
pub mod generate;
mod json;
mod naming;
pub mod process;
mod request;
mod result;
mod seen_keys;
mod seen_niks;
mod span;
mod token;
mod write;

pub use detail::Detail;
pub use failure::{Reason, write_failure};
pub use framing::Framing;
pub use naming::{Naming, Plain, Tokens};
pub use request::{Limits, Process, Refusal, Request, RequestReader, Unreadable};
pub use result::{Absent, ExplainedBody, ResultBody, ResultWriter};
pub use span::Span;
pub use token::{KeyFileError, Token, TokenKey};
