//! SIGTERM and SIGINT, for commands that run until they are stopped, and SIGHUP for the service.

use std::sync::mpsc::{self, Receiver};
use std::{io, process, thread};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::SECOND_SIGNAL;
use crate::kafka::Stop;

/// Catches signals from here on: the first one requests the stop, the second one exits at once.
pub(super) fn stop() -> io::Result<Stop> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    // Not in the thread: a signal before it runs would end the process.
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let stop = Stop::default();
    let requested = stop.clone();
    let listen = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if requested.requested() {
                process::exit(SECOND_SIGNAL);
            }
            requested.request();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(stop)
}

/// Catches SIGHUP from here on: each one is a message.
pub(super) fn hangups() -> io::Result<Receiver<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let mut hangup = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let (send, receive) = mpsc::channel();
    let listen = async move { while hangup.recv().await.is_some() && send.send(()).is_ok() {} };
    thread::Builder::new().name("hangups".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(receive)
}
