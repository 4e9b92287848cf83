//! What is known of addresses: found by the longest prefix and in small databases, and harmless wherever it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use maxminddb_writer::Database;
use maxminddb_writer::paths::IpAddrWithMask;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use stakeout_core::address::{SourceIp, parse};
use stakeout_core::delivery::Activity;
use stakeout_core::finding::Finding;
use stakeout_core::group::{GroupKey, GroupValue};
use stakeout_core::incident::{IncidentOptions, incidents};
use stakeout_core::rule::Level;
use stakeout_core::text::is_invisible;
use stakeout_notify::address_book::{AddressDatabase, CloudRange};
use stakeout_notify::details::{address_details, sources_of};
use stakeout_notify::slack::Rendering;
use stakeout_notify::{AddressBook, IncidentReport, Message, MessageBody, ocsf, slack};

use crate::ocsf::{assert_incident, assert_sound};
use crate::slack::assert_harmless;
use crate::strategy;

const ADDRESS: &str = "5.5.5.66";

#[derive(Serialize)]
struct Place<'a> {
    country: BTreeMap<&'a str, &'a str>,
    city: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

#[derive(Serialize)]
struct System<'a> {
    autonomous_system_number: u32,
    autonomous_system_organization: &'a str,
}

/// Returns the bytes of a database that knows one network.
fn bytes_of(network: &str, value: impl Serialize) -> Vec<u8> {
    let mut database = Database::default();
    database.metadata.binary_format_major_version = 2;
    database.metadata.database_type = "Test".to_owned();
    let data = database.insert_value(value).expect("a value");
    let (address, mask) = network.split_once('/').expect("a network");
    let network = IpAddrWithMask::new(address.parse().expect("an address"), mask.parse().expect("a length"));
    database.insert_node(network, data);
    database.write_to(Vec::new()).expect("written")
}

fn places(network: &str, country: &str, city: &str) -> Vec<u8> {
    let names = BTreeMap::from([("en", city)]);
    bytes_of(
        network,
        Place { country: BTreeMap::from([("iso_code", country)]), city: BTreeMap::from([("names", names)]) },
    )
}

fn systems(network: &str, name: &str) -> Vec<u8> {
    bytes_of(network, System { autonomous_system_number: 64_500, autonomous_system_organization: name })
}

fn book(network: &str, names: [&str; 4]) -> AddressBook {
    let [name, city, system, service] = names;
    let range = CloudRange { cloud: "AWS".to_owned(), service: service.to_owned(), region: "eu-west-1".to_owned() };
    let at = || network.parse().expect("a network");
    let database = |bytes| AddressDatabase::new(bytes).map(Arc::new).expect("a database");
    AddressBook {
        networks: Arc::new([(at(), name.to_owned())].into_iter().collect()),
        ranges: Arc::new([(at(), range)].into_iter().collect()),
        cities: Some(database(places(network, "IE", city))),
        systems: Some(database(systems(network, system))),
    }
}

fn source(text: &str) -> SourceIp {
    SourceIp::of(parse(text).expect("an address"))
}

/// Returns a finding of the address.
fn finding() -> Finding {
    let mut finding = strategy::plain_finding(7, Level::High, 12);
    let rule = Arc::make_mut(&mut finding.rule);
    rule.group_by = vec!["source_ip".to_owned()];
    finding.group = GroupKey(vec![GroupValue::Address(source(ADDRESS))]);
    finding
}

#[test]
fn the_longest_prefix_that_holds_all_of_the_source_wins() {
    let networks =
        ["5.0.0.0/8", "5.5.5.0/24", "5.5.5.66/32", "2001:db8::/32", "2001:db8:7:8::/64", "2001:db8:7:8:9::/80"];
    let networks = networks.map(|network| (network.parse().expect("a network"), network.to_owned()));
    let book = AddressBook { networks: Arc::new(networks.into_iter().collect()), ..AddressBook::default() };
    for (address, expected) in [
        (ADDRESS, Some("5.5.5.66/32")),
        ("5.5.5.67", Some("5.5.5.0/24")),
        ("5.6.7.8", Some("5.0.0.0/8")),
        ("6.6.6.6", None),
        ("2001:db8:7:8:9::1", Some("2001:db8:7:8::/64")),
        ("2001:db8:7:9::1", Some("2001:db8::/32")),
    ] {
        assert_eq!(book.find(source(address)).network.as_deref(), expected, "{address}");
    }
    assert!(AddressBook::default().known([source(ADDRESS)], 9).next().is_none());
}

#[test]
fn country_city_and_owner_are_shown_wherever_the_address_is() {
    let book = book("5.5.5.0/24", ["CI", "Dublin", "Example Net", "EC2"]);
    let known = book.find(source(ADDRESS));
    assert_eq!(known.to_string(), "CI; AWS EC2 eu-west-1; Dublin, IE; AS64500 Example Net");
    assert_eq!(book.find(source("6.6.6.6")).to_string(), "");
    let finding = finding();
    let mut object = ocsf::finding(&finding, Activity::Create, None, Timestamp::UNIX_EPOCH);
    ocsf::add_addresses(&mut object, &book);
    assert_sound(&object);
    let endpoint = &object["evidences"][0]["src_endpoint"];
    assert_eq!(endpoint["location"], json!({"country": "IE", "city": "Dublin"}));
    assert_eq!(endpoint["autonomous_system"], json!({"number": 64_500, "name": "Example Net"}));
    let cloud = json!({"name": "AWS", "service": "EC2", "region": "eu-west-1"});
    let all = json!({"source": ADDRESS, "network": "CI", "cloud": cloud, "country": "IE", "city": "Dublin", "as_number": 64_500, "as_name": "Example Net"});
    assert_eq!(object["unmapped"]["addresses"], json!([all]));

    let incident = incidents([&finding], &IncidentOptions::default()).remove(0);
    let mut object = ocsf::incident(&incident, Activity::Create, None, Timestamp::UNIX_EPOCH);
    ocsf::add_addresses(&mut object, &book);
    assert_incident(&object);
    assert_eq!(object["unmapped"]["incident"]["addresses"], json!([all]));
    let line = "AWS EC2 eu-west-1; Dublin, IE; AS64500 Example Net";
    assert!(address_details(sources_of(&finding), &book).starts_with("\nknown addresses\n  5.5.5.66  CI; AWS EC2"));
    let report = IncidentReport {
        incident: &incident,
        uid: incident.key,
        activity: Activity::Create,
        is_last: false,
        is_silenced: false,
    };
    for body in [MessageBody::Finding { finding: &finding, activity: Activity::Create }, MessageBody::Incident(report)]
    {
        let message = Message { id: "1".to_owned(), body };
        let payload = slack::message_of(&message, &with(&book));
        assert_harmless(&payload);
        assert!(payload.to_string().contains(&format!("`5.5.5.66` `CI; {line}`")), "{payload}");
    }
}

#[test]
fn a_country_is_two_letters_and_an_empty_city_is_none() {
    for (country, city) in [("Ireland", ""), ("<!", "")] {
        let cities = AddressDatabase::new(places("5.5.5.0/24", country, city)).map(Arc::new).ok();
        let known = AddressBook { cities, ..AddressBook::default() }.find(source(ADDRESS));
        assert_eq!((known.country, known.city), (None, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn hostile_names_stay_in_their_place(
        names in prop::array::uniform4(strategy::text(300)),
        finding in strategy::finding(),
    ) {
        let [name, city, system, service] = &names;
        let book = book("0.0.0.0/1", [name, city, system, service]);
        let mut object = ocsf::finding(&finding, Activity::Update, None, Timestamp::UNIX_EPOCH);
        ocsf::add_addresses(&mut object, &book);
        assert_sound(&object);
        let line = ocsf::to_line(&object);
        prop_assert!(!line.contains(is_invisible));
        prop_assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), object.clone());
        ocsf::shrink_to(&mut object, 128 << 10);
        prop_assert!(ocsf::to_line(&object).len() <= 128 << 10);
        let text = address_details(sources_of(&finding), &book);
        for line in text.lines().skip(2) {
            prop_assert!(line.starts_with("  ") && !line.contains(is_invisible), "{:?}", line);
        }
        let body = MessageBody::Finding { finding: &finding, activity: Activity::Update };
        assert_harmless(&slack::message_of(&Message { id: "1".to_owned(), body }, &with(&book)));
        for incident in incidents([&finding], &IncidentOptions::default()) {
            let mut object = ocsf::incident(&incident, Activity::Update, None, Timestamp::UNIX_EPOCH);
            ocsf::add_addresses(&mut object, &book);
            assert_incident(&object);
            let report = IncidentReport { incident: &incident, uid: incident.key, activity: Activity::Update, is_last: true, is_silenced: false };
            let message = Message { id: "1".to_owned(), body: MessageBody::Incident(report) };
            assert_harmless(&slack::message_of(&message, &with(&book)));
        }
    }

    /// A damaged database is refused, or it knows other things; it never stops anything.
    #[test]
    fn a_damaged_database_is_harmless(at in any::<prop::sample::Index>(), byte in any::<u8>(), is_cut in any::<bool>()) {
        let mut bytes = places("5.5.5.0/24", "IE", "Dublin");
        let at = at.index(bytes.len());
        if is_cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Ok(database) = AddressDatabase::new(bytes) {
            drop(database.verify());
            let book = AddressBook { cities: Some(Arc::new(database)), ..AddressBook::default() };
            drop(book.find(source(ADDRESS)).to_string());
        }
    }
}

fn with(book: &AddressBook) -> Rendering<'_> {
    Rendering { book, ..Rendering::default() }
}
