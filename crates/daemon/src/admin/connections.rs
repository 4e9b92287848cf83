//! The connections of the admin page: few, short, and one request each.
//!
//! They share the process's open files with the log files, the state and the clouds. Without limits, idle connections
//! would leave no file for these. What the page answers is in `admin`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::{clock, metric};

/// Most open connections. A monitoring system, two probes and a person need four; a process may often have only 1,024 open
/// files. One more connection closes the oldest, so idle connections cannot lock out a client that asks at once.
const CONNECTIONS_MAX: usize = 64;
/// Longest life of a connection without a request. A scrape of Prometheus takes at most this long by default.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest life of a connection after that, if it has a request: a search decodes up to 128 MiB of archived findings, which
/// takes more than ten seconds on a slow machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A listener whose connections are limited in number and time.
pub(super) struct LimitedListener {
    listener: TcpListener,
    /// One sender for each open connection, oldest first. The connection ends when its sender is dropped.
    open: VecDeque<oneshot::Sender<Infallible>>,
}

/// Whether a connection has a whole request, which is being answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answering(Arc<AtomicBool>);

/// A connection with an end.
pub(super) struct LimitedStream {
    stream: TcpStream,
    answering: Answering,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl LimitedListener {
    pub(super) fn new(listener: TcpListener) -> LimitedListener {
        LimitedListener { listener, open: VecDeque::with_capacity(CONNECTIONS_MAX) }
    }

    /// Limits the life of a connection, and closes the oldest if too many are open.
    fn admit(&mut self, stream: TcpStream) -> LimitedStream {
        self.open.retain(|connection| !connection.is_closed());
        if self.open.len() >= CONNECTIONS_MAX {
            self.open.pop_front();
            metric::admin_connection_closed();
        }
        let (sender, closed) = oneshot::channel();
        self.open.push_back(sender);
        let answering = Answering::default();
        let time = answering.clone().time();
        let end = async move {
            tokio::select! {
                _ = closed => {}
                () = time => metric::admin_connection_closed(),
            }
        };
        LimitedStream { stream, answering, end: Box::pin(end) }
    }
}

impl Answering {
    /// Notes that the connection has a whole request.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Waits until the time of the connection is over.
    async fn time(self) {
        clock::sleep(REQUEST_TIME_MAX).await;
        if self.0.load(Ordering::Relaxed) {
            clock::sleep(ANSWER_TIME_MAX).await;
        }
    }
}

impl Connected<IncomingStream<'_, LimitedListener>> for Answering {
    fn connect_info(stream: IncomingStream<'_, LimitedListener>) -> Answering {
        stream.io().answering.clone()
    }
}

impl Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        // The listener of axum handles errors of `accept`: it waits, and tries again.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (self.admit(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl LimitedStream {
    /// Returns an error if the connection must end. Else the task wakes up when it must.
    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => {
                // A future must not be polled again after its end.
                self.end = Box::pin(std::future::ready(()));
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
