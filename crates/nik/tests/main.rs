//! The tests of `nik`, in one binary.

mod data;
mod explanation;
mod judgement;
mod malformed_tables;
mod sample;
