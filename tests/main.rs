//! One test binary: a module a behaviour.
mod regions;
