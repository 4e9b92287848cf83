//! systemd's notification protocol, which container runtimes speak too, also over an abstract socket.

use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;
use tracing::warn;

/// Notifies the service manager, if there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = send(states) {
        warn!(%error, "cannot notify systemd");
    }
}

/// The library connects to sockets with a path only.
fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(socket) = abstract_socket() else {
        return sd_notify::notify(states);
    };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &socket?).map(drop)
}

/// Returns the address in `NOTIFY_SOCKET` if it is abstract: it begins with `@` then (sd_notify(3)).
fn abstract_socket() -> Option<io::Result<SocketAddr>> {
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    let name = name.as_encoded_bytes().strip_prefix(b"@")?;
    #[cfg(target_os = "linux")]
    return Some(SocketAddr::from_abstract_name(name));
    #[cfg(not(target_os = "linux"))]
    return Some(Err(io::Error::new(io::ErrorKind::Unsupported, format!("abstract sockets: {} bytes", name.len()))));
}
