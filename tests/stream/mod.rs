//! The service, `nik-stream run`, on a real Kafka: one outcome for each request, whatever breaks.

#![allow(dead_code)]
mod audit;
mod counters;
mod crashes;
mod dead_letters;
mod fences;
mod held_back;
mod load;
mod membership;
mod reader;
mod records;
mod refused;
mod stage;
mod stops;
