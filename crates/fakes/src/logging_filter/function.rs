//! The functions of the query language that need no index.
//! <https://cloud.google.com/logging/docs/view/logging-query-language#functions>

use std::hash::Hasher;
use std::net::IpAddr;

use serde_json::Value;
use siphasher::sip::SipHasher13;

use super::check::Literal;
use super::{Field, Truth, any};

#[derive(Clone, Debug)]
pub(super) enum Function {
    /// `log_id("cloudaudit.googleapis.com/activity")`: the end of `logName`, which is URL-encoded there.
    LogId(Literal),
    /// `sample(insertId, 0.01)`: the same entries each time, chosen by a hash of the field.
    Sample(Field, f64),
    /// `ip_in_net(jsonPayload.realClientIP, "10.1.2.0/24")`.
    IpInNet(Field, Network),
}

/// An address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Function {
    pub(super) fn holds(&self, entry: &Value) -> Truth {
        match self {
            Self::LogId(id) => {
                let (_, found) = entry.get("logName")?.as_str()?.split_once("/logs/")?;
                super::check::Check::Equal(id.clone()).holds(&Value::from(found))
            }
            Self::Sample(field, fraction) => match field.select(entry)[..] {
                [Value::String(text)] => Some(fraction_of(text) < *fraction),
                _ => None,
            },
            Self::IpInNet(field, network) => {
                any(field.select(entry).into_iter().map(|value| network.holds(value.as_str()?)))
            }
        }
    }
}

impl Network {
    /// Reads `address/bits`, or an address alone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    /// Returns whether an address is in the network; the result for other texts is undocumented.
    fn holds(self, address: &str) -> Truth {
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

/// Returns the hash of a text as a fraction between 0 and 1, in steps of 1/65,536.
fn fraction_of(text: &str) -> f64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    let [low, high, ..] = hasher.finish().to_le_bytes();
    f64::from(u16::from_le_bytes([low, high])) / 65_536.0
}
