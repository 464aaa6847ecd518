//! The tests of `nik-wire`, in one binary.

mod agreement;
mod allocations;
mod codec;
mod conformance;
mod generate;
mod golden;
mod golden_table;
mod process;
mod reference;
mod sample;
mod schemas;
mod tokens;
