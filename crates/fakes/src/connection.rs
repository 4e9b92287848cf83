//! Connections that reset on demand, before or inside an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::guarded::Guarded;

/// Accepts connections that can be cut.
pub(crate) struct CuttableListener(pub(crate) TcpListener);

impl Listener for CuttableListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        (Connection { stream, cutter: ConnectionCutter::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    cutter: ConnectionCutter,
}

/// Cuts its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionCutter(Arc<Guarded<CutPoint>>);

#[derive(Clone, Copy, Debug, Default)]
enum CutPoint {
    #[default]
    Never,
    AfterBytes(usize),
    AfterBodyBytes(usize),
}

impl ConnectionCutter {
    /// Resets the connection before another byte is written.
    pub(crate) fn cut_now(&self) {
        *self.0.lock() = CutPoint::AfterBytes(0);
    }

    /// Resets the connection after this many bytes of the next answer's body.
    pub(crate) fn cut_in_body(&self, body_bytes: usize) {
        *self.0.lock() = CutPoint::AfterBodyBytes(body_bytes);
    }

    /// Returns how many bytes may still be written, beginning with this piece.
    fn left(&self, piece: &[u8]) -> usize {
        match *self.0.lock() {
            CutPoint::Never => usize::MAX,
            CutPoint::AfterBytes(left) => left,
            CutPoint::AfterBodyBytes(body_bytes) => header_bytes(piece) + body_bytes,
        }
    }

    /// Subtracts what was written from what is left.
    fn wrote(&self, left: usize, written: usize) {
        let mut cut = self.0.lock();
        if !matches!(*cut, CutPoint::Never) {
            *cut = CutPoint::AfterBytes(left - written);
        }
    }
}

/// Returns the length of an answer's headers; hyper writes them in one piece.
fn header_bytes(piece: &[u8]) -> usize {
    piece.windows(4).position(|four| four == b"\r\n\r\n").map_or(piece.len(), |at| at + 4)
}

impl Connected<IncomingStream<'_, CuttableListener>> for ConnectionCutter {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cutter.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.cutter.left(piece);
        if left == 0 && !piece.is_empty() {
            // With no time to linger, closing the socket sends a reset instead of an orderly end.
            let _ = self.stream.set_zero_linger();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &piece[..left.min(piece.len())]))?;
        self.cutter.wrote(left, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
