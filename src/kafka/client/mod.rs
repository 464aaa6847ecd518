//! A librdkafka client: its properties, its callbacks, its native calls, its deadlines.

pub mod callbacks;
pub mod config;
pub mod deadline;
pub mod error;
pub mod fault;
pub mod native;
pub mod producer;
pub mod reader;
pub mod refusal;

use std::ffi::CString;
use std::thread::JoinHandle;

use fault::Fault;

/// The name of a topic or a group, as librdkafka takes it.
pub fn c_string(name: &str) -> Result<CString, Fault> {
    let error = || Fault::Fatal("a topic's or the group's name holds a NUL character".to_owned());
    CString::new(name).map_err(|_| error())
}

/// Starts a thread.
pub fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    let thread = std::thread::Builder::new().name(name).spawn(work);
    thread.map_err(|error| Fault::Fatal(format!("no thread can be started: {error}")))
}
