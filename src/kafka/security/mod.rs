//! How the program authenticates to the brokers, and what they deny it.

pub mod access;
pub mod acl;
pub mod credentials;
mod diagnosis;
mod endpoint;
mod token;
