//! One test binary.

mod broken;
mod data;
mod judgement;
mod sample;
