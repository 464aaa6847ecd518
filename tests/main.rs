//! One test binary: a module a behaviour.

mod allocations;
mod check;
mod codec;
mod generate;
mod house;
mod judgement;
mod cluster;
mod cluster_itself;
mod process;
mod regions;
mod sample;
mod settings;
