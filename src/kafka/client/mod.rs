//! librdkafka clients: their properties, callbacks, native calls and deadlines, and the faults that
//! they report.

pub mod callbacks;
pub mod config;
pub mod deadline;
pub mod error;
pub mod fault;
pub mod native;
pub mod producer;
pub mod reader;
pub mod refusal;
pub mod scanner;
pub mod trial;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::thread::JoinHandle;

use fault::{Cause, Fault};

/// The name of a topic or group as a C string.
pub fn c_string(name: &str) -> Result<CString, Fault> {
    Ok(CString::new(name)?)
}

/// Partitions as text.
pub fn listed(partitions: &BTreeSet<i32>) -> String {
    partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// Starts a named thread.
pub fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    std::thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|error| Cause::ThreadNotStarted(error).into())
}
