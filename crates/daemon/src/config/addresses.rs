//! The sections `networks` and `context`: what the user knows of addresses, and the files that know more. It informs, and decides
//! nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use stakeout_core::diagnostic::Diagnostic;
use stakeout_core::text::is_invisible;
use stakeout_core::yaml::{At, Map};

use crate::network;
use crate::section::{SectionReader, keys};

/// Most networks of all names.
const NETWORKS_MAX: usize = 4_096;
/// Longest name of a network.
const NAME_CHARS_MAX: usize = 63;
/// The longest prefix of a source of IPv6.
const IPV6_PREFIX_MAX: u8 = 64;

/// What is known of addresses, and where more is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressConfig {
    /// The user's networks with their names.
    pub(crate) networks: Vec<(IpNet, String)>,
    /// A database of countries and cities.
    pub(crate) city_file: Option<PathBuf>,
    /// A database of autonomous systems.
    pub(crate) asn_file: Option<PathBuf>,
    /// A directory with the published ranges of clouds.
    pub(crate) ranges: Option<PathBuf>,
}

/// Reads both sections.
pub(super) fn read(top: &Map<'_>, reader: &SectionReader<'_>) -> Result<AddressConfig, Diagnostic> {
    let networks = top.get("networks").map_or(Ok(Vec::new()), |at| networks(&at))?;
    let Some(at) = top.get("context") else {
        return Ok(AddressConfig { networks, ..AddressConfig::default() });
    };
    let map = keys(&at, &["city_file", "asn_file", "ranges"])?;
    let path = |key| map.get(key).map(|at| reader.path(&at)).transpose();
    Ok(AddressConfig { networks, city_file: path("city_file")?, asn_file: path("asn_file")?, ranges: path("ranges")? })
}

fn networks(at: &At<'_>) -> Result<Vec<(IpNet, String)>, Diagnostic> {
    let mut named: BTreeMap<IpNet, String> = BTreeMap::new();
    for (name, at) in at.any_map()?.entries() {
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(is_invisible) {
            return Err(at.error("not a name of a network", format!("write 1 to {NAME_CHARS_MAX} visible characters")));
        }
        for item in at.list_or_one()? {
            let network = network::parse(item.text()?).map_err(|error| item.error(error.problem, error.fix))?;
            if matches!(network, IpNet::V6(_)) && network.prefix_len() > IPV6_PREFIX_MAX {
                let fix = "write its /64: Stakeout counts a /64 as one source";
                return Err(item.error(format!("`{network}` is a part of one source"), fix));
            }
            if let Some(other) = named.insert(network, name.to_owned()) {
                return Err(item.error(format!("`{network}` is {other} already"), "give each network one name"));
            }
        }
    }
    match named.len() {
        0..=NETWORKS_MAX => Ok(named.into_iter().collect()),
        more => {
            Err(at.error(format!("{more} networks"), format!("merge neighbouring ones, to at most {NETWORKS_MAX}")))
        }
    }
}
