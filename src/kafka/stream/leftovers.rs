//! Transactions that other producers left open in partitions of this worker.
//!
//! If the brokers skip markers and the process that wrote the transaction is gone for good, its
//! producer does not settle it. Then the worker that gets the partition does: it finds the
//! transactional id in the ledger of positions, takes it over, and ends its last transaction again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announce;
use super::ledger::LedgerLookup;
use super::shared::Shared;
use crate::config::Guarantee;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::producer::{
    IfUnanswered, OutputProducer, ProducerSettings, transaction_timeout,
};
use crate::telemetry::health::PartitionTrouble;

/// How far a transaction may outlast its timeout: the coordinator looks for those that are overdue
/// every 10 seconds (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
const TIMEOUT_GRACE: Duration = Duration::from_secs(12);
/// When the partitions that outcomes go to are looked at for the first time after an assignment.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// How many looks in a row must find a transaction still open before the transactional id of
/// another process is taken over, if the position is known and only outcomes are hidden.
const LOOKS: u32 = 2;

/// What is watched in the partitions of one worker.
pub struct Leftovers {
    shared: Arc<Shared>,
    worker: usize,
    /// The coordinator ends an abandoned transaction within this time.
    timeout: Duration,
    watched: BTreeMap<i32, Watched>,
    /// Not after the earliest `look_at`. Each poll compares only this time with the clock.
    next_look: Instant,
    /// The partitions about which operators were told.
    announced: BTreeSet<i32>,
}

struct Watched {
    look_at: Instant,
    /// The partitions that had open transactions at the last look, of those that outcomes or
    /// positions go to, with their last stable offsets.
    open: Option<BTreeMap<(CString, i32), i64>>,
    /// How many looks in a row found that one of these last stable offsets had not changed, or that
    /// the position was still unknown.
    stuck: u32,
    /// The transactional ids that were taken over. If something is still open, others wrote it,
    /// too.
    settled: BTreeSet<String>,
}

impl Leftovers {
    pub fn new(worker: usize, shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            worker,
            timeout: transaction_timeout(&shared.clients.producer(worker)) + TIMEOUT_GRACE,
            watched: BTreeMap::new(),
            next_look: Instant::now(),
            announced: BTreeSet::new(),
        }
    }

    /// These partitions are assigned now.
    pub fn watch(&mut self, partitions: &[i32], now: Instant) {
        if self.shared.policy.guarantee == Guarantee::ExactlyOnce {
            let watched = || Watched {
                look_at: now + FIRST_LOOK,
                open: None,
                stuck: 0,
                settled: BTreeSet::new(),
            };
            self.watched.extend(partitions.iter().map(|&it| (it, watched())));
            self.next_look = self.next_look.min(now + FIRST_LOOK);
        }
    }

    pub fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.watched.remove(partition);
            self.announced.remove(partition);
        }
    }

    /// The position of this partition is known, or its outcomes are not hidden any more.
    pub fn started(&mut self, partition: i32) {
        if self.announced.remove(&partition) {
            let health = &self.shared.telemetry.health;
            health.withdraw(self.worker, partition, PartitionTrouble::Hidden);
        }
    }

    /// Whether operators were told that an open transaction hides something of this partition.
    pub fn is_announced(&self, partition: i32) -> bool {
        self.announced.contains(&partition)
    }

    /// A transaction that nobody ends is over after this time.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A partition to look at now.
    pub fn due(&mut self, now: Instant) -> Option<i32> {
        if self.watched.is_empty() || now < self.next_look {
            return None;
        }
        let (&partition, first) = self.watched.iter().min_by_key(|(_, it)| it.look_at)?;
        self.next_look = first.look_at;
        (first.look_at <= now).then_some(partition)
    }

    /// Looks at a partition, and settles what holds it up. `waits`: its position is not known yet.
    pub fn look(
        &mut self,
        partition: i32,
        waits: bool,
        ledger: &LedgerLookup,
    ) -> Result<(), Fault> {
        match self.look_now(partition, waits, ledger) {
            Err(Fault::Restart(Cause::Kafka(error))) => {
                tracing::debug!(worker = self.worker, partition, %error, "no look at open transactions");
                Ok(())
            }
            looked => looked,
        }
    }

    fn look_now(
        &mut self,
        partition: i32,
        waits: bool,
        ledger: &LedgerLookup,
    ) -> Result<(), Fault> {
        let now = Instant::now();
        let Some(watched) = self.watched.get_mut(&partition) else {
            return Ok(());
        };
        watched.look_at = now + self.timeout; // set first, because this look may fail
        // A position may also be unknown because its partition has no leader.
        if ledger.is_missing() || !self.shared.outputs.topics.requests.has_leader(partition) {
            return Ok(());
        }
        let before = watched.open.take();
        let open = ledger.open_ends(self.shared.outputs.reach(partition), REQUEST_TIMEOUT)?;
        let Some(before) = before else {
            (watched.open, watched.stuck) = (Some(open), 0);
            return Ok(());
        };
        let is_stuck = open.iter().any(|(place, end)| before.get(place) == Some(end));
        if !waits && !is_stuck {
            self.watched.remove(&partition);
            self.started(partition);
            return Ok(());
        }
        watched.open = Some(open);
        watched.stuck += 1;
        // A process that is still alive settles what it left open once the brokers are back. It
        // gets time for that, because it would be fenced if its id was taken over.
        if !waits && watched.stuck < LOOKS {
            return Ok(());
        }
        // If this process wrote what hides the position, the worker restarts: its producer settles
        // that when it connects. If only outcomes are hidden, the entries of this process are
        // skipped, because they are newer than the transaction.
        let own = self.shared.clients.transactional_prefix();
        let may_be = |id: &str| {
            !id.is_empty() && !watched.settled.contains(id) && (waits || !id.starts_with(&own))
        };
        let settled = match ledger.writer(partition, may_be, REQUEST_TIMEOUT)? {
            Some(id) if id.starts_with(&own) => return Err(Cause::OffsetsUnknown.into()),
            Some(id) => self.take_over(id, partition),
            None => false,
        };
        let brokers_answer = self.shared.telemetry.metrics.brokers_up.get() > 0;
        if !settled && brokers_answer && self.announced.insert(partition) {
            announce::hidden(&self.shared, self.worker, partition, waits);
        }
        Ok(())
    }

    /// Takes over this transactional id, and ends its last transaction again in the way in which
    /// that had ended. Returns whether the coordinator knew the way.
    fn take_over(&mut self, id: String, partition: i32) -> bool {
        tracing::warn!(
            worker = self.worker,
            transactional_id = id,
            "a transaction is open for longer than it may last: its producer is replaced, to end it again"
        );
        let settings = ProducerSettings {
            config: self.shared.clients.producer_of(&id),
            if_unanswered: IfUnanswered::Fail,
            leaderless: Box::new(Vec::new),
            ..self.shared.producer_settings(self.worker)
        };
        let health = Arc::clone(&self.shared.telemetry.health);
        match OutputProducer::take_over(settings, move || health.is_stopping()) {
            Ok(ending) => {
                if let Some(watched) = self.watched.get_mut(&partition) {
                    watched.settled.insert(id);
                }
                ending.is_some()
            }
            Err(fault) => {
                tracing::warn!(worker = self.worker, transactional_id = id, %fault, "the open transaction could not be ended");
                false
            }
        }
    }
}
