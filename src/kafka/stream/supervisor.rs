//! Runs one worker, and restarts it from the committed offsets after a fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CLOSE_BUDGET;
use super::shared::Shared;
use super::shutdown::Stop;
use super::worker::{End, Worker};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::producer::unsettled::{Ending, Unsettled};
use crate::telemetry::metrics::Metrics;

/// How long a stopping worker waits for the last commits of the others.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long leaving the group may take after a successful last commit. During a rebalance the
/// coordinator answers only when all other members have rejoined, and a member that could not leave
/// keeps its partitions until its session times out.
const LEAVE_BUDGET: Duration = Duration::from_secs(8);
/// If a worker of a named instance is fenced again within this time, and the brokers were up in
/// between, another instance uses the same name.
const RIVAL_WINDOW: Duration = Duration::from_mins(1);
/// The pause after a worker was fenced. A rival fences it more than once as it starts: it takes
/// over the transactional id, ends the open transaction, and joins the group. A worker that
/// restarted in between would count one start as two, and both rivals would exit.
const FENCED_PAUSE: Duration = Duration::from_secs(3);
/// The backoff between restarts; it starts over after a worker has run for `STEADY`.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_mins(1);
/// Clients that hang keep their threads and memory. Beyond this number, a new process is better.
const MOST_ABANDONED: u64 = 64;

/// Runs worker `index` until the stop, or until a fault that a restart does not cure.
pub fn supervise(index: usize, shared: &Arc<Shared>, stop: &Stop) -> Result<(), Fault> {
    let metrics = &shared.telemetry.metrics;
    let mut fenced: Option<(Instant, u64)> = None;
    let mut pause = SHORTEST_PAUSE;
    let unsettled = Unsettled::default();
    while !stop.requested() {
        let started = Instant::now();
        let fault = match run_once(index, shared, &unsettled, stop) {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::Renewed) if !stop.requested() && has_abandoned_too_many(metrics) => {
                return Err(Cause::ClientsAbandoned.into());
            }
            Ok(End::Renewed) => continue,
            Err(fault) => fault,
        };
        metrics.fault(fault.label());
        match fault {
            Fault::Fatal(_) => return Err(fault),
            _ if stop.requested() => return Ok(()),
            _ => {}
        }
        if let Fault::Fenced(_) = fault {
            // Brokers that were unreachable for long fence, too.
            let outages = shared.outages();
            let again =
                fenced.is_some_and(|(at, before)| at.elapsed() < RIVAL_WINDOW && before == outages);
            if again && shared.clients.may_have_rival() {
                return Err(fault);
            }
            fenced = Some((Instant::now(), outages));
            // A rival's transaction may be the last one now.
            unsettled.lock().last.take_if(|ending| *ending == Ending::Commit);
        }
        if started.elapsed() > STEADY {
            pause = SHORTEST_PAUSE;
        }
        if let Fault::Denied(_) = fault {
            // Already logged once by name.
            tracing::debug!(worker = index, cause = fault.label(), %fault, "worker restarts");
        } else {
            tracing::warn!(worker = index, cause = fault.label(), %fault, "worker restarts");
        }
        metrics.worker_restarted(fault.label());
        if has_abandoned_too_many(metrics) {
            return Err(Cause::ClientsAbandoned.into());
        }
        stop.wait(match fault {
            Fault::Fenced(_) => FENCED_PAUSE,
            Fault::Denied(_) => LONGEST_PAUSE,
            Fault::Abort(_) | Fault::Restart(_) | Fault::Fatal(_) => pause,
        });
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

fn has_abandoned_too_many(metrics: &Metrics) -> bool {
    metrics.clients_abandoned.get() >= MOST_ABANDONED
}

/// Starts a worker and runs it until the stop or a fault, then closes it.
fn run_once(
    index: usize,
    shared: &Arc<Shared>,
    unsettled: &Unsettled,
    stop: &Stop,
) -> Result<End, Fault> {
    let mut worker = Worker::start(index, shared, unsettled, stop)?;
    // A panic ends the program, but not before the worker has left the group within its budget:
    // a consumer that is dropped by unwinding can hang.
    let result = caught(|| worker.run(stop));
    let leave_budget = match &result {
        Err(fault) => {
            if stop.requested() {
                tracing::warn!(
                    worker = index,
                    cause = fault.label(),
                    %fault,
                    "the last epoch was not committed; its requests will be processed again"
                );
            }
            CLOSE_BUDGET
        }
        Ok(End::Renewed) => LEAVE_BUDGET,
        Ok(End::Stopped) => {
            shared.shutdown.arrive_and_wait(index, BARRIER_TIMEOUT);
            LEAVE_BUDGET
        }
    };
    worker.close(leave_budget);
    result
}

/// A panic as a fault. Its message and its location are in the log.
pub fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Cause::WorkerPanicked.into()))
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::stream::tests::Service;

    #[test]
    fn a_panic_is_a_fault_that_a_restart_does_not_cure() {
        assert!(matches!(caught(|| Ok(End::Stopped)), Ok(End::Stopped)));
        let result = caught::<End>(|| panic!("on purpose"));
        assert!(matches!(result, Err(Fault::Fatal(Cause::WorkerPanicked))));
    }

    /// The counter begins at the limit, because it takes minutes to let so many clients hang.
    #[test]
    fn after_too_many_abandoned_clients_a_fault_ends_the_program() {
        let brokers = MockCluster::new(1).unwrap();
        let denied = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        brokers.request_errors(RDKafkaApiKey::InitProducerId, &[denied; 10]);
        let settings = [("DELIVERY__GUARANTEE", "exactly_once")];
        let service = Service::start(&brokers.bootstrap_servers(), &settings);
        service.metrics.clients_abandoned.inc_by(MOST_ABANDONED);
        assert_too_many(&service);
    }

    #[test]
    fn after_too_many_abandoned_clients_a_renewal_ends_the_program() {
        let brokers = MockCluster::new(1).unwrap();
        let service = Service::start(&brokers.bootstrap_servers(), &[]);
        service.metrics.clients_abandoned.inc_by(MOST_ABANDONED);
        let clients = &service.shared().clients;
        // The worker may not have started yet, and would then have the renewed credentials.
        let deadline = Instant::now() + Duration::from_mins(1);
        while !service.stop.requested() && Instant::now() < deadline {
            clients.renew(clients.credentials());
            service.stop.wait(Duration::from_millis(100));
        }
        assert_too_many(&service);
    }

    #[test]
    fn a_producer_without_transactions_that_failed_for_good_is_replaced() {
        let brokers = MockCluster::new(1).unwrap();
        let servers = brokers.bootstrap_servers();
        let service = Service::start(&servers, &[]).with_topics(&brokers);
        service.request(&servers, 0);
        service.wait_until(|| service.results(&servers, 0) == 1);
        let fine = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        brokers.request_errors(RDKafkaApiKey::Produce, &[fine, fatal]); // request, result
        service.request(&servers, 0);
        service.wait_until(|| service.results(&servers, 0) == 2);
        let restarts = "nik_stream_worker_restarts_total{cause=\"producer_failed\"} 1\n";
        assert!(service.metrics.render().contains(restarts));
        service.stop(Duration::from_secs(20));
    }

    fn assert_too_many(service: &Service) {
        let ended = service.ended();
        assert!(matches!(ended, Some(Err(Fault::Fatal(Cause::ClientsAbandoned)))), "{ended:?}");
    }
}
