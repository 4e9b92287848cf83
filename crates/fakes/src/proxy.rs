//! An HTTP proxy as companies run them: it takes CONNECT, opens the TLS connection inside with a certificate of its own
//! authority, and passes what it reads on to a fake. The names of the clouds lead to fakes that way.
//! <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6>

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::guarded::Guarded;

/// Longest head of a request for a tunnel.
const HEAD_BYTES_MAX: usize = 8_192;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _open: watch::Sender<()>,
}

/// A request for a tunnel, or another that came to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What was asked for: `HOST:PORT` after CONNECT, otherwise method and address.
    pub target: String,
    /// The header `Proxy-Authorization`, if there was one.
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The address of the fake behind each host.
    hosts: Guarded<BTreeMap<String, String>>,
    authorization: Guarded<Option<String>>,
    tunnels: Guarded<Vec<Tunnel>>,
}

impl Proxy {
    /// Starts on a free port of the loopback address, with a chain of certificates and its key, both in PEM form.
    ///
    /// # Errors
    ///
    /// Where no port is free, or certificate and key do not belong together.
    pub async fn start(chain_pem: &str, key_pem: &str) -> io::Result<Self> {
        let acceptor = acceptor(chain_pem, key_pem).map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, mut closed) = watch::channel(());
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = closed.changed() => return,
                };
                let Ok((stream, _)) = stream else { continue };
                let (shared, acceptor, mut closed) = (Arc::clone(&accepting), acceptor.clone(), closed.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _ended = serve(stream, &shared, &acceptor) => {}
                        _ = closed.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, shared, _open: open })
    }

    /// Returns the address for `HTTPS_PROXY`, with `user_info` such as `NAME:PASSWORD@` or empty.
    pub fn url(&self, user_info: &str) -> String {
        format!("http://{user_info}{}", self.address)
    }

    /// Lets a host lead to the fake at `url`. All others answer with 502.
    pub fn route(&self, host: &str, url: &str) {
        let address = url.strip_prefix("http://").unwrap_or(url).to_owned();
        self.shared.hosts.lock().insert(host.to_owned(), address);
    }

    /// Accepts only requests with this `Proxy-Authorization`; `None` accepts all again.
    pub fn require_authorization(&self, header: Option<&str>) {
        *self.shared.authorization.lock() = header.map(str::to_owned);
    }

    /// Returns all requests so far, in order.
    pub fn tunnels(&self) -> Vec<Tunnel> {
        self.shared.tunnels.lock().clone()
    }
}

fn acceptor(chain_pem: &str, key_pem: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(mut stream: TcpStream, shared: &Shared, acceptor: &TlsAcceptor) -> io::Result<()> {
    let head = head(&mut stream).await?;
    let mut lines = head.lines();
    let request = lines.next().unwrap_or_default();
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
    };
    let authorization = lines.find_map(header);
    let target = request.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let tunnel = Tunnel { target: target.unwrap_or(request).to_owned(), authorization };
    let is_authorized = shared.authorization.lock().as_ref().is_none_or(|it| tunnel.authorization.as_ref() == Some(it));
    shared.tunnels.lock().push(tunnel);
    let host = target.and_then(|target| target.rsplit_once(':')).map(|(host, _)| host);
    let address = host.and_then(|host| shared.hosts.lock().get(host).cloned());
    let refusal = match (is_authorized, target, &address) {
        (false, ..) => Some("407 Proxy Authentication Required"),
        (true, None, _) => Some("405 Method Not Allowed"),
        (true, Some(_), None) => Some("502 Bad Gateway"),
        (true, Some(_), Some(_)) => None,
    };
    if let Some(status) = refusal {
        return stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut inside = acceptor.accept(stream).await?;
    let mut service = TcpStream::connect(address.unwrap_or_default()).await?;
    copy_bidirectional(&mut inside, &mut service).await.map(|_| ())
}

/// Reads a request up to the empty line, and nothing behind it: that belongs to the tunnel.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
