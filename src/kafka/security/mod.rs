//! What this program shows the brokers, and what they refuse it.

pub mod access;
pub mod acl;
mod certificate;
pub mod diagnosis;
pub mod token;
