//! One test binary: a module for each behaviour.

mod agreement;
mod allocations;
mod codec;
mod generate;
mod golden;
mod golden_table;
mod process;
mod reference;
mod sample;
mod schemas;
