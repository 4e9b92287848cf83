//! Many addresses in one selector: a regular expression over an entry of `sourceIPs`.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>, "Supported regular expressions"
//!
//! Of the signs in an address, not all are listed as allowed on every version of that page. `.` stands for each of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use stakeout_core::address;
use stakeout_core::field::Field;
use stakeout_core::prefilter::{Literal, Prefilter};

/// The field of the addresses, which is a list.
const SOURCE_IPS: Field = Field::Named("sourceIPs");

/// How exactly addresses are asked for: the longest prefixes of both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// The addresses themselves, and networks as they are.
    Exact,
    /// The networks that one customer has at most: /24 and /48.
    Site,
    /// The networks that one provider has at least: /16 and /32.
    Provider,
}

/// The addresses and networks among alternatives, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressTest {
    networks: Vec<IpNet>,
    /// Whether a network among them is more than one address.
    holds_network: bool,
}

impl Precision {
    /// All, the most exact first.
    pub(super) const ALL: [Precision; 3] = [Precision::Exact, Precision::Site, Precision::Provider];

    /// Returns the network around `network` that is asked for.
    fn around(self, network: &IpNet) -> IpNet {
        let longest = match (self, network) {
            (Precision::Exact, _) => network.prefix_len(),
            (Precision::Site, IpNet::V4(_)) => 24,
            (Precision::Site, IpNet::V6(_)) => 48,
            (Precision::Provider, IpNet::V4(_)) => 16,
            (Precision::Provider, IpNet::V6(_)) => 32,
        };
        IpNet::new(network.network(), network.prefix_len().min(longest)).unwrap_or(*network)
    }
}

impl AddressTest {
    /// Returns the test for the addresses among alternatives, or `None` where there are none.
    pub(super) fn of(parts: &[Prefilter]) -> Option<AddressTest> {
        let networks: Vec<IpNet> = parts.iter().filter_map(network_of).collect();
        let is_network = |part: &Prefilter| matches!(part, Prefilter::Is { literal: Literal::Network(_), .. });
        let holds_network = parts.iter().any(is_network);
        (!networks.is_empty()).then_some(AddressTest { networks, holds_network })
    }

    /// Returns whether a part is an address or a network of the field.
    pub(super) fn covers(part: &Prefilter) -> bool {
        network_of(part).is_some()
    }

    /// Returns whether it takes a regular expression. A single address is compared as a text.
    pub(super) fn is_regular_expression(&self) -> bool {
        self.holds_network || self.networks.len() > 1
    }

    /// Returns the comparison.
    pub(super) fn printed(&self, precision: Precision) -> String {
        match self.networks.as_slice() {
            [only] if !self.is_regular_expression() => format!("$.{SOURCE_IPS}[*] = \"{}\"", only.network()),
            several => {
                let terms: BTreeSet<String> = several.iter().map(|network| term(&precision.around(network))).collect();
                let terms: Vec<String> = terms.into_iter().collect();
                format!("$.{SOURCE_IPS}[*] = %{}%", terms.join("|"))
            }
        }
    }
}

/// Returns whether a network of the field can be asked for: something of its text is known.
pub(super) fn is_pushable(field: &Field, network: &IpNet) -> bool {
    *field == SOURCE_IPS
        && Precision::ALL.iter().all(|precision| !address::text_prefix(&precision.around(network)).is_empty())
}

/// Returns the network that a part asks for. An address in another spelling than the API server's is a text like any other.
fn network_of(part: &Prefilter) -> Option<IpNet> {
    match part {
        Prefilter::Is { field, literal: Literal::Network(network) } if *field == SOURCE_IPS => Some(*network),
        Prefilter::Is { field, literal: Literal::Text { text, cased: true } } if *field == SOURCE_IPS => {
            let address: IpAddr = text.parse().ok()?;
            Some(IpNet::from(address)).filter(|network| address.to_string() == *text && is_pushable(field, network))
        }
        _ => None,
    }
}

/// Returns the regular expression for the texts of a network's addresses.
fn term(network: &IpNet) -> String {
    let text = address::text_prefix(network).replace(|c: char| !c.is_ascii_alphanumeric(), ".");
    let end = if network.prefix_len() == network.max_prefix_len() { "$" } else { "" };
    format!("^{text}{end}")
}
