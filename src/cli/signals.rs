//! SIGTERM and SIGINT, for the commands that work until they are told to stop.

use std::{io, process, thread};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::IMPATIENT;
use crate::kafka::Stop;

/// A stop that the first signal requests; the second ends the process at once. Signals are caught from here on.
pub(super) fn stop() -> io::Result<Stop> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    // Before the thread runs, or a signal in between would end the process.
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let stop = Stop::default();
    let asked = stop.clone();
    let listen = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked.requested() {
                process::exit(IMPATIENT);
            }
            asked.request();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(stop)
}
