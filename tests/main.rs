//! One test binary: a module a behaviour.

mod agreement;
mod allocations;
mod check;
mod cluster;
mod cluster_itself;
mod codec;
mod faults;
mod generate;
mod golden;
mod golden_table;
mod house;
mod judgement;
mod process;
mod reference;
mod regions;
mod sample;
mod schemas;
mod settings;
mod stream;
mod timings;
