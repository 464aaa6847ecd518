//! What happens to a record, without knowing where it comes from.

pub mod breaker;
pub mod epoch;
