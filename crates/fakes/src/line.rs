//! Connections that can be cut: the listener hands out TCP streams which reset on demand, before or inside an answer.

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
pub(crate) struct Lines(pub(crate) TcpListener);

impl Listener for Lines {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Small answers must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        (Line { stream, scissors: Scissors::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// One connection.
pub(crate) struct Line {
    stream: TcpStream,
    scissors: Scissors,
}

/// Cuts the connection that it came with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scissors(Arc<Guarded<Cut>>);

#[derive(Clone, Copy, Debug, Default)]
enum Cut {
    #[default]
    Never,
    AfterBytes(usize),
    AfterBodyBytes(usize),
}

impl Scissors {
    /// Resets the connection before another byte is written.
    pub(crate) fn cut_now(&self) {
        *self.0.lock() = Cut::AfterBytes(0);
    }

    /// Resets the connection when so many bytes of the next answer's body are written.
    pub(crate) fn cut_in_body(&self, body_bytes: usize) {
        *self.0.lock() = Cut::AfterBodyBytes(body_bytes);
    }

    /// Says how many bytes may still be written, beginning with this piece.
    fn left(&self, piece: &[u8]) -> usize {
        match *self.0.lock() {
            Cut::Never => usize::MAX,
            Cut::AfterBytes(left) => left,
            Cut::AfterBodyBytes(body_bytes) => head_bytes(piece) + body_bytes,
        }
    }

    /// Takes what was written off what is left.
    fn wrote(&self, left: usize, written: usize) {
        let mut cut = self.0.lock();
        if !matches!(*cut, Cut::Never) {
            *cut = Cut::AfterBytes(left - written);
        }
    }
}

/// The length of an answer's head; hyper writes it in one piece.
fn head_bytes(piece: &[u8]) -> usize {
    piece.windows(4).position(|four| four == b"\r\n\r\n").map_or(piece.len(), |at| at + 4)
}

impl Connected<IncomingStream<'_, Lines>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().scissors.clone()
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let left = self.scissors.left(piece);
        if left == 0 && !piece.is_empty() {
            // With no time to linger, closing the socket sends a reset instead of an orderly end.
            let _ = self.stream.set_zero_linger();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &piece[..left.min(piece.len())]))?;
        self.scissors.wrote(left, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
