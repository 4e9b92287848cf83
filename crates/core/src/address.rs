//! The sender of a request: the address that a client cannot choose, and whether it is public.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The source that requests are counted for: one IPv4 address, or the /64 network of an IPv6 one.
///
/// A /64 is what one customer gets, so an attacker owns all of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SourceIp {
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// The upper 64 bits of an IPv6 address.
    V6Net(u64),
}

impl SourceIp {
    /// Returns the source that `address` is counted for; an IPv4-mapped address is its IPv4 self.
    #[must_use]
    pub fn of(address: IpAddr) -> SourceIp {
        match address.to_canonical() {
            IpAddr::V4(address) => SourceIp::V4(address),
            IpAddr::V6(address) => SourceIp::V6Net((address.to_bits() >> 64) as u64),
        }
    }

    /// Returns the address, or the network address of the /64.
    #[must_use]
    pub fn network_address(&self) -> IpAddr {
        match *self {
            SourceIp::V4(address) => IpAddr::V4(address),
            SourceIp::V6Net(upper) => IpAddr::V6(Ipv6Addr::from_bits(u128::from(upper) << 64)),
        }
    }

    /// Returns the network of all its addresses, which is one address of IPv4.
    #[must_use]
    pub fn network(&self) -> IpNet {
        let prefix_len = match self {
            SourceIp::V4(_) => 32,
            SourceIp::V6Net(_) => 64,
        };
        IpNet::new(self.network_address(), prefix_len).expect("no longer than an address")
    }

    /// Returns whether `network` holds the source, or is a part of it.
    #[must_use]
    pub fn overlaps(&self, network: &IpNet) -> bool {
        let own = self.network();
        network.contains(&own) || own.contains(network)
    }
}

/// Feeds one number; the derived code would feed the kind, a length and the bytes. Most addresses of a flood are hashed many
/// times, in sets and maps of groups.
impl Hash for SourceIp {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match *self {
            SourceIp::V4(address) => hasher.write_u32(address.to_bits()),
            SourceIp::V6Net(upper) => hasher.write_u64(upper),
        }
    }
}

/// Writes `198.51.100.7` or `2001:db8:1::/64`.
impl fmt::Display for SourceIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceIp::V4(address) => address.fmt(f),
            SourceIp::V6Net(_) => write!(f, "{}/64", self.network_address()),
        }
    }
}

/// Returns the address in an entry of `sourceIPs`, or `None` where the entry is not an address.
///
/// A zone (`fe80::1%eth0`) is cut off. `unknown`, `host:port` and octets with a leading zero are not addresses.
#[must_use]
pub fn parse(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() && address.contains(':') => address,
        _ => text,
    };
    IpAddr::from_str(address).ok().map(|address| address.to_canonical())
}

/// Returns what the text of every address in `network` begins with: its whole octets or groups, each with the sign after
/// it. For one address it is the whole text; it may be empty.
///
/// Texts are in the form of RFC 5952, as the API server writes them: the longest run of two groups of zeros or more is
/// `::`. Which one is the longest can depend on the rest of an address, so the text of a network ends before such a run.
#[must_use]
pub fn text_prefix(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        return network.network().to_string();
    }
    match network.network() {
        IpAddr::V4(address) => {
            let octets = address.octets();
            octets.iter().take(usize::from(network.prefix_len() / 8)).map(|octet| format!("{octet}.")).collect()
        }
        IpAddr::V6(address) => {
            let groups = address.segments();
            let known = &groups[..usize::from(network.prefix_len() / 16)];
            let may_be_in_run = |at: usize| known[at] == 0 && known.get(at + 1).is_none_or(|next| *next == 0);
            let before_run = (0..known.len()).take_while(|at| !may_be_in_run(*at));
            before_run.map(|at| format!("{:x}:", known[at])).collect()
        }
    }
}

/// Networks without public addresses, with their names: IANA's special-purpose registries as
/// CPython 3.11 reads them for `ipaddress.is_global`, which the first of the seed rules uses.
const SPECIAL_PURPOSE: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/29", "protocol assignments"),
    ("192.0.0.170/31", "NAT64 discovery"),
    ("192.0.2.0/24", "documentation"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("100::/64", "discard only"),
    ("2001:db8::/32", "documentation"),
    ("2001::/23", "protocol assignments"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
];

/// Returns the name of the special range of `address`, or `None` where it is public.
#[must_use]
pub fn special_range(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => name_of(&NOT_GLOBAL.0, |net| net.contains(&address)),
        IpAddr::V6(address) => name_of(&NOT_GLOBAL.1, |net| net.contains(&address)),
    }
}

fn name_of<N>(table: &[(N, &'static str)], contains: impl Fn(&N) -> bool) -> Option<&'static str> {
    table.iter().find(|(net, _)| contains(net)).map(|(_, name)| *name)
}

/// The networks that are not global, by family: parsed once, because every request needs them.
static NOT_GLOBAL: LazyLock<(Named<Ipv4Net>, Named<Ipv6Net>)> = LazyLock::new(|| {
    let mut tables = (Vec::new(), Vec::new());
    for (net, name) in SPECIAL_PURPOSE {
        match net.parse().expect("the table above holds networks") {
            IpNet::V4(net) => tables.0.push((net, *name)),
            IpNet::V6(net) => tables.1.push((net, *name)),
        }
    }
    tables
});

type Named<N> = Vec<(N, &'static str)>;

/// Returns whether `address` is public.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    special_range(address).is_none()
}

/// The user's own balancers and proxies, which are trusted to name the address before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Returns the set of these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> TrustedProxies {
        TrustedProxies(networks)
    }

    /// Returns this set with more networks.
    #[must_use]
    pub fn and(&self, networks: &[IpNet]) -> TrustedProxies {
        TrustedProxies([&self.0, networks].concat())
    }

    /// Returns the client that `source_ips` can be trusted to name: from the right, the first address that is not a
    /// trusted proxy, or the leftmost where all are.
    ///
    /// The API server writes X-Forwarded-For, then X-Real-Ip, then the TCP peer (kubernetes/kubernetes#87167);
    /// a client can write all but the last. An entry that is not an address ends the walk: nothing vouches for the
    /// entries left of it, so the proxy right of it is the client.
    #[must_use]
    pub fn client_of(&self, source_ips: &[String]) -> Option<IpAddr> {
        self.index_of_client(source_ips).map(|(_, client)| client)
    }

    /// Returns the address as [`TrustedProxies::client_of`] does, with the index of its entry in `source_ips`.
    #[must_use]
    pub fn index_of_client(&self, source_ips: &[String]) -> Option<(usize, IpAddr)> {
        let mut client = None;
        for (index, entry) in source_ips.iter().enumerate().rev() {
            let Some(address) = parse(entry) else { break };
            client = Some((index, address));
            if !self.contains(address) {
                break;
            }
        }
        client
    }

    /// Returns whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &[&str], chain: &[&str]) -> Option<String> {
        let trusted = TrustedProxies::new(trusted.iter().map(|net| net.parse().expect("a network")).collect());
        let chain: Vec<String> = chain.iter().map(|entry| (*entry).to_owned()).collect();
        trusted.client_of(&chain).map(|address| address.to_string())
    }

    #[test]
    fn the_walk_starts_at_the_peer_and_stops_at_the_first_stranger() {
        assert_eq!(client(&[], &["10.0.0.1", "8.8.8.8"]).as_deref(), Some("8.8.8.8"));
        assert_eq!(client(&["10.0.0.50/32"], &["1.1.1.1", "5.5.5.5", "10.0.0.50"]).as_deref(), Some("5.5.5.5"));
        assert_eq!(client(&["10.0.0.0/8"], &["10.1.1.1", "10.0.0.50"]).as_deref(), Some("10.1.1.1"));
        assert_eq!(client(&["10.0.0.0/8"], &["unknown", "10.0.0.50"]).as_deref(), Some("10.0.0.50"));
        assert_eq!(client(&[], &["::ffff:9.9.9.9"]).as_deref(), Some("9.9.9.9"));
        assert_eq!(client(&[], &["unknown"]), None);
        assert_eq!(client(&[], &[]), None);
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64() {
        let of = |text: &str| SourceIp::of(parse(text).expect("an address")).to_string();
        assert_eq!(of("::ffff:8.8.8.8"), "8.8.8.8");
        assert_eq!(of("2a00:1450:4001:0:1:2:3:4"), "2a00:1450:4001::/64");
        assert_eq!(of("::1"), "::/64");
    }

    #[test]
    fn the_text_of_a_network_ends_before_zeros_that_may_be_left_out() {
        for (network, expected) in [
            ("203.0.113.7/32", "203.0.113.7"),
            ("203.0.113.0/24", "203.0.113."),
            ("203.0.112.0/20", "203.0."),
            ("0.0.0.0/0", ""),
            ("2001:db8::7/128", "2001:db8::7"),
            ("2001:db8:7:8::/64", "2001:db8:7:8:"),
            ("2001:db8:7::/64", "2001:db8:7:"),
            ("2001:db8:0:8::/64", "2001:db8:0:8:"),
            ("2001:0:0:8::/64", "2001:"),
            ("2001:db8::/64", "2001:db8:"),
            ("2001:db8:7:8::/48", "2001:db8:7:"),
            ("::/64", ""),
        ] {
            assert_eq!(text_prefix(&network.parse().expect("a network")), expected, "{network}");
        }
    }

    /// Addresses with many zeros, whose texts differ most.
    fn groups() -> impl Strategy<Value = [u16; 8]> {
        prop::array::uniform8(prop_oneof![2 => Just(0_u16), 1 => 0..3_u16, 1 => any::<u16>()])
    }

    proptest! {
        #[test]
        fn the_text_of_every_address_begins_with_that_of_its_network(groups in groups(), prefix_len in 0..=128_u8) {
            let address = Ipv6Addr::from(groups);
            let network = IpNet::new(address.into(), prefix_len).expect("short enough");
            prop_assert!(address.to_string().starts_with(&text_prefix(&network)), "{address} {network}");
        }
    }

    #[test]
    fn a_source_overlaps_networks_around_and_inside_of_it() {
        let overlaps = |source: &str, network: &str| {
            SourceIp::of(parse(source).expect("an address")).overlaps(&network.parse().expect("a network"))
        };
        assert!(
            overlaps("8.8.8.8", "8.8.0.0/16") && overlaps("8.8.8.8", "8.8.8.8/32") && overlaps("8.8.8.8", "0.0.0.0/0")
        );
        assert!(!overlaps("8.8.8.8", "8.9.0.0/16") && !overlaps("8.8.8.8", "::/0"));
        assert!(overlaps("2a00:1450:4001:0:1::", "2a00:1450::/32"));
        assert!(overlaps("2a00:1450:4001:0:1::", "2a00:1450:4001:0:2::/128"));
        assert!(!overlaps("2a00:1450:4001:0:1::", "2a00:1450:4001:1::/64"));
    }
}
