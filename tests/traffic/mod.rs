//! Traffic through the program: topics and settings of a test, requests at a rate, a reader of the
//! outcomes, and the audit that compares them.

pub mod answers;
pub mod audit;
pub mod load;
pub mod reader;
pub mod server;
pub mod stage;
