//! Where a URL of the config leads. Read strictly: whatever could be understood in two ways is refused, because
//! plain http and Slack's host are decided here, before a client with its own understanding gets the text.

use std::net::{IpAddr, Ipv6Addr};

use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;

const URL_BYTES_MAX: usize = 2_048;

/// Returns the base URL at `at` that takes the place of a provider's own: https, or plain http on this machine.
pub(crate) fn endpoint(at: &At<'_>) -> Result<String, Diagnostic> {
    let text = at.text()?;
    let url = Url::parse(text).filter(|url| !url.has_query).ok_or_else(|| {
        at.fault(
            "not the URL of an endpoint",
            "write https://HOST, or http://127.0.0.1:PORT for a fake on this machine",
        )
    })?;
    if !url.is_private_on_the_way() {
        return Err(at.fault("plain http to another machine", "write https://, or let the fake listen on 127.0.0.1"));
    }
    Ok(text.to_owned())
}

/// The parts of a URL that are decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// Whether it is https; otherwise it is http.
    pub(crate) is_https: bool,
    /// The host, without the brackets of an IPv6 address.
    pub(crate) host: &'a str,
    /// The port, where one is written.
    pub(crate) port: Option<u16>,
    /// The path with its leading slash, or nothing.
    pub(crate) path: &'a str,
    /// Whether a query follows.
    pub(crate) has_query: bool,
}

impl<'a> Url<'a> {
    /// Reads `scheme://host[:port][/path][?query]`: visible ASCII, no user, no fragment, no backslash.
    pub(crate) fn parse(text: &'a str) -> Option<Url<'a>> {
        let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#' | b'"' | b'<' | b'>');
        if text.len() > URL_BYTES_MAX || !text.bytes().all(is_plain) {
            return None;
        }
        let (is_https, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let (host, port) = host_and_port(authority)?;
        let (path, has_query) = match rest.split_once('?') {
            Some((path, _)) => (path, true),
            None => (rest, false),
        };
        Some(Url { is_https, host, port, path, has_query })
    }

    /// Tells whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Tells whether nobody on the way can read along: https, or no way at all.
    pub(crate) fn is_private_on_the_way(&self) -> bool {
        self.is_https || self.is_loopback()
    }
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = authority.starts_with('[') || host.chars().all(is_name);
    let port = match port {
        Some(port) if port.chars().all(|c| c.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    (is_host && !host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_url() {
        assert_eq!(
            Url::parse("https://hooks.slack.com:443/services/T0/B0/x?y=1"),
            Some(Url {
                is_https: true,
                host: "hooks.slack.com",
                port: Some(443),
                path: "/services/T0/B0/x",
                has_query: true,
            })
        );
        let local = Url::parse("http://[::1]:4566").expect("a URL");
        assert!(local.is_loopback() && local.path.is_empty());
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for (text, is_allowed) in [
            ("http://127.0.0.1:4566", true),
            ("http://127.8.9.1", true),
            ("http://localhost:1", true),
            ("http://[::1]/x", true),
            ("https://logs.example", true),
            ("http://logs.example", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
            ("http://10.0.0.1", false),
            ("http://0.0.0.0", false),
            ("http://127.1", false),
            ("http://[::]", false),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!(url.is_private_on_the_way(), is_allowed, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_url() {
        for text in [
            "",
            "hooks.slack.com/services/x",
            "ftp://localhost",
            "http://",
            "http:///x",
            "http://:80",
            "http://localhost:",
            "http://localhost:99999",
            "http://localhost:80@evil.example",
            "http://localhost@evil.example/",
            "http://evil.example\\@localhost",
            "http://localhost#@evil.example",
            "http://local host",
            "http://local%68ost",
            "http://[::1]evil.example",
            "http://[localhost]",
            "http://ℓocalhost",
        ] {
            // An empty port is the default one to some readers and an error to others.
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }
}
