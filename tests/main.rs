//! One test binary: a module a behaviour.
mod agreement;
mod golden;
mod golden_table;
mod reference;

mod allocations;
mod asyncapi;
mod check;
mod codec;
mod generate;
mod judgement;
mod process;
mod regions;
mod sample;
mod schemas;
