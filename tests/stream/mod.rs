//! The service, `nik-stream run`, on a real Kafka: one outcome for each request, whatever breaks.

mod auto_creation;
mod breaker;
mod brokers;
mod counters;
mod crashes;
mod dead_letters;
mod fences;
mod given_up;
mod health;
mod held_back;
mod internal_topics;
mod late_requests;
mod ledger;
mod leftovers;
mod membership;
mod metrics;
mod open_transaction;
mod privacy;
mod records;
mod refused;
mod reload;
mod replies;
mod slow_brokers;
mod stops;
mod unpacked;
mod unreadable;
