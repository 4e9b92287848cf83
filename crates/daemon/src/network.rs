//! Networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads a network (`10.0.0.0/8`), or an address, which is the network of itself.
pub(crate) fn parse(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "write an address such as 10.0.0.50, or a network such as 10.0.0.0/8".to_owned())
}
