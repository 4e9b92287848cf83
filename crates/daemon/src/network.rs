//! Networks, as the config and the command line name them.

use ipnet::IpNet;
use stakeout_core::address;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::yaml::At;

/// Most networks in a list of trusted proxies.
const TRUSTED_PROXIES_MAX: usize = 1024;

/// Why a text is not a network, or not one of trusted proxies, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    /// What is wrong.
    pub(crate) problem: String,
    /// How to fix it.
    pub(crate) fix: &'static str,
}

impl NetworkError {
    fn of(text: &str, problem: &str, fix: &'static str) -> NetworkError {
        NetworkError { problem: format!("`{text}` {problem}"), fix }
    }

    fn into_line(self) -> String {
        format!("{} ({})", self.problem, self.fix)
    }
}

/// Parses a network (`10.0.0.0/8`) or a single address. An IPv4 network written as IPv6 is an error, because it would never
/// match the canonical address of a request.
pub(crate) fn parse(text: &str) -> Result<IpNet, NetworkError> {
    let network = match address::parse(text) {
        Some(address) => Some(IpNet::from(address)),
        None => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    };
    match network {
        None => Err(NetworkError::of(
            text,
            "is neither a network nor an address",
            "write a network such as 10.0.0.0/16, or an address such as 10.0.0.50",
        )),
        Some(IpNet::V6(network)) if network.network().to_ipv4_mapped().is_some() => {
            Err(NetworkError::of(text, "is an IPv4 network written as IPv6", "write it as IPv4, such as 10.0.0.0/16"))
        }
        Some(network) => Ok(network),
    }
}

/// Parses a network of trusted proxies. That of all addresses is an error, because then a client could claim any source.
pub(crate) fn parse_trusted(text: &str) -> Result<IpNet, NetworkError> {
    match parse(text)? {
        network if network.prefix_len() == 0 => Err(NetworkError::of(
            text,
            "trusts every address, so a client could claim any source",
            "name only the networks of your own load balancers and proxies",
        )),
        network => Ok(network),
    }
}

/// Reads a list of trusted proxies from the config. It may be empty.
pub(crate) fn trusted_list(at: &At<'_>) -> Result<Vec<IpNet>, Diagnostic> {
    let items = at.list_or_one()?;
    if items.len() > TRUSTED_PROXIES_MAX {
        return Err(at.error(
            format!("more than {TRUSTED_PROXIES_MAX} networks"),
            "merge neighbouring networks into larger ones",
        ));
    }
    let read = |at: &At<'_>| parse_trusted(at.text()?).map_err(|error| at.error(error.problem, error.fix));
    items.iter().map(read).collect()
}

/// Parses a network as [`parse`] does. The error is one line for the command line.
pub(crate) fn parse_argument(text: &str) -> Result<IpNet, String> {
    parse(text).map_err(NetworkError::into_line)
}

/// Parses a network as [`parse_trusted`] does. The error is one line for the command line.
pub(crate) fn parse_trusted_argument(text: &str) -> Result<IpNet, String> {
    parse_trusted(text).map_err(NetworkError::into_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_network_and_the_whole_internet_is_none() {
        assert_eq!(parse("10.0.0.50").map(|network| network.to_string()).as_deref(), Ok("10.0.0.50/32"));
        assert_eq!(parse("10.1.2.3/8").map(|network| network.to_string()).as_deref(), Ok("10.0.0.0/8"));
        for text in ["0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "balancer", "10.0.0.0/33"] {
            assert!(parse_trusted_argument(text).is_err(), "{text}");
        }
        assert!(parse_argument("0.0.0.0/0").is_ok() && parse_argument("balancer").is_err());
    }
}
