//! One test binary: a module a behaviour.

mod allocations;
mod check;
mod cluster;
mod cluster_itself;
mod codec;
mod generate;
mod house;
mod judgement;
mod limits;
mod process;
mod regions;
mod sample;
mod settings;
mod timings;
