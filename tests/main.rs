//! One test binary: a module a behaviour.
mod golden;
mod golden_table;
mod reference;
mod regions;
