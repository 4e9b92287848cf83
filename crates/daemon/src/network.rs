//! Networks of trusted proxies, as the config and the command line name them.

use ipnet::IpNet;
use stakeout_core::address;

/// Why a text is not a network of trusted proxies, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    /// What is wrong.
    pub(crate) problem: String,
    /// How to fix it.
    pub(crate) fix: &'static str,
}

/// Parses a network (`10.0.0.0/8`) or a single address. An IPv4 network written as IPv6 is an error, because it would never
/// match the canonical address of a request. So is a network of all addresses, because then a client could claim any
/// source.
pub(crate) fn parse(text: &str) -> Result<IpNet, NetworkError> {
    let network = match address::parse(text) {
        Some(address) => Some(IpNet::from(address)),
        None => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    };
    let error = |problem: &str, fix| NetworkError { problem: format!("`{text}` {problem}"), fix };
    match network {
        None => Err(error(
            "is neither a network nor an address",
            "write a network such as 10.0.0.0/16, or an address such as 10.0.0.50",
        )),
        Some(network) if network.prefix_len() == 0 => Err(error(
            "trusts every address, so a client could claim any source",
            "name only the networks of your own load balancers and proxies",
        )),
        Some(IpNet::V6(network)) if network.network().to_ipv4_mapped().is_some() => {
            Err(error("is an IPv4 network written as IPv6", "write it as IPv4, such as 10.0.0.0/16"))
        }
        Some(network) => Ok(network),
    }
}

/// Parses a network as [`parse`] does. The error is one line for the command line.
pub(crate) fn parse_argument(text: &str) -> Result<IpNet, String> {
    parse(text).map_err(|error| format!("{} ({})", error.problem, error.fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_own_network_and_the_whole_internet_is_none() {
        assert_eq!(parse("10.0.0.50").map(|network| network.to_string()).as_deref(), Ok("10.0.0.50/32"));
        assert_eq!(parse("10.1.2.3/8").map(|network| network.to_string()).as_deref(), Ok("10.0.0.0/8"));
        for text in ["0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "balancer", "10.0.0.0/33"] {
            assert!(parse_argument(text).is_err(), "{text}");
        }
    }
}
