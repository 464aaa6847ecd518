//! One test binary: a module a behaviour.

#![allow(clippy::disallowed_methods, reason = "the program's peers here use the plain client")]

mod api;
mod asyncapi;
mod check;
mod clients;
mod cluster;
mod cluster_itself;
mod dashboards;
mod deploy;
mod docs;
mod faults;
mod generate;
mod house;
mod interface;
mod operators;
mod page;
mod regions;
#[path = "../crates/nik-wire/tests/sample.rs"]
mod sample;
mod security;
mod settings;
mod stream;
mod timings;
