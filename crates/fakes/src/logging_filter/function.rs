//! The functions of the query language that need no index.
//! <https://cloud.google.com/logging/docs/view/logging-query-language#functions>

use std::hash::Hasher;

use serde_json::Value;
use siphasher::sip::SipHasher13;

use super::check::Literal;
use super::{Field, Truth, any};
use crate::network::Network;

#[derive(Clone, Debug)]
pub(super) enum Function {
    /// `log_id("cloudaudit.googleapis.com/activity")`: the end of `logName`, which is URL-encoded there.
    LogId(Literal),
    /// `sample(insertId, 0.01)`: the same entries each time, chosen by a hash of the field.
    Sample(Field, f64),
    /// `ip_in_net(jsonPayload.realClientIP, "10.1.2.0/24")`.
    IpInNet(Field, Network),
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
                any(field.select(entry).into_iter().map(|value| network.contains(value.as_str()?)))
            }
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
