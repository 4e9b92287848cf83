//! The section `admin`: where the admin page listens, and by which names it is asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::{At, Map};

use crate::section::{SectionReader, keys};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9403);
/// A machine has a name or two, and a proxy before it may add one.
const HOSTS_MAX: usize = 16;
/// DNS allows no longer name.
const HOST_CHARS_MAX: usize = 253;

/// Where the admin page listens, and by which names it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminConfig {
    /// Its address, or `None` if it is off.
    pub(crate) listen: Option<SocketAddr>,
    /// Names of hosts that a request may be for, in lower case. Addresses and `localhost` need no entry.
    pub(crate) hosts: Vec<String>,
}

impl Default for AdminConfig {
    fn default() -> AdminConfig {
        AdminConfig { listen: Some(LISTEN), hosts: Vec::new() }
    }
}

/// Reads the section.
pub(super) fn read(top: &Map<'_>, reader: &mut SectionReader<'_>) -> Result<AdminConfig, Diagnostic> {
    let Some(at) = top.get("admin") else {
        return Ok(AdminConfig::default());
    };
    let map = keys(&at, &["listen", "hosts"])?;
    let listen = map.get("listen").map_or(Ok(Some(LISTEN)), |at| listen(&at, reader))?;
    let hosts = map.get("hosts").map_or(Ok(Vec::new()), |at| hosts(&at))?;
    Ok(AdminConfig { listen, hosts })
}

fn listen(at: &At<'_>, reader: &mut SectionReader<'_>) -> Result<Option<SocketAddr>, Diagnostic> {
    let text = at.text()?;
    if text == "off" {
        return Ok(None);
    }
    let numeric = text.replacen("localhost:", "127.0.0.1:", 1);
    let listen: SocketAddr = numeric.parse().map_err(|_| {
        at.error(
            format!("`{text}` is not an address with a port"),
            "write an address and a port such as 127.0.0.1:9403, or off",
        )
    })?;
    if !listen.ip().is_loopback() {
        reader.warn(at.error(
            format!("the admin page listens on {listen}, so other machines can read it without a password"),
            format!("write 127.0.0.1:{}, or let only your monitoring reach the port", listen.port()),
        ));
    }
    Ok(Some(listen))
}

fn hosts(at: &At<'_>) -> Result<Vec<String>, Diagnostic> {
    let items = at.list_or_one()?;
    if items.len() > HOSTS_MAX {
        return Err(at.error(format!("more than {HOSTS_MAX} names"), "keep the names that clients use"));
    }
    items.iter().map(host).collect()
}

fn host(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=HOST_CHARS_MAX).contains(&name.len()) && name.chars().all(is_letter) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(at.error("not the name of a host", "write the name alone, without a port, such as stakeout.example"))
}
