//! One test binary: a module a behaviour.

#![allow(clippy::disallowed_methods, reason = "the program's peers here use the plain client")]

mod agreement;
mod allocations;
mod api;
mod asyncapi;
mod check;
mod clients;
mod cluster;
mod cluster_itself;
mod codec;
mod dashboards;
mod deploy;
mod docs;
mod faults;
mod generate;
mod golden;
mod golden_table;
mod house;
mod interface;
mod judgement;
mod operators;
mod page;
mod process;
mod reference;
mod regions;
mod sample;
mod schemas;
mod security;
mod settings;
mod stream;
mod timings;
