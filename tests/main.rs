//! One test binary: a module a behaviour.

#![allow(
    clippy::disallowed_methods,
    reason = "the program's peers here use the plain client"
)]

mod agreement;
mod golden;
mod golden_table;
mod reference;

mod allocations;
mod check;
mod cluster;
mod cluster_itself;
mod codec;
mod faults;
mod generate;
mod house;
mod judgement;
mod process;
mod regions;
mod sample;
mod settings;
mod timings;
