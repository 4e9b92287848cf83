//! Networks, as the functions of the query languages take them.

use std::net::IpAddr;

/// An address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `address/bits`, or an address alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    /// Returns whether an address is in the network; `None` for other texts.
    pub(crate) fn contains(self, address: &str) -> Option<bool> {
        match (self.address, address.parse().ok()?) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                Some((own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or_default() == 0)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                Some((own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or_default() == 0)
            }
            _ => Some(false),
        }
    }
}
