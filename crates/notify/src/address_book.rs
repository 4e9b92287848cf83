//! What is known of addresses beside the logs: the user's name for their network, the cloud that published it, and where a
//! database of MaxMind's format says that it is and whose. It informs people and decides nothing.
//!
//! The texts are of files that other people make. They are bounded here and escaped where they are shown.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use maxminddb::{Reader, path};
use stakeout_core::address::SourceIp;
use stakeout_core::text::bounded;

/// Longest name of a network, a place or an owner, in characters.
const TEXT_CHARS_MAX: usize = 100;

/// Names by network; the longest prefix wins.
#[derive(Clone, Debug)]
pub struct PrefixTable<T> {
    by_length: BTreeMap<u8, HashMap<IpNet, T>>,
}

/// A range of addresses that a cloud has published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CloudRange {
    /// The cloud, such as `AWS`.
    pub cloud: String,
    /// The service that uses it, such as `EC2`; it may be empty.
    pub service: String,
    /// The region, such as `eu-west-1`; it may be empty.
    pub region: String,
}

/// A database of MaxMind's format, in memory.
pub struct AddressDatabase(Reader<Vec<u8>>);

/// What is known of addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    /// The user's names of networks.
    pub networks: Arc<PrefixTable<String>>,
    /// The published ranges of clouds.
    pub ranges: Arc<PrefixTable<CloudRange>>,
    /// Countries and cities.
    pub cities: Option<Arc<AddressDatabase>>,
    /// Autonomous systems: whose the addresses are.
    pub systems: Option<Arc<AddressDatabase>>,
}

/// What is known of one address, as raw text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressContext {
    /// The user's name of its network.
    pub network: Option<String>,
    /// The cloud that has it.
    pub cloud: Option<CloudRange>,
    /// The two letters of its country (ISO 3166).
    pub country: Option<String>,
    /// Its city.
    pub city: Option<String>,
    /// The number of its autonomous system.
    pub system_number: Option<u32>,
    /// The owner of that.
    pub system_name: Option<String>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> PrefixTable<T> {
        PrefixTable { by_length: BTreeMap::new() }
    }
}

impl<T> FromIterator<(IpNet, T)> for PrefixTable<T> {
    fn from_iter<I: IntoIterator<Item = (IpNet, T)>>(entries: I) -> PrefixTable<T> {
        let mut table = PrefixTable::default();
        for (network, value) in entries {
            table.by_length.entry(network.prefix_len()).or_default().insert(network.trunc(), value);
        }
        table
    }
}

impl<T> PrefixTable<T> {
    /// Returns whether it has no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_length.is_empty()
    }

    /// Returns the value of the smallest network that holds all of the source.
    #[must_use]
    pub fn find(&self, source: SourceIp) -> Option<&T> {
        let own = source.network();
        let shorter = self.by_length.range(..=own.prefix_len()).rev();
        shorter.into_iter().find_map(|(length, networks)| networks.get(&IpNet::new(own.addr(), *length).ok()?.trunc()))
    }
}

impl AddressDatabase {
    /// Returns the database in these bytes. Fails with the reason if they are none.
    pub fn new(bytes: Vec<u8>) -> Result<AddressDatabase, String> {
        Reader::from_source(bytes).map(AddressDatabase).map_err(|error| error.to_string())
    }

    /// Reads all of it. Fails with the reason if a part is damaged.
    pub fn verify(&self) -> Result<(), String> {
        self.0.verify().map_err(|error| error.to_string())
    }

    /// Returns when it was made, in seconds since 1970.
    #[must_use]
    pub fn built_at(&self) -> u64 {
        self.0.metadata().build_epoch
    }

    fn text(&self, address: IpAddr, path: &[maxminddb::PathElement<'_>]) -> Option<String> {
        let text: String = self.0.lookup(address).ok()?.decode_path(path).ok()??;
        (!text.is_empty()).then(|| bounded(&text, TEXT_CHARS_MAX))
    }

    fn number(&self, address: IpAddr, path: &[maxminddb::PathElement<'_>]) -> Option<u32> {
        self.0.lookup(address).ok()?.decode_path(path).ok()?
    }
}

/// Millions of networks are no help.
impl fmt::Debug for AddressDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddressDatabase").field(&self.0.metadata().database_type).finish()
    }
}

impl Default for &AddressBook {
    /// Returns the book that knows nothing.
    fn default() -> Self {
        static EMPTY: LazyLock<AddressBook> = LazyLock::new(AddressBook::default);
        &EMPTY
    }
}

impl AddressBook {
    /// Returns whether nothing is known of any address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let AddressBook { networks, ranges, cities, systems } = self;
        networks.is_empty() && ranges.is_empty() && cities.is_none() && systems.is_none()
    }

    /// Returns what is known of a source.
    #[must_use]
    pub fn find(&self, source: SourceIp) -> AddressContext {
        let address = source.network_address();
        let (cities, systems) = (self.cities.as_deref(), self.systems.as_deref());
        let country = |part| cities.and_then(|cities| cities.text(address, &path![part, "iso_code"]));
        AddressContext {
            network: self.networks.find(source).map(|name| bounded(name, TEXT_CHARS_MAX)),
            cloud: self.ranges.find(source).map(CloudRange::bounded),
            country: country("country")
                .or_else(|| country("registered_country"))
                .filter(|code| code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_alphabetic())),
            city: cities.and_then(|cities| cities.text(address, &path!["city", "names", "en"])),
            system_number: systems.and_then(|systems| systems.number(address, &path!["autonomous_system_number"])),
            system_name: systems.and_then(|systems| systems.text(address, &path!["autonomous_system_organization"])),
        }
    }

    /// Returns the first of these sources of which something is known, and that, at most `max` of them.
    pub fn known(
        &self,
        sources: impl IntoIterator<Item = SourceIp>,
        max: usize,
    ) -> impl Iterator<Item = (SourceIp, AddressContext)> {
        let sources = (!self.is_empty()).then_some(sources).into_iter().flatten();
        let found = sources.map(|source| (source, self.find(source)));
        found.filter(|(_, context)| *context != AddressContext::default()).take(max)
    }
}

impl CloudRange {
    fn bounded(&self) -> CloudRange {
        let short = |text: &str| bounded(text, TEXT_CHARS_MAX);
        CloudRange { cloud: short(&self.cloud), service: short(&self.service), region: short(&self.region) }
    }
}

/// Writes what is known in one line of raw text: `office; AWS EC2 eu-west-1; Dublin, IE; AS16509 Amazon`.
impl fmt::Display for AddressContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AddressContext { network, cloud, country, city, system_number, system_name } = self;
        let joined = |parts: &[Option<&str>], between: &str| {
            let parts: Vec<&str> = parts.iter().flatten().copied().filter(|part| !part.is_empty()).collect();
            (!parts.is_empty()).then(|| parts.join(between))
        };
        let cloud = cloud.as_ref().and_then(|range| {
            let CloudRange { cloud, service, region } = range;
            joined(&[Some(cloud), Some(service), Some(region)], " ")
        });
        let place = joined(&[city.as_deref(), country.as_deref()], ", ");
        let number = system_number.map(|number| format!("AS{number}"));
        let system = joined(&[number.as_deref(), system_name.as_deref()], " ");
        let all = joined(&[network.as_deref(), cloud.as_deref(), place.as_deref(), system.as_deref()], "; ");
        f.write_str(&all.unwrap_or_default())
    }
}
