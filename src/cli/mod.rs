//! The command line: what each command takes and prints. Data goes to standard output, words to standard error.

pub mod regions;
