//! Everything that depends on Kafka. Its parts import each other one way:
//! `security <- client <- dlq <- stream <- audit`, `client <- ledger <- stream` and `client <- topics`.

pub(crate) mod audit;
mod client;
pub(crate) mod dlq;
pub(crate) mod embedded;
pub(crate) mod ledger;
mod limits;
pub(crate) mod request_producer;
pub mod roles;
mod security;
mod stream;
pub mod topics;

pub use client::config::{check_property, features};
pub(crate) use client::fault::{Cause, Fault};
pub(crate) use client::trial::refusals;
pub use security::acl::Operation;
pub use stream::breaker::SharedBreaker;
pub(crate) use stream::operator;
pub use stream::shutdown::Stop;
// The model in `tests/model` asks the same code.
pub use stream::start::{Committed, Known, Ledger, Start, Watermarks, decide};
pub(crate) use stream::{Running, Telemetry, start};
