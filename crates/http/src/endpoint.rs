//! An address that requests, credentials and findings may be sent to.
//!
//! An address is read strictly: text that two readers could understand differently is refused, because the client of an
//! SDK gets the text as it was written. No error repeats the address.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// Longest address. Browsers and proxies refuse longer ones too.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// The address of a service: https, or plain http on this machine (127.0.0.0/8, `::1`, `localhost`).
///
/// It contains no user name, password or fragment. `Debug` and `Display` show scheme, host and port only, because path
/// and query may be secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: String,
    url: Url,
}

/// Why an address is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}: {}", self.problem(), self.fix())]
pub enum EndpointError {
    /// The text is not a URL of the form `https://HOST`, or two readers could understand it differently.
    NotUrl,
    /// The address contains a user name or a password.
    UserInfo,
    /// The address ends in a fragment (`#...`).
    Fragment,
    /// The address contains a query (`?...`) where a base address is expected.
    Query,
    /// The address is plain http on another machine.
    PlainHttp,
}

impl Endpoint {
    /// Parses an address, which may have a path and a query.
    ///
    /// # Errors
    ///
    /// Where the address is not https, or plain http on this machine, or contains a part that is not allowed.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        if text.len() > ADDRESS_BYTES_MAX || !text.bytes().all(is_unambiguous) {
            return Err(EndpointError::NotUrl);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::NotUrl)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(EndpointError::Fragment);
        }
        if !is_as_written(text, &url) {
            return Err(EndpointError::NotUrl);
        }
        let endpoint = Endpoint { text: text.to_owned(), url };
        match endpoint.url.scheme() {
            "https" => Ok(endpoint),
            "http" if endpoint.is_loopback() => Ok(endpoint),
            "http" => Err(EndpointError::PlainHttp),
            _ => Err(EndpointError::NotUrl),
        }
    }

    /// Parses the base address of a service, which has no query.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::parse`], and where the address has a query.
    pub fn parse_base(text: &str) -> Result<Endpoint, EndpointError> {
        let endpoint = Endpoint::parse(text)?;
        if endpoint.url.query().is_some() { Err(EndpointError::Query) } else { Ok(endpoint) }
    }

    /// Returns the address as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the address as a URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns `HOST` or `HOST:PORT`; the scheme's own port is left out.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// Returns whether the address is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }

    /// Returns whether the address is plain http, and therefore on this machine.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.url.scheme() == "http"
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl EndpointError {
    /// Returns what is wrong.
    #[must_use]
    pub fn problem(self) -> &'static str {
        match self {
            EndpointError::NotUrl => "not a URL",
            EndpointError::UserInfo => "the URL contains a user name or a password",
            EndpointError::Fragment => "the URL contains a fragment (#)",
            EndpointError::Query => "the URL contains a query (?)",
            EndpointError::PlainHttp => "plain http to another machine",
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            EndpointError::NotUrl => "write https://HOST, or http://127.0.0.1:PORT for a service on this machine",
            EndpointError::UserInfo => "remove everything between :// and @",
            EndpointError::Fragment => "remove the # and everything after it",
            EndpointError::Query => "remove the ? and everything after it",
            EndpointError::PlainHttp => "write https://, or let the service listen on 127.0.0.1",
        }
    }
}

/// Returns whether every reader of URLs takes a byte for the same: visible ASCII without the signs that some repair.
fn is_unambiguous(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>')
}

/// Returns whether the URL has the host that the text shows. [`Url`] repairs a lot: `http:/x`, `http:///x`, `127.1` and
/// `local%68ost` all get a host that the text does not show. An empty port is the default one to some readers and an
/// error to others.
fn is_as_written(text: &str, url: &Url) -> bool {
    let Some((_, written)) = text.split_once("://") else {
        return false;
    };
    let after_host = match url.host() {
        // One address has several spellings, and all of them are in brackets.
        Some(Host::Ipv6(_)) => written.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(_, rest)| rest),
        Some(_) => {
            let host = url.host_str().unwrap_or_default();
            written
                .split_at_checked(host.len())
                .filter(|(head, _)| head.eq_ignore_ascii_case(host))
                .map(|(_, rest)| rest)
        }
        None => None,
    };
    after_host.is_some_and(|rest| match rest.strip_prefix(':') {
        Some(port) => port.starts_with(|c: char| c.is_ascii_digit()),
        None => rest.is_empty() || rest.starts_with(['/', '?']),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for text in [
            "https://logs.example",
            "https://10.0.0.1:8443/x?y=1",
            "HTTPS://Logs.Example/X",
            "http://127.0.0.1:4566",
            "http://127.8.9.1",
            "http://localhost:1",
            "http://LOCALHOST/",
            "http://[::1]/x",
            "http://[0:0:0:0:0:0:0:1]:80",
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.as_str(), text);
            assert_eq!(endpoint.is_plain_http(), text.starts_with("http://"), "{text}");
            assert_eq!(endpoint.is_loopback(), endpoint.is_plain_http(), "{text}");
        }
        for text in [
            "http://logs.example",
            "http://localhost.example",
            "http://localhost.",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::]",
            "http://[::ffff:127.0.0.1]",
            "http://example.com/?localhost",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::PlainHttp), "{text}");
        }
        assert!(Endpoint::parse("https://[::1]:4566").is_ok_and(|endpoint| endpoint.is_loopback()));
    }

    #[test]
    fn a_text_with_two_readings_is_not_a_url() {
        for text in [
            "",
            "hooks.slack.com/services/x",
            "127.0.0.1:4566",
            "localhost:80",
            "ftp://localhost",
            "data:x",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http:/localhost",
            "http:localhost",
            "http://:80",
            "http://localhost:",
            "http://localhost:/x",
            "http://localhost:99999",
            "http://evil.example\\@localhost",
            "http://local host",
            " http://localhost",
            "http://local\thost",
            "http://local%68ost",
            "http://127.1",
            "http://2130706433",
            "http://0x7f.0.0.1",
            "http://0177.0.0.1",
            "http://[::1]evil.example",
            "http://[localhost]",
            "http://@localhost",
            "http://ℓocalhost",
            "https://logs.example/<x>",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::NotUrl), "{text}");
        }
        let long = format!("https://logs.example/{}", "x".repeat(ADDRESS_BYTES_MAX));
        assert_eq!(Endpoint::parse(&long), Err(EndpointError::NotUrl));
    }

    #[test]
    fn user_names_fragments_and_queries_are_refused_by_name() {
        for (text, error) in [
            ("http://localhost:80@evil.example", EndpointError::UserInfo),
            ("http://localhost@evil.example/", EndpointError::UserInfo),
            ("https://:secret@logs.example", EndpointError::UserInfo),
            ("http://localhost#@evil.example", EndpointError::Fragment),
            ("https://logs.example/#", EndpointError::Fragment),
            ("https://logs.example/?", EndpointError::Query),
            ("http://localhost?x=1", EndpointError::Query),
        ] {
            assert_eq!(Endpoint::parse_base(text), Err(error), "{text}");
        }
        assert!(Endpoint::parse("https://siem.example?key=1").is_ok());
    }

    #[test]
    fn an_address_is_shown_without_path_and_query() {
        let endpoint = Endpoint::parse("https://Hooks.Slack.com:443/services/canary?token=canary").expect("a URL");
        assert_eq!(format!("{endpoint} {endpoint:?}"), "https://hooks.slack.com Endpoint(https://hooks.slack.com)");
        let endpoint = Endpoint::parse("http://[::1]:4566/canary").expect("a URL");
        assert_eq!((endpoint.to_string().as_str(), endpoint.authority()), ("http://[::1]:4566", "[::1]:4566"));
    }

    #[test]
    fn an_error_says_what_to_do() {
        assert_eq!(
            EndpointError::PlainHttp.to_string(),
            "plain http to another machine: write https://, or let the service listen on 127.0.0.1"
        );
    }
}
