//! One test binary, in three tiers; each behavior is a module.
//!
//! `cargo test` needs Rust and a C compiler only. The feature `kafka-tests` adds the tests that start an Apache Kafka (Java,
//! Maven), and `packaging-tests` adds those that need a browser, Prometheus, helm, or the toolchain of another language.

#![allow(
    clippy::disallowed_methods,
    reason = "the tests' own clients do what the program's may not"
)]
#![cfg_attr(
    not(feature = "packaging-tests"),
    allow(dead_code, unused_imports, reason = "helpers that the tests of the other tiers use")
)]

mod api;
mod asyncapi;
mod check;
mod cluster;
mod docs;
mod embedded;
mod generate;
mod house;
mod interface;
mod listen;
mod model;
mod regions;
#[path = "../crates/nik-wire/tests/sample.rs"]
mod sample;
mod settings;
mod shell;
mod tokens;
mod traffic;

#[cfg(feature = "kafka-tests")]
mod cluster_itself;
#[cfg(feature = "kafka-tests")]
mod faults;
#[cfg(feature = "kafka-tests")]
mod operators;
#[cfg(feature = "kafka-tests")]
mod security;
#[cfg(feature = "kafka-tests")]
mod stream;
#[cfg(feature = "kafka-tests")]
mod timings;

#[cfg(feature = "packaging-tests")]
mod clients;
#[cfg(feature = "packaging-tests")]
mod dashboards;
#[cfg(feature = "packaging-tests")]
mod deploy;
#[cfg(feature = "packaging-tests")]
mod page;
#[cfg(feature = "packaging-tests")]
mod registry;
