//! Networks of trusted proxies, as people write them in the config and on the command line.

use ipnet::IpNet;
use stakeout_core::address;

/// Why a text names no network of trusted proxies, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkFault {
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) fix: &'static str,
}

/// Reads a network (`10.0.0.0/8`), or an address, which is the network of itself. IPv4 written as IPv6 would never
/// meet the canonical address of a request, and whoever trusts every address lets clients name any source they like.
pub(crate) fn parse(text: &str) -> Result<IpNet, NetworkFault> {
    let network = match address::parse(text) {
        Some(address) => Some(IpNet::from(address)),
        None => text.parse::<IpNet>().ok().map(|network| network.trunc()),
    };
    let fault = |problem: &str, fix| NetworkFault { problem: format!("`{text}` {problem}"), fix };
    match network {
        None => Err(fault(
            "is neither a network nor an address",
            "write a network such as 10.0.0.0/16, or an address such as 10.0.0.50",
        )),
        Some(network) if network.prefix_len() == 0 => Err(fault(
            "trusts every address, so a client could name any source it likes",
            "name only the networks of your own load balancers and proxies",
        )),
        Some(IpNet::V6(network)) if network.network().to_ipv4_mapped().is_some() => {
            Err(fault("is an IPv4 network written as IPv6", "write it as IPv4, such as 10.0.0.0/16"))
        }
        Some(network) => Ok(network),
    }
}

/// Reads a network as [`parse`] does; the error is one line for the command line.
pub(crate) fn parse_argument(text: &str) -> Result<IpNet, String> {
    parse(text).map_err(|fault| format!("{} ({})", fault.problem, fault.fix))
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
