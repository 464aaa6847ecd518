//! Exchanges settings and region data while the program runs: on SIGHUP, and when the manifest of the
//! region data changes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use std::{fs, io, thread};

use super::{judge, regions_info};
use crate::config::{Loaded, Problems};
use crate::http::status::Status;
use crate::kafka::SharedBreaker;
use crate::pipeline::judge::JudgeInForce;
use crate::regions::{Manifest, Release, ReleaseError};
use crate::telemetry::logging;
use crate::telemetry::metrics::{Metrics, Outcome, Reloaded};

/// How often the manifest of the region data is read. A change must count within 5 s.
const MANIFEST_INTERVAL: Duration = Duration::from_secs(2);

/// What is in force, and where it is used.
#[derive(Clone)]
pub(crate) struct Reloader {
    pub(super) loaded: Loaded,
    pub(super) judge: Arc<JudgeInForce>,
    pub(super) breaker: Arc<SharedBreaker>,
    pub(super) status: Arc<Status>,
    pub(super) metrics: Arc<Metrics>,
}

/// The folder of the region data as it was read last.
struct LastRead {
    /// The bytes of the manifest.
    manifest: Vec<u8>,
    /// Why the release was refused; `None` if it was not.
    refused: Option<String>,
}

/// Reads the settings again, with the region data that is in force.
pub(crate) type LoadAgain = Box<dyn Fn(&Arc<Release>) -> Result<Loaded, Problems> + Send>;

impl Reloader {
    /// Runs for as long as the process lives. Each message of `hangups` is a SIGHUP.
    pub(crate) fn start(mut self, hangups: Receiver<()>, load: LoadAgain) -> io::Result<()> {
        let run = move || {
            let mut last = self.first_read();
            loop {
                match hangups.recv_timeout(MANIFEST_INTERVAL) {
                    Ok(()) => {
                        self.take_settings(load(&self.loaded.release));
                        self.take_regions(&mut last, true);
                    }
                    Err(RecvTimeoutError::Timeout) => self.take_regions(&mut last, false),
                    Err(RecvTimeoutError::Disconnected) => break, // the process ends
                }
            }
        };
        thread::Builder::new().name("reload".to_owned()).spawn(run).map(drop)
    }

    /// The manifest of the release in force, unless it changed while the program started.
    fn first_read(&self) -> LastRead {
        let bytes = self.manifest();
        let manifest: Option<Manifest> = serde_json::from_slice(&bytes).ok();
        let in_force = manifest.as_ref() == Some(&self.loaded.release.manifest);
        LastRead { manifest: if in_force { bytes } else { Vec::new() }, refused: None }
    }

    fn take_settings(&mut self, loaded: Result<Loaded, Problems>) {
        let new = match loaded {
            Ok(loaded) => loaded,
            Err(Problems(problems)) => {
                for problem in problems {
                    tracing::error!(%problem, "the settings are refused; those in force stay");
                }
                return self.metrics.reloads.count(Reloaded::Settings, Outcome::Refused);
            }
        };
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        let changes = self.loaded.changes(new);
        for setting in &changes.fixed {
            tracing::warn!(
                setting,
                "this setting cannot change while the program runs: restart the program"
            );
        }
        if !changes.fixed.is_empty() {
            self.metrics.reloads.count(Reloaded::Settings, Outcome::Refused);
            if changes.taken.is_empty() {
                return;
            }
        }
        let done = self.put_in_force(changes.loaded);
        match &done {
            Ok(()) => tracing::info!(changed = changes.taken.join(", "), "settings taken"),
            Err(error) => tracing::error!(%error, "the settings are refused"),
        }
        self.metrics.reloads.count(Reloaded::Settings, outcome(done.is_ok()));
    }

    /// Takes the region data of the folder if its manifest has changed or the operator asks. A
    /// release that was refused is read again each time, because its files may still arrive.
    fn take_regions(&mut self, last: &mut LastRead, asked: bool) {
        let Some(folder) = self.loaded.settings.regions.folder() else {
            return;
        };
        let manifest = self.manifest();
        let is_new = asked || manifest != last.manifest;
        if !is_new && last.refused.is_none() {
            return;
        }
        let read = Release::read(folder).and_then(|release| {
            release.check_successor_of(&self.loaded.release)?;
            Ok(release)
        });
        if self.manifest() != manifest {
            return; // it is being written: the next read decides
        }
        last.manifest = manifest;
        let done = read.and_then(|release| {
            let Manifest { release: name, sha256, .. } = release.manifest.clone();
            let mut loaded = self.loaded.clone();
            loaded.release = Arc::new(release);
            self.put_in_force(loaded)?;
            tracing::info!(release = name, sha256, "region data taken");
            Ok(())
        });
        let refused = done.err().map(|error| error.to_string());
        if is_new || refused != last.refused {
            if let Some(error) = &refused {
                tracing::error!(error, "the region data is refused; that in force stays");
            }
            self.metrics.reloads.count(Reloaded::Regions, outcome(refused.is_none()));
        }
        last.refused = refused;
    }

    /// The bytes of the manifest in the folder; empty without one.
    fn manifest(&self) -> Vec<u8> {
        let folder = self.loaded.settings.regions.folder();
        folder.and_then(|folder| fs::read(folder.join("manifest.json")).ok()).unwrap_or_default()
    }

    fn put_in_force(&mut self, loaded: Loaded) -> Result<(), ReleaseError> {
        let regions = loaded.release.regions(loaded.settings.rules.retired_codes)?;
        self.metrics.set_regions(&regions_info(&loaded.release, &regions));
        self.judge.replace(judge(&loaded.settings, &loaded.release, regions));
        self.breaker.set_policy(loaded.settings.delivery.breaker());
        if let Err(error) = logging::set_level(&loaded.settings.log.level) {
            tracing::error!(%error, "the log keeps its level");
        }
        self.status.reloaded(&loaded.release.manifest.release, loaded.show());
        self.loaded = loaded;
        Ok(())
    }
}

fn outcome(taken: bool) -> Outcome {
    if taken { Outcome::Taken } else { Outcome::Refused }
}
