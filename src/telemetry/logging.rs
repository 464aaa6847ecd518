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
/// tmp
pub fn init(_:Format,level:&str)->anyhow::Result<()>{ tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(level).init(); Ok(()) }
