//! What all workers and the watch share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::announce;
use super::breaker::SharedBreaker;
use super::headers::OutcomeHeaders;
use super::outputs::Outputs;
use super::own_positions::OwnPositions;
use super::renewal::Turn;
use super::shutdown::{ShutdownBarrier, Signal};
use crate::config::{Guarantee, Settings};
use crate::kafka::client::config::Clients;
use crate::kafka::client::producer::unsettled::Unsettled;
use crate::kafka::client::producer::{IfUnanswered, ProducerSettings};
use crate::pipeline::epoch::{ByteLimit, Cadence};
use crate::pipeline::judge::JudgeInForce;
use crate::pipeline::timestamps::Replaced;
use crate::telemetry::health::Health;
use crate::telemetry::logging::RepeatLimit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

pub struct Shared {
    pub clients: Clients,
    pub group: String,
    pub judge: Arc<JudgeInForce>,
    pub outputs: Outputs,
    pub headers: OutcomeHeaders,
    pub policy: StreamPolicy,
    pub byte_limit: ByteLimit,
    pub telemetry: Telemetry,
    /// Set to ask the watch for a look at the cluster now.
    pub refresh: Signal<bool>,
    /// How often no broker answered the watch.
    pub outages: AtomicU64,
    /// How often the watch has asked the workers to join the group again.
    pub rejoins: AtomicU64,
    pub own_positions: Arc<OwnPositions>,
    /// Which worker may replace its clients.
    pub turn: Turn,
    pub shutdown: ShutdownBarrier,
}

/// The operator's decisions about the stream.
pub struct StreamPolicy {
    pub guarantee: Guarantee,
    pub cadence: Cadence,
}

/// What operators see of the stream, and the breaker that they control.
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub breaker: Arc<SharedBreaker>,
    /// Limits the lines about timestamps that were replaced.
    pub replaced: RepeatLimit<Replaced>,
    /// `None`: no traces.
    pub traces: Option<Arc<Traces>>,
}

impl Telemetry {
    pub fn new(
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        breaker: &Arc<SharedBreaker>,
        traces: Option<&Arc<Traces>>,
    ) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            health: Arc::clone(health),
            breaker: Arc::clone(breaker),
            replaced: RepeatLimit::new(1, announce::REPLACED_WINDOW),
            traces: traces.cloned(),
        }
    }
}

impl Shared {
    /// What a producer of this worker is made from.
    pub fn producer_settings(self: &Arc<Self>, worker: usize) -> ProducerSettings {
        let (reached, led) = (Arc::clone(self), Arc::clone(self));
        ProducerSettings {
            config: self.clients.producer(worker),
            access: Arc::clone(&self.clients.access),
            group: self.group.clone(),
            worker,
            metrics: Some(Arc::clone(&self.telemetry.metrics)),
            if_unanswered: IfUnanswered::Replace,
            reach: Box::new(move || reached.outputs.reach_of_all()),
            leaderless: Box::new(move || led.outputs.leaderless()),
            unsettled: Unsettled::default(),
        }
    }

    /// Asks the watch for a look at the cluster now.
    pub fn refresh_soon(&self) {
        self.refresh.update(|wanted| *wanted = true);
    }

    /// How often no broker answered the watch, or a client lost all its brokers: a broker that
    /// restarts quickly is away between two looks of the watch.
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed) + self.clients.access.outages()
    }
}

impl StreamPolicy {
    pub fn new(settings: &Settings) -> Self {
        let delivery = &settings.delivery;
        Self {
            guarantee: delivery.guarantee,
            cadence: Cadence {
                interval: Duration::from_millis(delivery.commit_interval_ms),
                min_interval: Duration::from_millis(delivery.commit_min_interval_ms),
                records: delivery.commit_records,
                bytes: delivery.commit_bytes,
            },
        }
    }
}
