//! The tests of `nik`, in one binary.

mod data;
mod judgement;
mod malformed_tables;
mod sample;
