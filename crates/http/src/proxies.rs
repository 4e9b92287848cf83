//! Which way a request goes: through a proxy of the environment, or directly. There is no second rule anywhere.
//!
//! The variables are those of curl and of the clouds' own tools: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`,
//! also in lower case. This machine and the metadata services of the clouds are never asked through a proxy: they give out
//! credentials, and a proxy would reach its own.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

/// Names of metadata services. Their addresses are link-local, except for those of AWS in IPv6.
/// <https://cloud.google.com/compute/docs/metadata/querying-metadata>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>
const METADATA_NAMES: [&str; 4] = ["metadata.google.internal", "metadata.goog", "metadata", "instance-data"];
/// The networks of metadata services and of the agents that give credentials to pods and tasks.
/// <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>
const METADATA_NETWORKS: [&str; 3] = ["169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"];

/// The proxies of the environment, and the hosts that are asked without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// A proxy. `Debug` and `Display` show host and port, never the user name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    variable: String,
}

/// The way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// Through this proxy.
    Proxy(&'a Proxy),
    /// Directly.
    Direct(DirectReason),
}

/// Why a request goes directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectReason {
    /// No variable names a proxy for the scheme.
    NoProxyNamed,
    /// The host is this machine.
    ThisMachine,
    /// The host is a metadata service.
    MetadataService,
    /// `NO_PROXY` contains the host.
    Exception,
}

/// A variable does not name a usable proxy. The text never repeats the value, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{variable}: {problem} ({fix})")]
pub struct ProxyError {
    /// The variable.
    pub variable: String,
    /// What is wrong.
    pub problem: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// An entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: ExceptionHosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExceptionHosts {
    All,
    Network(IpNet),
    /// A name and everything below it, in lower case.
    Domain(String),
}

impl Proxies {
    /// Reads the variables, which `variable` looks up. The name in capitals comes first, and an empty value counts as none.
    ///
    /// # Errors
    ///
    /// Where a variable does not name a proxy that is spoken to over http or https.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Proxies, ProxyError> {
        let first = |names: &[&str]| {
            let spellings = names.iter().flat_map(|name| [(*name).to_owned(), name.to_ascii_lowercase()]);
            spellings.into_iter().find_map(|name| {
                let value = variable(&name)?;
                (!value.trim().is_empty()).then(|| (name, value.trim().to_owned()))
            })
        };
        let proxy = |names: &[&str]| first(names).map(|(name, value)| Proxy::parse(name, &value)).transpose();
        let exceptions = first(&["NO_PROXY"]).map(|(_, value)| exceptions(&value)).unwrap_or_default();
        Ok(Proxies {
            https: proxy(&["HTTPS_PROXY", "ALL_PROXY"])?,
            http: proxy(&["HTTP_PROXY", "ALL_PROXY"])?,
            exceptions,
        })
    }

    /// Returns the way of a request to `url`.
    #[must_use]
    pub fn route(&self, url: &Url) -> Route<'_> {
        let Some(host) = url.host() else {
            return Route::Direct(DirectReason::NoProxyNamed);
        };
        if is_this_machine(&host) {
            return Route::Direct(DirectReason::ThisMachine);
        }
        if is_metadata_service(&host) {
            return Route::Direct(DirectReason::MetadataService);
        }
        let proxy = match url.scheme() {
            "https" => &self.https,
            "http" => &self.http,
            _ => &None,
        };
        match proxy {
            None => Route::Direct(DirectReason::NoProxyNamed),
            Some(_) if self.exceptions.iter().any(|it| it.contains(&host, url.port_or_known_default())) => {
                Route::Direct(DirectReason::Exception)
            }
            Some(proxy) => Route::Proxy(proxy),
        }
    }

    /// Returns whether there is a proxy at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.https.is_none() && self.http.is_none()
    }
}

impl Proxy {
    fn parse(variable: String, text: &str) -> Result<Proxy, ProxyError> {
        let error = |problem, fix| ProxyError { variable: variable.clone(), problem, fix };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let not_url = error("not the address of a proxy", "write http://HOST:PORT, or unset it");
        let url = Url::parse(&with_scheme).map_err(|_| not_url.clone())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(error("this kind of proxy is not supported", "name an HTTP proxy: http://HOST:PORT"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(not_url);
        }
        Ok(Proxy { url, variable })
    }

    /// Returns the address with the user name and password.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port_or_known_default() {
            Some(port) => write!(f, "{}://{host}:{port} ({})", self.url.scheme(), self.variable),
            None => write!(f, "{}://{host} ({})", self.url.scheme(), self.variable),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Proxy(proxy) => write!(f, "through the proxy {proxy}"),
            Route::Direct(DirectReason::NoProxyNamed) => f.write_str("directly: no proxy is set"),
            Route::Direct(DirectReason::ThisMachine) => f.write_str("directly: it is on this machine"),
            Route::Direct(DirectReason::MetadataService) => f.write_str("directly: it is a metadata service"),
            Route::Direct(DirectReason::Exception) => f.write_str("directly: NO_PROXY contains it"),
        }
    }
}

impl Exception {
    fn parse(entry: &str) -> Exception {
        if let Some(network) = network(entry) {
            return Exception { hosts: ExceptionHosts::Network(network), port: None };
        }
        // An address of IPv6 has colons of its own; with a port it is in brackets.
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (entry, None),
            },
            None => (entry, None),
        };
        let hosts = match network(host) {
            Some(network) => ExceptionHosts::Network(network),
            None if host == "*" => ExceptionHosts::All,
            None => {
                let domain = host.strip_prefix('*').unwrap_or(host);
                ExceptionHosts::Domain(domain.trim_matches('.').to_ascii_lowercase())
            }
        };
        Exception { hosts, port }
    }

    fn contains(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let is_port = self.port.is_none() || self.port == port;
        is_port
            && match &self.hosts {
                ExceptionHosts::All => true,
                ExceptionHosts::Network(network) => address(host).is_some_and(|address| network.contains(&address)),
                ExceptionHosts::Domain(domain) => match host {
                    Host::Domain(name) => {
                        let name = name.trim_end_matches('.');
                        name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                    }
                    Host::Ipv4(_) | Host::Ipv6(_) => false,
                },
            }
    }
}

fn exceptions(list: &str) -> Vec<Exception> {
    let entries =
        list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.trim_matches('.').is_empty());
    entries.map(Exception::parse).collect()
}

/// Returns a network, or an address as the network of itself.
fn network(text: &str) -> Option<IpNet> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    address.or_else(|| bare.parse::<IpNet>().ok())
}

fn address(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
        Host::Domain(_) => None,
    }
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(_) | Host::Ipv6(_) => address(host).is_some_and(|address| address.is_loopback()),
    }
}

fn is_metadata_service(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => METADATA_NAMES.contains(&name.trim_end_matches('.')),
        Host::Ipv4(_) | Host::Ipv6(_) => {
            let networks = METADATA_NETWORKS.iter().filter_map(|network| network.parse::<IpNet>().ok());
            let address = address(host);
            networks.into_iter().any(|network| address.is_some_and(|address| network.contains(&address)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        let value = |name: &str| variables.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned());
        Proxies::read(value)
    }

    fn way(proxies: &Proxies, url: &str) -> String {
        proxies.route(&Url::parse(url).expect("a URL")).to_string()
    }

    #[test]
    fn a_scheme_has_its_proxy_and_capitals_come_first() {
        let proxies = read(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "b:2"), ("http_proxy", "c:3")]);
        let proxies = proxies.expect("proxies");
        assert_eq!(way(&proxies, "https://logs.example"), "through the proxy http://a:1 (HTTPS_PROXY)");
        assert_eq!(way(&proxies, "http://logs.example"), "through the proxy http://c:3 (http_proxy)");
        let all = read(&[("HTTPS_PROXY", ""), ("all_proxy", "https://d")]).expect("a proxy");
        assert_eq!(way(&all, "https://logs.example"), "through the proxy https://d:443 (all_proxy)");
        assert_eq!(way(&Proxies::default(), "https://logs.example"), "directly: no proxy is set");
    }

    #[test]
    fn this_machine_and_metadata_services_are_never_asked_through_a_proxy() {
        let proxies = read(&[("ALL_PROXY", "http://proxy:3128")]).expect("a proxy");
        for url in [
            "http://127.0.0.1:1",
            "http://localhost",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "http://a.localhost",
        ] {
            assert_eq!(way(&proxies, url), "directly: it is on this machine", "{url}");
        }
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://metadata.google.internal/computeMetadata/v1",
            "http://metadata/computeMetadata/v1",
        ] {
            assert_eq!(way(&proxies, url), "directly: it is a metadata service", "{url}");
        }
        assert!(way(&proxies, "http://metadata.google.internal.example").starts_with("through the proxy"));
    }

    #[test]
    fn exceptions_are_networks_suffixes_and_ports() {
        let list =
            "10.0.0.0/8, 192.0.2.7 [2001:db8::1]:8443 2001:db8:1::/48,.corp.example,*.Internal,api.example:8443,";
        let proxies = read(&[("https_proxy", "proxy:3128"), ("NO_PROXY", list)]).expect("a proxy");
        for url in [
            "https://10.1.2.3",
            "https://[::ffff:10.1.2.3]",
            "https://192.0.2.7:9",
            "https://[2001:db8::1]:8443",
            "https://[2001:db8:1::7]",
            "https://corp.example",
            "https://logs.CORP.example",
            "https://vault.internal.",
            "https://api.example:8443",
        ] {
            assert_eq!(way(&proxies, url), "directly: NO_PROXY contains it", "{url}");
        }
        for url in [
            "https://11.0.0.1",
            "https://192.0.2.8",
            "https://[2001:db8::1]",
            "https://notcorp.example",
            "https://api.example",
            "https://internal.example",
        ] {
            assert!(way(&proxies, url).starts_with("through the proxy"), "{url}");
        }
        let none = read(&[("HTTPS_PROXY", "proxy:1"), ("no_proxy", "*")]).expect("a proxy");
        assert_eq!(way(&none, "https://logs.example"), "directly: NO_PROXY contains it");
    }

    #[test]
    fn an_unusable_proxy_is_an_error_without_its_password() {
        for (value, problem) in [
            ("socks5://user:canary@proxy:1080", "this kind of proxy is not supported"),
            ("http://", "not the address of a proxy"),
            ("http://user:canary@", "not the address of a proxy"),
            ("http://proxy:port", "not the address of a proxy"),
        ] {
            let error = read(&[("HTTPS_PROXY", value)]).expect_err(value);
            assert!(error.to_string().starts_with(&format!("HTTPS_PROXY: {problem} (")), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
        let proxies = read(&[("HTTPS_PROXY", "http://user:canary@proxy:3128")]).expect("a proxy");
        let shown = format!("{proxies:?} {}", way(&proxies, "https://logs.example"));
        assert!(shown.contains("proxy:3128") && !shown.contains("canary"), "{shown}");
    }
}
