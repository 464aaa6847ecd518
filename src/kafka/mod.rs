//! The only place that knows Kafka. A façade: the work is in its five parts, which import one way,
//! `security <- client <- dlq <- stream` and `client <- topics`.

mod client;
pub mod dlq;
mod limits;
pub mod request_producer;
pub mod roles;
mod security;
mod stream;
pub mod topics;

pub use client::config::{check_property, features};
pub use client::error::CommandError;
pub(crate) use client::fault::{Cause, Fault};
pub use security::acl::{Operation, Right};
pub use stream::breaker::SharedBreaker;
pub use stream::shutdown::Stop;
pub(crate) use stream::{Running, start};
