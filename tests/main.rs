//! One test binary: a module a behaviour.

mod process;
mod regions;
mod settings;
