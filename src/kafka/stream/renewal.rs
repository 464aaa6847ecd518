//! Renewed certificates, keys and passwords: a thread reads the files of `kafka.security` again and
//! again. The workers replace their clients one after the other, each between two epochs, so that
//! credentials which the brokers refuse stop only the first of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::shared::Shared;
use super::shutdown::Stop;
use crate::kafka::security::credentials::{Credentials, Unusable};
use crate::telemetry::metrics::{Outcome, Reloaded};

/// How often the files are read. New contents count once two looks in a row agree, since another
/// program may still be writing.
const INTERVAL: Duration = Duration::from_secs(2);

/// Whose turn it is to replace its clients.
#[derive(Debug)]
pub struct Turn(AtomicUsize);

const NONE: usize = usize::MAX;

impl Default for Turn {
    fn default() -> Self {
        Self(AtomicUsize::new(NONE))
    }
}

impl Turn {
    /// Takes the turn for this worker unless another has it; returns whether it is this worker's.
    pub fn take(&self, worker: usize) -> bool {
        let turn = self.0.compare_exchange(NONE, worker, Ordering::SeqCst, Ordering::SeqCst);
        turn.is_ok() || turn == Err(worker)
    }

    /// Ends the turn of this worker, whose new clients work; `false` if it was not its turn.
    pub fn done(&self, worker: usize) -> bool {
        self.0.compare_exchange(worker, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Reads the files until `stop`.
pub fn watch_files(shared: &Shared, stop: &Stop) {
    let security = shared.clients.security();
    let mut current = shared.clients.credentials();
    let mut seen = Ok(current.clone());
    let mut handled = true;
    while !stop.requested() {
        stop.wait(INTERVAL);
        let found = Credentials::read(security);
        if found != seen {
            (seen, handled) = (found, false);
        } else if !handled {
            handled = true;
            if let Some(new) = adopt(shared, &current, found) {
                publish_expiries(shared, &new);
                current = new;
            }
        }
    }
}

/// Publishes when the certificates expire.
pub fn publish_expiries(shared: &Shared, credentials: &Credentials) {
    for (file, expiry) in credentials.expiries(shared.clients.security()) {
        shared.telemetry.metrics.reloads.set_expiry(&file.to_string_lossy(), expiry);
    }
}

/// Makes changed contents known to all future clients if they can be used; returns them.
fn adopt(
    shared: &Shared,
    current: &Credentials,
    found: Result<Credentials, Unusable>,
) -> Option<Credentials> {
    let reloads = &shared.telemetry.metrics.reloads;
    let checked = found.and_then(|new| new.check(shared.clients.security()).map(|()| new));
    match checked {
        Ok(new) => {
            let what = current.differences(&new);
            if what.is_empty() {
                return None;
            }
            for what in &what {
                reloads.count(*what, Outcome::Taken);
            }
            let what: Vec<_> = what.into_iter().map(Reloaded::label).collect();
            tracing::info!(?what, "files of kafka.security changed: the clients are replaced");
            shared.clients.renew(new.clone());
            Some(new)
        }
        Err(reason) => {
            reloads.count(reason.what(), Outcome::Refused);
            tracing::error!(%reason, "files of kafka.security changed and cannot be used: the old contents stay in use");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_has_the_turn_until_its_new_clients_work() {
        let turn = Turn::default();
        assert!(turn.take(1) && turn.take(1) && !turn.take(0));
        assert!(!turn.done(0) && !turn.take(0));
        assert!(turn.done(1) && turn.take(0) && !turn.take(1));
    }
}
