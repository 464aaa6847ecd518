//! SIGTERM and SIGINT, for commands that run until they are stopped, and SIGHUP for the service.

use std::future::poll_fn;
use std::sync::mpsc::{self, Receiver};
use std::task::Poll;
use std::{io, process, thread};

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::SECOND_SIGNAL;
use crate::kafka::Stop;

/// Catches SIGTERM and SIGINT from here on: the first one requests the stop, the second one exits at
/// once.
pub(super) fn stop() -> io::Result<Stop> {
    let stop = Stop::default();
    let requested = stop.clone();
    let mut is_second = false;
    catch("signals", &[SignalKind::terminate(), SignalKind::interrupt()], move || {
        if is_second {
            process::exit(SECOND_SIGNAL);
        }
        is_second = true;
        requested.request();
    })?;
    Ok(stop)
}

/// Catches SIGHUP from here on: each one is a message.
pub(super) fn hangups() -> io::Result<Receiver<()>> {
    let (send, receive) = mpsc::channel();
    catch("hangups", &[SignalKind::hangup()], move || {
        let _ = send.send(()); // nobody listens once the reload thread has ended
    })?;
    Ok(receive)
}

/// Calls `handle` on a thread for each signal of these kinds, for as long as the process lives.
fn catch(
    thread: &str,
    kinds: &[SignalKind],
    mut handle: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    // Not in the thread: a signal before it runs would end the process.
    let signals = {
        let _inside = runtime.enter();
        kinds.iter().map(|kind| signal(*kind)).collect::<io::Result<Vec<_>>>()
    };
    let mut signals = signals?;
    let listen = async move {
        loop {
            poll_fn(|context| {
                let is_caught = signals.iter_mut().any(|it| it.poll_recv(context).is_ready());
                if is_caught { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            handle();
        }
    };
    let run = move || runtime.block_on(listen);
    thread::Builder::new().name(thread.to_owned()).spawn(run).map(drop)
}
