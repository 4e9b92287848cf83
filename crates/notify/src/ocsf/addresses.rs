//! What is known of addresses, in objects: in OCSF's own attributes of an endpoint, and the rest in `unmapped`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};
use stakeout_core::address::SourceIp;

use crate::address_book::{AddressBook, AddressContext, CloudRange};

/// Most addresses that an object describes in `unmapped`.
const ADDRESSES_MAX: usize = 100;

/// Adds what is known of the addresses of a finding or an incident.
pub fn add_addresses(object: &mut Value, book: &AddressBook) {
    if book.is_empty() {
        return;
    }
    let mut sources = BTreeSet::new();
    for evidence in object.get_mut("evidences").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(endpoint) = evidence.get_mut("src_endpoint") else { continue };
        if let Some(source) = endpoint["ip"].as_str().and_then(source_of) {
            add_to_endpoint(endpoint, &book.find(source));
            sources.insert(source);
        }
    }
    let listed = object.pointer("/unmapped/incident/sources").and_then(Value::as_array);
    let of_incident: BTreeSet<SourceIp> =
        listed.into_iter().flatten().filter_map(|source| source_of(source.as_str()?)).collect();
    let known = |sources: BTreeSet<SourceIp>| -> Vec<Value> {
        book.known(sources, ADDRESSES_MAX).map(|(source, context)| described(source, &context)).collect()
    };
    for (pointer, known) in [("/unmapped", known(sources)), ("/unmapped/incident", known(of_incident))] {
        if let Some(part) = object.pointer_mut(pointer).filter(|_| !known.is_empty()) {
            part["addresses"] = Value::Array(known);
        }
    }
}

/// Returns the source of an address or a network as objects have it.
fn source_of(text: &str) -> Option<SourceIp> {
    let address: IpAddr = text.split('/').next()?.parse().ok()?;
    Some(SourceIp::of(address))
}

fn add_to_endpoint(endpoint: &mut Value, context: &AddressContext) {
    let AddressContext { country, city, system_number, system_name, .. } = context;
    let mut put = |name: &str, key: &str, value: Value| endpoint[name][key] = value;
    if let Some(country) = country {
        put("location", "country", json!(country));
    }
    if let Some(city) = city {
        put("location", "city", json!(city));
    }
    if let Some(number) = system_number {
        put("autonomous_system", "number", json!(number));
    }
    if let Some(name) = system_name {
        put("autonomous_system", "name", json!(name));
    }
}

fn described(source: SourceIp, context: &AddressContext) -> Value {
    let AddressContext { network, cloud, country, city, system_number, system_name } = context;
    let range = |range: &CloudRange| json!({"name": range.cloud, "service": range.service, "region": range.region});
    let mut described = json!({"source": source.to_string()});
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            described[key] = value;
        }
    };
    put("network", network.as_ref().map(|network| json!(network)));
    put("cloud", cloud.as_ref().map(range));
    put("country", country.as_ref().map(|country| json!(country)));
    put("city", city.as_ref().map(|city| json!(city)));
    put("as_number", system_number.map(|number| json!(number)));
    put("as_name", system_name.as_ref().map(|name| json!(name)));
    described
}
