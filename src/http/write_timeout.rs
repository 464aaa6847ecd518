//! A connection that gives its peer only so long to take what is written: neither axum nor hyper has a limit for that.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a peer may take to send a request, its head and its body each, or to take an answer; and how long a connection may stay idle.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Patient {
    stream: TcpStream,
    /// When what is on its way must be taken in full, if it was not at once. A peer that takes a little now and then moves it nowhere.
    due: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, due: None }
    }

    /// `taken` of the bytes offered, unless the rest is overdue.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        taken: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let is_rest = match &taken {
            Poll::Ready(Ok(taken)) => *taken < offered,
            Poll::Ready(Err(_)) => false,
            Poll::Pending => true,
        };
        if !is_rest {
            self.due = None;
            return taken;
        }
        let due = self.due.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        if taken.is_pending() {
            ready!(due.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        taken
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, bytes.len(), taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(context, pieces.iter().map(|it| it.len()).sum(), taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
